// Asks everything that is known: is this footage, or a part of it, in the ledger, among the
// protected works, or in some fingerprint files? One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "curate/config.pb.h"
#include "curate/dedup.h"
#include "curate/protect.h"
#include "curate/worker.h"

namespace cleared::curate {

struct MatchOptions {
  std::filesystem::path ledger;                // empty: none
  std::vector<std::filesystem::path> against;  // fingerprint files, folders of them, or footage
  WorkerOptions worker;
};

struct FoundFootage {
  std::string name;                   // path in its delivery, or as its owner calls it
  std::string licensor;               // of a recorded source
  std::vector<std::string> licences;  // as `licensor`
  bool is_protected = false;
  Match match;
};

class Matcher {
 public:
  Matcher(const MatchOptions& options, const Config& config);
  // The longest common stretch first.
  std::vector<FoundFootage> find(const std::filesystem::path& file) const;
  size_t size() const;  // sources and works that are asked

 private:
  struct Known {
    std::string name, licensor;
    std::vector<std::string> licences;
  };
  const MatchOptions options_;
  const Config config_;
  DuplicateIndex index_;
  std::vector<Known> known_;  // as in index_
  std::unique_ptr<ProtectedWorks> protected_;
};

}  // namespace cleared::curate
