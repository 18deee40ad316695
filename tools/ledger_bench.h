// `ledger bench`: how fast the ledger is on this machine, beside a limit or a peer measured in the
// same run.
#pragma once

#include <cstdint>
#include <string>

namespace cleared::tools {

struct BenchOptions {
  uint64_t records = 1'000'000;
  std::string folder;  // for the files it makes; empty: the system's temporary folder
  bool json = false;
};
int ledger_bench(const BenchOptions& o);

}  // namespace cleared::tools
