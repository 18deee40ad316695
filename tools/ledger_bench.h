// `ledger bench`: how fast the ledger is on this machine, beside a limit or a peer measured in the
// same run.
#pragma once

#include <cstdint>
#include <string>

namespace cleared::tools {

struct BenchOptions {
  uint64_t records = 1'000'000;  // clips, a multiple of 10,000
  uint64_t sources = 100;        // that they are of
  std::string folder;            // for the files it makes; empty: the system's temporary folder
  bool keep = false;      // leave the ledger it made there; with rights, measure one left before
  bool rights = false;    // impact, statement and permit, instead of all else
  uint64_t runs = 1'000;  // with rights
  bool json = false;
};
int ledger_bench(const BenchOptions& o);

}  // namespace cleared::tools
