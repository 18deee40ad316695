// A decoder as a service for programs that do not link FFmpeg (`train`): docs/formats/decode.md.
// Repeatedly, u64 n, four u32 (start, across, down, how) and n bytes of WebM in; out one byte 0,
// u64 n and n bytes of RGB24, frame by frame, or one byte 1, u64 n and n bytes of text. Integers
// are little-endian.
#pragma once

#include <filesystem>

#include "curate/decode.h"

namespace cleared::curate {

// Enters the sandbox, then serves descriptor `in` until it ends and answers on `out`. A clip that
// does not decode is an answer. Error{corrupt} when `in` ends inside a clip; Error{io}.
void serve(int in, int out, const ClipShape& shape);

// The frames of one sample of a shard, checked against the shard's manifest and decoded in the
// sandbox, which this process then stays in. Error{not_found} names the keys that there are.
RawClip decode_sample(const std::filesystem::path& tar, std::string_view key,
                      const ClipShape& shape);

}  // namespace cleared::curate
