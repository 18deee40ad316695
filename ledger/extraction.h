// What `limits.memorisation_max` asks of weights that go out, or generate for sale: that somebody
// tried to get the footage back out of these very weights, and signed how often it came
// (docs/formats/extraction.md). `train eval --extraction` makes the test. Pure; any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "ledger/authority.h"
#include "ledger/gate.h"
#include "ledger/notes.pb.h"

namespace cleared::ledger {

// A test says nothing that makes fewer clips, that asks for captions of fewer clips of the footage
// than it makes, or there are, that samples in fewer steps, or calls only what is nearer a copy.
inline constexpr uint64_t kLeastExtractionClips = 16;
inline constexpr uint32_t kLeastExtractionSteps = 24;  // GenerateOptions of train/sample.h
inline constexpr uint32_t kLeastCopyBits = 31;         // of 256, as everywhere (docs/accuracy.md)

// Is it asked where weights are used so?
bool limits_memorisation(const LicenceText& terms, Use use);

// One licence's answer. `clips` is how many clips the weights consumed, by the record.
Verdict judge_extraction(const LicenceText& terms, std::string_view weights, uint64_t clips,
                         const std::optional<ExtractionTest>& test);

// Error{permission} unless a trainer whose key is valid at `seq` signed it, Error{corrupt} where it
// contradicts itself.
ExtractionTest read_extraction(const std::filesystem::path& path, const Authority& authority,
                               uint64_t seq);

}  // namespace cleared::ledger
