// The log read once, as far as that can be done in parallel: leaves hashed, records parsed, rows of
// plain kinds compared. What is left to say needs all of it at once.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <openssl/rand.h>

#include "ledger/base/check.h"
#include "ledger/digest.h"
#include "ledger/projection.h"
#include "ledger/sqlite.h"
#include "ledger/state_map.h"
#include "ledger/verify/contexts.h"
#include "ledger/verify/findings.h"
#include "ledger/verify/trees.h"

namespace cleared::ledger {

// Subject keys in 8 bytes that nobody can aim at: a universal hash with a secret of this run.
class KeyPrint {
 public:
  KeyPrint() {
    CLEARED_CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(secret_.data()), sizeof secret_) ==
                  1);
    for (uint64_t& word : secret_) word |= 1;
  }
  uint64_t operator()(const Digest& key) const {
    uint64_t sum = 0;
    for (size_t i = 0; i < 4; ++i) {
      uint64_t word = 0;
      std::copy_n(key.bytes.begin() + static_cast<ptrdiff_t>(8 * i), 8,
                  reinterpret_cast<std::byte*>(&word));
      // High bits of a product depend on all bits of its factors.
      const auto product = static_cast<unsigned __int128>(word) * secret_[i];
      sum += static_cast<uint64_t>(product >> 64) ^ static_cast<uint64_t>(product);
    }
    return sum == 0 ? 1 : sum;
  }

 private:
  std::array<uint64_t, 4> secret_{};
};

// A reference of a stored row that is judged when all records have been seen.
struct Reference {
  uint64_t seq;
  int64_t stored;
  uint64_t print;
  bool first_of_equals;
  TableId table;
  int column;
};

struct LogReading {
  uint64_t records = 0;
  uint64_t rows = 0;                  // compared
  std::atomic<bool> complete = true;  // no record is missing
  uint64_t mapped = 0;                // records before this one are in runs of the map
  uint64_t subjects = 0;              // keys of all records
  const KeyPrint print;
  std::vector<uint64_t> prints;                  // by record; 0: it has no subject
  std::set<std::pair<uint64_t, uint64_t>> also;  // record, print: further keys of records
  std::vector<MapEntry> pending;                 // keys of records that no run of the map holds yet
  std::vector<Reference> references;             // of rows that were compared
  std::vector<uint64_t> in_order;                // records that are not plain
  std::vector<std::pair<uint64_t, uint64_t>> moments;    // record, time: where the second changes
  std::vector<std::pair<uint64_t, std::string>> series;  // record, source: where one begins
  std::vector<Digest> tile_roots;                        // of full tiles
  std::string last_tile;                                 // digests of the tile that is not full
};

// Error{corrupt} or Error{io} when the file cannot be read at all; else everything is a finding.
void read_log(const Database& db, Contexts& contexts, Trees& trees, Findings& findings,
              LogReading& log);

// The tree over the records, compared tile by tile.
void check_nodes(const Database& db, const LogReading& log, Findings& findings);

// The root of the first `size` records, from the leaves as they were read. Error{corrupt} when the
// tree is cut short.
Digest root_at(const Database& db, const LogReading& log, uint64_t size);

}  // namespace cleared::ledger
