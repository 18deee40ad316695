#include "ledger/raw_index.h"

namespace cleared::ledger {
namespace {

constexpr uint8_t kInnerIndexPage = 0x02;
constexpr uint8_t kLeafIndexPage = 0x0A;
// Of an entry, so that it lies in its page whole, whatever the page's size.
constexpr uint64_t kMostPayload = 64;

}  // namespace

RawIndex::RawIndex(const RawPages& pages, std::string_view name,
                   std::vector<const KeptColumn*> columns)
    : columns_(std::move(columns)) {
  const uint32_t root = pages.root("index", name);
  if (root == 0 || columns_.empty() || columns_.size() > kMostColumns) return;
  const int levels = height(pages, root);
  usable_ = levels >= 0 && add_leaves(pages, root, levels);
}

int RawIndex::height(const RawPages& pages, uint32_t root) const {
  std::string bytes;
  uint32_t page = root;
  for (int height = 0; height <= kMaxHeight; ++height) {
    if (!pages.read(page, bytes)) return -1;
    if (page_u8(bytes, 0) == kLeafIndexPage) return height;
    if (page_u8(bytes, 0) != kInnerIndexPage) return -1;
    page = page_u32(bytes, 8);
  }
  return -1;
}

// The integers of a record, and nothing else; false unless each is that of the row.
bool RawIndex::parse(std::string_view payload, Entry& entry) const {
  const size_t count = columns_.size() + 1;
  // Each size and type takes a byte.
  if (payload.size() < count + 1 || page_u8(payload, 0) != count + 1) return false;
  std::string_view values = payload.substr(count + 1);
  for (size_t i = 0; i < count; ++i) {
    const uint8_t type = page_u8(payload, i + 1);
    const auto bytes = value_bytes(type);
    if (!bytes || *bytes > values.size()) return false;
    const auto integer = integer_of(type, values.substr(0, *bytes));
    if (!integer) return false;
    entry[i] = *integer;
    values.remove_prefix(*bytes);
  }
  if (!values.empty()) return false;
  for (size_t i = 0; i < columns_.size(); ++i) {
    if (!columns_[i]->is(entry[count - 1], entry[i])) return false;
  }
  return true;
}

// The entry of the cell at `at`, behind `prefix` bytes.
std::optional<RawIndex::Entry> RawIndex::take_cell(std::string_view page, size_t at, size_t prefix,
                                                   PageSpace& space) const {
  if (at + prefix > page.size()) return std::nullopt;
  std::string_view cell = page.substr(at + prefix);
  uint64_t size = 0;
  Entry entry{};
  if (!take_page_varint(cell, size, kShort) || size > kMostPayload || size > cell.size() ||
      !space.add(at, page.size() - at - cell.size() + size) ||
      !parse(cell.substr(0, size), entry)) {
    return std::nullopt;
  }
  return entry;
}

// The leaves below `page`, all at one height, and the entries between them, which must rise: this
// also ends any circle.
bool RawIndex::add_leaves(const RawPages& pages, uint32_t page, int height) {
  if (leaves_.size() >= pages.count()) return false;
  all_pages_.push_back(page);
  if (height == 0) {
    leaves_.push_back(page);
    return true;
  }
  std::string bytes;
  PageSpace space;
  if (!pages.read(page, bytes) || page_u8(bytes, 0) != kInnerIndexPage ||
      !cells_fit(bytes, kInteriorHeader) || !space.begin(bytes, kInteriorHeader)) {
    return false;
  }
  const uint32_t cells = page_u16(bytes, 3);
  if (cells == 0) return false;
  std::vector<std::pair<uint32_t, Entry>> below;
  for (uint32_t i = 0; i < cells; ++i) {
    const size_t at = page_u16(bytes, kInteriorHeader + 2 * i);
    const auto entry = take_cell(bytes, at, 4, space);
    if (!entry) return false;
    below.emplace_back(page_u32(bytes, at), *entry);
  }
  if (!space.adds_up()) return false;
  for (const auto& [child, entry] : below) {
    if (!add_leaves(pages, child, height - 1)) return false;
    if (!bounds_.empty() && entry <= bounds_.back()) return false;
    bounds_.push_back(entry);
  }
  return add_leaves(pages, page_u32(bytes, 8), height - 1);
}

bool RawIndex::check_leaf(std::string_view page, size_t number, PageSpace& space) const {
  const uint32_t cells = page_u16(page, 3);
  if (page_u8(page, 0) != kLeafIndexPage || !cells_fit(page, kLeafHeader) ||
      !space.begin(page, kLeafHeader)) {
    return false;
  }
  if (cells == 0 && leaves_.size() > 1) return false;
  std::optional<Entry> last;
  if (number > 0) last = bounds_[number - 1];
  for (uint32_t i = 0; i < cells; ++i) {
    const auto entry = take_cell(page, page_u16(page, kLeafHeader + 2 * i), 0, space);
    if (!entry || (last && *entry <= *last)) return false;
    last = entry;
  }
  if (last && number < bounds_.size() && bounds_[number] <= *last) return false;
  return space.adds_up();
}

bool RawIndex::check(const RawPages& pages, size_t begin, size_t end, uint64_t& entries) const {
  std::string bytes;
  PageSpace space;
  entries = 0;
  for (size_t i = begin; i < end; ++i) {
    if (!pages.read(leaves_[i], bytes) || !check_leaf(bytes, i, space)) return false;
    entries += page_u16(bytes, 3);
  }
  return true;
}

}  // namespace cleared::ledger
