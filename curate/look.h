// A first look at a delivery, before anything is recorded: what is in each file, what the ledger
// says of its rights, and whether it looks like footage that is known or protected. Of keyframes
// alone, the pictures that decode by themselves, it is many times quicker, and what lies between
// two of them is not seen. Nothing is written. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "curate/worker.h"
#include "ledger/record.pb.h"

namespace cleared::curate {

class Config;

struct LookOptions {
  std::filesystem::path ledger;                // empty: only what is in the files
  std::filesystem::path delivery;              // folder
  std::optional<uint64_t> keyframes_every_us;  // keyframes alone, one in so much film at most
  WorkerOptions worker;
};

// Pictures that are within 31 bits of one of the other's: a reason to compare, and no match yet.
struct Likeness {
  std::string name;
  bool is_protected = false;
  uint64_t pictures = 0;  // of the file
};

struct LookReport {
  std::string path;     // printable
  std::string problem;  // nothing usable in it, or where decoding broke off
  std::string container, video_codec, audio_codec;
  uint32_t width = 0, height = 0;
  uint64_t size_bytes = 0, duration_us = 0;
  uint64_t pictures = 0;  // decoded; 0: it could not be
  uint64_t shots = 0;     // of keyframes: a guess, those unlike the one before
  std::vector<ledger::MeasureRecord> measures;  // without a source; of keyframes no shots
  bool judged = false, cleared = false;
  std::string verdict;         // "rule: fact" of the refusal, or what clears it
  std::vector<Likeness> like;  // the most pictures first
};

// `report` is called after each file, in order of path.
void look(const LookOptions& options, const Config& config,
          const std::function<void(const LookReport&)>& report);

}  // namespace cleared::curate
