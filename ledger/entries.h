// The records themselves, as they lie in the ledger file: full bundles of 256 in the form that C2SP
// tlog-tiles publishes (a big-endian uint16 length before each record), the newest ones, up to 255,
// as rows of `leaf` until their bundle is full. One thread per database.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/sqlite.h"

namespace cleared::ledger {

constexpr uint64_t kBundleRecords = 256;

// The longest record that C2SP tlog-tiles can carry.
constexpr size_t kMaxRecordBytes = 65535;

class Entries {
 public:
  explicit Entries(const Database& db);

  uint64_t size() const { return flushed_ + begins_.size() - tail_flushed_; }

  // Error{not_found} when there is no such record, Error{corrupt} when its bundle is damaged.
  std::string read(uint64_t seq) const;

  // Records [begin, end) in order; `use` may keep nothing of the view.
  void scan(uint64_t begin, uint64_t end,
            const std::function<void(uint64_t seq, std::string_view bytes)>& use) const;

  // Appending: append() keeps the record, flush() writes what has been appended since.
  void append(std::string_view bytes);
  void flush();

 private:
  void load_tail();
  void add_to_tail(std::string_view bytes);
  std::string_view in_tail(size_t i) const;

  const Database* db_;
  uint64_t flushed_ = 0;        // records in the file
  std::string tail_;            // the bundle that is not full
  std::vector<size_t> begins_;  // of its records, behind their lengths
  size_t tail_flushed_ = 0;     // of them, how many are in the file
  bool tail_loaded_ = false;
  std::optional<Statement> insert_bundle_, insert_leaf_;
  mutable uint64_t cached_number_ = UINT64_MAX;
  mutable std::string cached_;
};

// The records of one bundle. Error{corrupt} unless the lengths add up.
std::vector<std::string_view> split_bundle(std::string_view bundle, std::string_view where);

}  // namespace cleared::ledger
