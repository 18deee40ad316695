// Holds back clips that are too much like the footage that the weights consumed, where a licence
// limits that (docs/formats/footage.md): each frame, and its turns and mirrors, against every
// fingerprint of the footage. One thread.
#pragma once

#include <cstdint>
#include <span>

#include "ledger/footage.h"
#include "ledger/gate.h"

namespace cleared::train {

// Of its own shape the smaller part of a picture that the fingerprint of the whole still stands
// for, and of the fingerprint's shape, when a clip shows no more.
inline constexpr double kLeastShown = 0.9;

// `rgb` is frames x height x width x 3. `cleared`, `similarity_exceeded` with the nearest frame, or
// `similarity_unknown` where pictures of a source's fingerprints have another shape than the clip.
// Two seconds for 16 frames against a million fingerprints.
ledger::Verdict judge_clip(const ledger::SimilarityLimit& limit, std::span<const uint8_t> rgb,
                           int width, int height);

}  // namespace cleared::train
