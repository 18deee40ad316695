// The two main paths of curation, each reads top to bottom: ingest() takes footage in, pack() cuts
// it into shards. Both may be killed at any time and run again: what is recorded is not done twice,
// and what comes out is the same as from an unbroken run.
//
// The calling thread is the ledger's only writer; footage is parsed in worker children alone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "curate/worker.h"

namespace cleared::curate {

class Config;

struct IngestOptions {
  std::filesystem::path ledger;
  std::filesystem::path delivery;  // folder
  std::filesystem::path
      log_key;           // signs the tree head afterwards; empty: LEDGER.key if it is there
  unsigned jobs = 1;     // workers at a time
  bool dry_run = false;  // judge only: decode and record nothing
  // A file that could not be used before is not decoded again, but for this.
  bool retry_failed = false;
  size_t limit = SIZE_MAX;  // at most so many of the files of which the ledger says nothing yet
  WorkerOptions worker;
};

enum class Outcome {
  kept,       // recorded, with clips
  already,    // its bytes are in the ledger
  duplicate,  // recorded; the same licensor delivered the same footage before
  conflict,   // recorded and quarantined; another licensor delivered the same footage
  refused,    // by the gate, before a byte of it was decoded
  failed,     // nothing in it that can be used
  cleared,    // in a dry run: would be decoded
};
const char* outcome_name(Outcome outcome);

struct FileReport {
  size_t index = 0, total = 0;  // from 0
  std::string path;             // printable
  Outcome outcome = Outcome::kept;
  std::string detail;  // one line: why, or what was found
  std::string notes;   // Reader::notes() of what was decoded
  uint64_t frames = 0, clips = 0, kept_clips = 0, duration_us = 0;
};

struct IngestSummary {
  uint64_t files = 0, kept = 0, already = 0, duplicate = 0, conflict = 0, refused = 0, failed = 0;
  uint64_t cleared = 0, frames = 0, kept_clips = 0;
  uint64_t records = 0;                    // appended
  uint64_t later = 0;                      // over the limit
  std::vector<std::string> not_looked_at;  // list_delivery(), printable
  std::vector<std::string> for_no_film;    // lines of captions.csv: "captions.csv:3: b.mp4"
};

// Every file of the delivery is judged, decoded once, compared with all footage of the ledger and
// recorded in one transaction; `report` is called after each, in order of path. A file that cannot
// be used costs one line. Throws for what stops the whole: the ledger, the disk, a missing worker.
IngestSummary ingest(const IngestOptions& options, const Config& config,
                     const std::function<void(const FileReport&)>& report);

struct PackOptions {
  std::filesystem::path ledger;
  std::filesystem::path delivery;  // folder that was ingested: sources are read again
  std::filesystem::path out;       // folder for the shards
  std::filesystem::path log_key;   // as in IngestOptions
  unsigned jobs = 1;
  bool dry_run = false;  // say what would be written
  WorkerOptions worker;
};

struct ShardReport {
  std::string name, root;  // root in hex; empty in a dry run
  uint64_t samples = 0, size_bytes = 0;
  bool present = false;  // it was made before
};

struct PackSummary {
  uint64_t shards = 0, made = 0, present = 0, samples = 0, size_bytes = 0;
  uint64_t left_out = 0;  // sources with kept clips that were refused or are not there as they were
};

// Every kept clip that may be encoded and is in no shard of the config's name yet becomes a sample
// of a new one; shards that are recorded and missing in `out` are made again, to the same bytes.
// `left_out` gets a path and a reason.
PackSummary pack(const PackOptions& options, const Config& config,
                 const std::function<void(const ShardReport&)>& report,
                 const std::function<void(const std::string&, const std::string&)>& left_out);

}  // namespace cleared::curate
