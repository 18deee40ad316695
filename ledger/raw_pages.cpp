#include "ledger/raw_pages.h"

#include <algorithm>
#include <bit>

namespace cleared::ledger {
namespace {

constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr size_t kFileHeader = 100;
constexpr uint64_t kLockByte = 0x40000000;  // the page with it holds nothing
constexpr size_t kFreeBlockHeader = 4;

}  // namespace

RawPages::RawPages(const Database& db) : db_(db) {
  std::string header(kFileHeader, '\0');
  if (!db_.file_is_whole() || !db_.read_file(0, header) || !header.starts_with(kMagic)) return;
  const uint32_t size = page_u16(header, 16) == 1 ? 65536 : page_u16(header, 16);
  const bool plain = size >= 512 && std::has_single_bit(size) && page_u8(header, 20) == 0 &&
                     page_u32(header, 52) == 0 && page_u32(header, 56) == 1;
  const int64_t pages = db_.integer("PRAGMA page_count");
  if (!plain || db_.integer("PRAGMA page_size") != size || pages < 2 || pages > INT32_MAX) return;
  bytes_ = size;
  count_ = static_cast<uint32_t>(pages);
}

bool RawPages::read(uint32_t page, std::string& out) const {
  if (!usable() || page < 2 || page > count_ || page == kLockByte / bytes_ + 1) return false;
  out.resize(bytes_);
  return db_.read_file(uint64_t{page - 1} * bytes_, out);
}

uint32_t RawPages::root(std::string_view type, std::string_view name) const {
  if (!usable()) return 0;
  Statement select(db_, "SELECT rootpage FROM sqlite_schema WHERE type = ? AND name = ?");
  if (!select.with(type, name).next()) return 0;
  const int64_t root = select.integer(0);
  return select.next() || root < 2 || root > count_ ? 0 : static_cast<uint32_t>(root);
}

bool cells_fit(std::string_view page, size_t header) {
  return page.size() >= header && header + 2 * page_u16(page, 3) <= page.size();
}

bool PageSpace::begin(std::string_view page, size_t header) {
  bytes_ = page.size();
  content_ = page_u16(page, 5) == 0 ? 65536 : page_u16(page, 5);
  between_ = page_u8(page, 7);
  total_ = 0;
  used_.assign(bytes_ / 64, 0);
  if (content_ > bytes_ || content_ < header + 2 * page_u16(page, 3)) return false;
  size_t least = content_;  // free blocks rise
  for (size_t at = page_u16(page, 1); at != 0;) {
    if (at < least || at + kFreeBlockHeader > bytes_) return false;
    const size_t size = page_u16(page, at + 2);
    if (size < kFreeBlockHeader || !take(at, size)) return false;
    least = at + size;
    at = page_u16(page, at);
  }
  return true;
}

bool PageSpace::add(size_t at, size_t bytes) {
  return take(at, std::max<size_t>(bytes, 4));
}

bool PageSpace::take(size_t at, size_t bytes) {
  if (at < content_ || at > bytes_ || bytes > bytes_ - at) return false;
  total_ += bytes;
  for (const size_t end = at + bytes; at < end;) {
    const size_t count = std::min(64 - at % 64, end - at);
    const uint64_t mask = (~uint64_t{0} >> (64 - count)) << at % 64;
    uint64_t& word = used_[at / 64];
    if ((word & mask) != 0) return false;
    word |= mask;
    at += count;
  }
  return true;
}

}  // namespace cleared::ledger
