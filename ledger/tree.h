// The Merkle tree as it lies in the ledger file: tiles of 256 digests, as in C2SP tlog-tiles
// (https://c2sp.org/tlog-tiles). Tile t of level l holds the roots of the complete subtrees of
// 256^l leaves number 256 t and up. Appending costs one node digest a leaf; a proof, one look-up a
// sibling once the tiles on its way are in memory. Of the first tiles that proofs need
// (`whole_tiles`, 16 KB each) all is kept, of others what is above eight leaves (2 KB each): these
// eight are then read and hashed again, and must be what they were. That is 200 MB for sixteen
// million leaves; with more, tiles are forgotten and read again. One thread per database.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/merkle.h"
#include "ledger/raw_tiles.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

class Tree {
 public:
  explicit Tree(const Database& db, size_t whole_tiles = 4096)
      : db_(&db), whole_tiles_(whole_tiles) {}

  // Appending: leaf `seq` must be the next one. flush() writes what has been appended since.
  void append(uint64_t seq, const Digest& leaf);
  void flush();

  // Of the first `size` leaves, which must be there. Error{corrupt} naming the tile that is
  // missing.
  Digest root(uint64_t size) const;
  Digest leaf(uint64_t seq) const { return node(0, seq); }
  std::vector<Digest> inclusion_proof(uint64_t seq, uint64_t size) const;
  std::vector<Digest> consistency_proof(uint64_t old_size, uint64_t new_size) const;
  std::vector<Digest> range_proof(uint64_t begin, uint64_t end, uint64_t size) const;

 private:
  // A tile's complete nodes, from the height `lowest` up: 256 digests, 128 nodes over them, ..., 1.
  struct Subtrees {
    uint64_t width = 0;  // digests in the tile
    unsigned lowest = 0;
    std::vector<Digest> nodes;
  };
  // Eight leaves and the nodes over them.
  struct Group {
    uint64_t number = UINT64_MAX;
    std::vector<Digest> nodes;
  };
  Digest node(unsigned height, uint64_t index) const;
  Digest range(uint64_t begin, uint64_t end) const;
  std::vector<Digest> digests_of(const std::vector<LeafRange>& path) const;
  const Subtrees& subtrees(uint64_t level, uint64_t tile) const;
  const Group& group(uint64_t number, const Digest& root) const;
  std::string read_tile(uint64_t level, uint64_t tile) const;
  void append_at(uint64_t level, uint64_t index, const Digest& digest);

  // The tile of a level that grows.
  struct Edge {
    uint64_t tile = 0;
    std::string digests;
    bool changed = false;  // since flush()
  };

  const Database* db_;
  size_t whole_tiles_;
  std::map<uint64_t, Edge> edge_;  // by level
  std::map<std::pair<uint64_t, uint64_t>, std::string> changed_;
  std::optional<Statement> write_;
  mutable std::unordered_map<uint64_t, Subtrees> subtrees_;  // by level << 56 | tile
  mutable Group group_;                                      // the newest that was asked for
  mutable std::optional<RawTiles> raw_;
  mutable std::optional<Statement> read_tile_, read_group_;
  mutable std::map<std::pair<uint64_t, uint64_t>, Digest> ragged_;  // roots that no tile holds
};

}  // namespace cleared::ledger
