// What rights cost at scale, on a ledger that is made up: many clips under many licences, and runs
// that each consumed some shards of them. For `ledger bench --rights`; one thread.
#pragma once

#include <cstdint>
#include <string>

#include "tools/bench_table.h"

namespace cleared::tools {

struct RightsBench {
  uint64_t clips = 1'000'000;  // a multiple of 1,000,000
  uint64_t runs = 1'000;
  std::string folder;  // for its files; empty: the system's temporary folder
  bool keep = false;   // leave the ledger in `folder` as rights.db; measure one that lies there
};
// Impact and statement over clips and runs; a permit for a million of them.
void bench_rights(const RightsBench& options, BenchTable& table);

}  // namespace cleared::tools
