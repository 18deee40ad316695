// Makes facts ready to be appended, in order and a block at a time, on a thread of its own when
// they are many: serialising, hashing and projecting beside SQLite's work. Used by one thread; what
// it is given must stay as it is until it is gone.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <vector>

#include "ledger/projection.h"
#include "ledger/record.pb.h"
#include "ledger/state_map.h"
#include "ledger/table_writer.h"

namespace cleared::ledger {

// What can be said of a fact before it is known which record it will be.
struct Prepared {
  const Fact* fact = nullptr;
  std::string_view bytes;  // the record's, in the buffer
  Digest leaf;
  std::optional<Subject> subject;
  bool may_be_mapped = true;  // false: no run of the map holds the subject
  // Its rows in the buffer, numbered 0 as yet; none for a kind whose rows depend on records
  // before it, or that cannot have rows.
  size_t first_row = 0;
  size_t rows = 0;
};

// Without leaf and rows. Error{corrupt} for a fact that is too large for a record, or that would
// not parse again, as one with text that is not UTF-8.
Prepared prepare(const Fact& fact, uint64_t at_us, RowBuffer& buffer);

struct PreparedBlock {
  std::vector<Prepared> records;
  RowBuffer buffer{256 * 1024};
  std::exception_ptr failure;  // of the fact after the last of `records`
};

class Preparation {
 public:
  Preparation(const std::vector<Fact>& facts, uint64_t at_us, const StateMap& map);
  Preparation(const Preparation&) = delete;
  Preparation& operator=(const Preparation&) = delete;

  // The next block; nullptr after the last one.
  std::unique_ptr<PreparedBlock> next();
  // A block that is done with, for others to fill.
  void reuse(std::unique_ptr<PreparedBlock> block);

 private:
  std::unique_ptr<PreparedBlock> make_block(size_t first);
  void work(const std::stop_token& stop);

  const std::vector<Fact>& facts_;
  const uint64_t at_us_;
  const StateMap& map_;
  size_t taken_ = 0;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::unique_ptr<PreparedBlock>> ready_;
  std::vector<std::unique_ptr<PreparedBlock>> free_;
  std::jthread thread_;
};

}  // namespace cleared::ledger
