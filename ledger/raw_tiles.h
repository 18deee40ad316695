// Where the complete tiles of level 0 lie in the database file (ledger/tree.h), so that a few
// digests of one are read without the rest of its row. It is a hint and no more: the file may be
// hostile, and may change while somebody else writes to it, so whoever reads by it hashes what came
// and asks SQLite when that is not what it should be. One thread per database.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "ledger/raw_pages.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

class RawTiles {
 public:
  // Looks at every page of the table, 5,000 for ten million leaves. Of a file that
  // ledger/raw_pages.h does not read, nothing is known.
  explicit RawTiles(const Database& db);

  // What may be the bytes of a tile from `offset` on. False: it is not known where they lie.
  bool read(uint64_t tile, size_t offset, std::span<char> out) const;

 private:
  struct Place {
    uint64_t begin = 0;     // in the file
    size_t bytes = 0;       // of the tile that lie there, 0: not known
    uint32_t overflow = 0;  // the page with the rest
  };
  void add_pages(uint32_t page, int height);
  void add_cell(uint32_t page, std::string_view bytes, size_t at);

  const Database& db_;
  RawPages file_;
  uint32_t visited_ = 0;
  std::vector<Place> places_;
};

}  // namespace cleared::ledger
