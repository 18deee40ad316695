// Holds back clips that are too much like the footage that the weights consumed, where a licence
// limits that (docs/formats/footage.md): each frame, and its turns and mirrors, against every
// fingerprint of the footage. One thread.
#pragma once

#include <cstdint>
#include <span>

#include "ledger/footage.h"
#include "ledger/gate.h"

namespace cleared::train {

// The part of a picture, each way, that a clip of another shape must show for their fingerprints to
// be comparable: with 0.97 copies were up to 26 bits off, with 0.94 up to 44
// (docs/formats/footage.md).
inline constexpr double kLeastShown = 0.96;

// `rgb` is frames x height x width x 3. `cleared`, `similarity_exceeded` with the nearest frame, or
// `similarity_unknown` where pictures of a source's fingerprints have another shape than the clip.
// A million fingerprints against 16 frames take a quarter of a second.
ledger::Verdict judge_clip(const ledger::SimilarityLimit& limit, std::span<const uint8_t> rgb,
                           int width, int height);

}  // namespace cleared::train
