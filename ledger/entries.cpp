#include "ledger/entries.h"

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

constexpr size_t kLengthBytes = 2;

}  // namespace

std::vector<std::string_view> split_bundle(std::string_view bundle, std::string_view where) {
  std::vector<std::string_view> records;
  records.reserve(kBundleRecords);
  while (!bundle.empty()) {
    if (bundle.size() < kLengthBytes) throw Error(Errc::corrupt, where, ": is cut short");
    const size_t size = static_cast<size_t>(static_cast<unsigned char>(bundle[0])) << 8 |
                        static_cast<unsigned char>(bundle[1]);
    if (bundle.size() - kLengthBytes < size) throw Error(Errc::corrupt, where, ": is cut short");
    records.push_back(bundle.substr(kLengthBytes, size));
    bundle.remove_prefix(kLengthBytes + size);
  }
  return records;
}

Entries::Entries(const Database& db) : db_(&db) {
  const auto bundles =
      static_cast<uint64_t>(db.integer("SELECT COALESCE(MAX(number) + 1, 0) FROM bundle"));
  const auto end = static_cast<uint64_t>(db.integer("SELECT COALESCE(MAX(seq) + 1, 0) FROM leaf"));
  flushed_ = std::max(bundles * kBundleRecords, end);
}

std::string Entries::read(uint64_t seq) const {
  const uint64_t tail_begin = size() - size() % kBundleRecords;
  if (tail_loaded_ && seq >= tail_begin && seq < size())
    return std::string(in_tail(seq - tail_begin));
  const uint64_t number = seq / kBundleRecords;
  const std::string where = db_->name() + ": bundle " + std::to_string(number);
  if (cached_number_ != number) {
    Statement bundle(*db_, "SELECT entries FROM bundle WHERE number = ?");
    if (bundle.with(number).next()) {
      cached_ = bundle.text(0);
      cached_number_ = number;
    }
  }
  if (cached_number_ == number) {
    const auto records = split_bundle(cached_, where);
    if (seq % kBundleRecords >= records.size()) {
      throw Error(Errc::corrupt, where, ": holds only ", records.size(), " records");
    }
    return std::string(records[seq % kBundleRecords]);
  }
  Statement leaf(*db_, "SELECT bytes FROM leaf WHERE seq = ?");
  if (!leaf.with(seq).next()) throw Error(Errc::not_found, db_->name(), ": has no record ", seq);
  return leaf.text(0);
}

void Entries::scan(uint64_t begin, uint64_t end,
                   const std::function<void(uint64_t, std::string_view)>& use) const {
  Statement bundles(*db_, "SELECT number, entries FROM bundle WHERE number >= ? ORDER BY number");
  bundles.with(begin / kBundleRecords);
  uint64_t seq = begin;
  while (seq < end && bundles.next()) {
    const uint64_t number = bundles.unsigned_integer(0);
    if (number != seq / kBundleRecords) break;
    const auto records =
        split_bundle(bundles.view(1), db_->name() + ": bundle " + std::to_string(number));
    for (; seq < end && seq / kBundleRecords == number; ++seq) {
      if (seq % kBundleRecords >= records.size()) {
        throw Error(Errc::corrupt, db_->name(), ": bundle ", number, ": holds only ",
                    records.size(), " records");
      }
      use(seq, records[seq % kBundleRecords]);
    }
  }
  for (; seq < end; ++seq) use(seq, read(seq));
}

void Entries::load_tail() {
  tail_loaded_ = true;
  for (uint64_t seq = flushed_ - flushed_ % kBundleRecords; seq < flushed_; ++seq) {
    Statement leaf(*db_, "SELECT bytes FROM leaf WHERE seq = ?");
    if (!leaf.with(seq).next()) {
      throw Error(Errc::corrupt, db_->name(), ": record ", seq, " is missing; run ledger verify");
    }
    add_to_tail(leaf.view(0));
  }
  tail_flushed_ = begins_.size();
}

void Entries::add_to_tail(std::string_view bytes) {
  CLEARED_CHECK(bytes.size() <= kMaxRecordBytes);
  tail_ += static_cast<char>(bytes.size() >> 8);
  tail_ += static_cast<char>(bytes.size() & 0xFFU);
  begins_.push_back(tail_.size());
  tail_ += bytes;
}

std::string_view Entries::in_tail(size_t i) const {
  const size_t end = i + 1 < begins_.size() ? begins_[i + 1] - kLengthBytes : tail_.size();
  return std::string_view(tail_).substr(begins_[i], end - begins_[i]);
}

void Entries::append(std::string_view bytes) {
  if (!tail_loaded_) load_tail();
  add_to_tail(bytes);
  if (begins_.size() < kBundleRecords) return;
  const uint64_t number = (size() - 1) / kBundleRecords;
  if (!insert_bundle_) insert_bundle_.emplace(*db_, "INSERT INTO bundle VALUES(?, ?)");
  insert_bundle_->with(number, Blob{tail_}).run();
  if (tail_flushed_ > 0) Statement(*db_, "DELETE FROM leaf").run();
  flushed_ = (number + 1) * kBundleRecords;
  tail_.clear();
  begins_.clear();
  tail_flushed_ = 0;
}

void Entries::flush() {
  if (tail_flushed_ == begins_.size()) return;
  if (!insert_leaf_) insert_leaf_.emplace(*db_, "INSERT INTO leaf VALUES(?, ?)");
  for (; tail_flushed_ < begins_.size(); ++tail_flushed_) {
    insert_leaf_->with(flushed_, Blob{in_tail(tail_flushed_)}).run();
    ++flushed_;
  }
}

}  // namespace cleared::ledger
