// The Merkle tree as it lies in the ledger file: tiles of 256 digests, as in C2SP tlog-tiles
// (https://c2sp.org/tlog-tiles). Tile t of level l holds the roots of the complete subtrees of
// 256^l leaves number 256 t and up. Appending costs one digest a leaf; any root, 2 log2 n reads.
// One thread per database.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

class Tree {
 public:
  explicit Tree(const Database& db) : db_(&db) {}

  // Appending: leaf `seq` must be the next one. flush() writes what has been appended since.
  void append(uint64_t seq, const Digest& leaf);
  void flush();

  // Of the first `size` leaves, which must be there. Error{corrupt} naming the tile that is
  // missing.
  Digest root(uint64_t size) const;
  std::vector<Digest> inclusion_proof(uint64_t seq, uint64_t size) const;
  Digest leaf(uint64_t seq) const { return node(0, seq); }

 private:
  using Place = std::pair<uint64_t, uint64_t>;  // level, tile
  Digest node(unsigned height, uint64_t index) const;
  Digest range(uint64_t begin, uint64_t end) const;
  const std::string& tile(Place place) const;
  void append_at(uint64_t level, uint64_t index, const Digest& digest);

  const Database* db_;
  mutable std::map<Place, std::string> tiles_;  // read or appended to
  std::vector<Place> changed_;
};

}  // namespace cleared::ledger
