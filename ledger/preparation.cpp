#include "ledger/preparation.h"

#include <algorithm>

#include "ledger/admission.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/entries.h"
#include "ledger/merkle.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace {

constexpr size_t kFactsPerBlock = 128;
constexpr size_t kWorthAThread = 512;
constexpr size_t kBlocksAhead = 16;

// How many; none when they cannot be made, which is told when the record's number is known.
size_t add_rows(const Fact& fact, RowBuffer& buffer) {
  static const Authority kNobody;
  const size_t before = buffer.rows().size();
  try {
    rows_of(0, fact, kNobody, buffer);
  } catch (const Error&) {
    buffer.rows().resize(before);
  }
  return buffer.rows().size() - before;
}

// Which of them may be in the map already.
void look_up(std::vector<Prepared>& records, const StateMap& map) {
  std::vector<Digest> keys;
  for (const Prepared& record : records)
    keys.push_back(record.subject ? record.subject->key : Digest{});
  const std::vector<bool> may = map.may_be_in_runs(keys);
  for (size_t i = 0; i < records.size(); ++i) records[i].may_be_mapped = may[i];
}

void hash(std::vector<Prepared>& records) {
  std::vector<ByteView> messages;
  for (const Prepared& record : records) messages.push_back(as_bytes(record.bytes));
  std::vector<Digest> leaves(messages.size());
  leaf_digests(messages, leaves);
  for (size_t i = 0; i < records.size(); ++i) records[i].leaf = leaves[i];
}

}  // namespace

Prepared prepare(const Fact& fact, uint64_t at_us, RowBuffer& buffer) {
  std::string serialised;
  CLEARED_CHECK(fact.SerializeToString(&serialised));
  // What is appended must be read again for ever, and protobuf writes more than it reads. Clips are
  // most of a ledger, and view_clip() takes none that would not parse.
  if (!view_clip(serialised) && !Fact().ParseFromString(serialised)) {
    const std::string bad = bad_text_in(fact);
    throw Error(Errc::corrupt, "append ", kind_name(fact), ": ",
                bad.empty() ? "the record would not parse" : bad + " is not UTF-8");
  }
  Prepared out{&fact, buffer.keep(encode_record(at_us, serialised)), {}, {}, true, 0, 0};
  if (out.bytes.size() > kMaxRecordBytes) {
    throw Error(Errc::corrupt, "append ", kind_name(fact), ": the record has ", out.bytes.size(),
                " bytes, the most is ", kMaxRecordBytes, "; split it");
  }
  out.subject = subject_of(fact);
  return out;
}

Preparation::Preparation(const std::vector<Fact>& facts, uint64_t at_us, const StateMap& map)
    : facts_(facts), at_us_(at_us), map_(map) {
  if (facts.size() < kWorthAThread) return;
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

std::unique_ptr<PreparedBlock> Preparation::next() {
  if (taken_ == facts_.size()) return nullptr;
  std::unique_ptr<PreparedBlock> block;
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !ready_.empty(); });
    block = std::move(ready_.front());
    ready_.pop_front();
    changed_.notify_all();
  } else {
    block = make_block(taken_);
  }
  taken_ += block->records.size();
  return block;
}

void Preparation::reuse(std::unique_ptr<PreparedBlock> block) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(block));
}

std::unique_ptr<PreparedBlock> Preparation::make_block(size_t first) {
  std::unique_ptr<PreparedBlock> block;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      block = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!block) block = std::make_unique<PreparedBlock>();
  block->records.clear();
  block->buffer.clear();
  const size_t end = std::min(first + kFactsPerBlock, facts_.size());
  try {
    for (size_t i = first; i < end; ++i) {
      Prepared record = prepare(facts_[i], at_us_, block->buffer);
      record.first_row = block->buffer.rows().size();
      if (Admission::rows_say_all(facts_[i])) record.rows = add_rows(facts_[i], block->buffer);
      block->records.push_back(std::move(record));
    }
  } catch (...) {
    block->failure = std::current_exception();
  }
  look_up(block->records, map_);
  hash(block->records);
  return block;
}

void Preparation::work(const std::stop_token& stop) {
  for (size_t at = 0; at < facts_.size();) {
    std::unique_ptr<PreparedBlock> block = make_block(at);
    at = block->failure ? facts_.size() : at + block->records.size();
    std::unique_lock lock(mutex_);
    if (!changed_.wait(lock, stop, [&] { return ready_.size() < kBlocksAhead; })) return;
    ready_.push_back(std::move(block));
    changed_.notify_all();
  }
}

}  // namespace cleared::ledger
