#include "curate/search.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include "curate/mapped.h"
#include "kernels/search_block.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/extraction.h"

namespace cleared::curate {
namespace {

namespace fs = std::filesystem;
static_assert(kAlike == static_cast<int>(ledger::kLeastCopyBits));
using kernels::blocks_with_hits;
using kernels::Hit;
using kernels::hits_of_list;
using kernels::kBlock;
using kernels::Listed;

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

constexpr size_t kChunks = 16;
constexpr int kChunkBits = 16;
constexpr size_t kTail = 4096;
constexpr char kMagic[] = "cleared index 1\n";  // 16 bytes, without the end

struct Header {
  char magic[16];
  uint64_t count;
  uint32_t bucket_bits;  // of a chunk, the upper ones
  uint32_t zero;
  unsigned char digest[32];  // SHA-256 of what follows
};
static_assert(sizeof(Header) == 64);

// Where the parts of a run are, from its first byte.
struct Layout {
  size_t count, bucket_bits;
  size_t buckets() const { return size_t{1} << bucket_bits; }
  size_t directory(size_t chunk) const {
    return sizeof(Header) + 32 * count + 4 * chunk * (buckets() + 1);
  }
  size_t list(size_t chunk) const {
    return (directory(kChunks) + 15) / 16 * 16 + sizeof(Listed) * chunk * count;
  }
  size_t size() const { return list(kChunks); }
};

// About four fingerprints a bucket, until the chunks have no more bits.
size_t bucket_bits_for(size_t count) {
  const size_t wanted = std::bit_width(count / 4);
  return std::min<size_t>(wanted == 0 ? 0 : wanted - 1, kChunkBits);
}

uint32_t chunk_of(const Pdq& print, size_t chunk) {
  return static_cast<uint32_t>(print[2 * chunk] | print[2 * chunk + 1] << 8);
}

void sketch_of(const Pdq& print, size_t chunk, uint32_t* sketch) {
  uint8_t twice[64];
  std::memcpy(twice, print.data(), 32);
  std::memcpy(twice + 32, print.data(), 32);
  std::memcpy(sketch, twice + 2 * (chunk + 1), 12);
}

Digest digest_after_header(std::span<const std::byte> bytes) {
  return ledger::sha256(ByteView(bytes.subspan(sizeof(Header))));
}

// Fills directory and list of one chunk: a counting sort by bucket.
void fill_chunk(std::span<const Pdq> prints, const Layout& layout, size_t chunk, std::byte* run) {
  const size_t shift = kChunkBits - layout.bucket_bits;
  auto* begin = reinterpret_cast<uint32_t*>(run + layout.directory(chunk));
  auto* list = reinterpret_cast<Listed*>(run + layout.list(chunk));
  for (const Pdq& print : prints) ++begin[(chunk_of(print, chunk) >> shift) + 1];
  for (size_t b = 0; b < layout.buckets(); ++b) begin[b + 1] += begin[b];
  std::vector<uint32_t> next(begin, begin + layout.buckets());
  for (size_t i = 0; i < prints.size(); ++i) {
    Listed& entry = list[next[chunk_of(prints[i], chunk) >> shift]++];
    sketch_of(prints[i], chunk, entry.sketch);
    entry.id = static_cast<uint32_t>(i);
  }
}

// Is a print that the list of `chunk` gives in a list before it, too?
bool found_before(const Pdq& print, const Pdq& query, size_t chunk, size_t shift) {
  for (size_t c = 0; c < chunk; ++c) {
    const uint32_t changed = (chunk_of(print, c) ^ chunk_of(query, c)) >> shift;
    if ((changed & (changed - 1)) == 0) return true;
  }
  return false;
}

}  // namespace

fs::path RunName::in(const fs::path& folder) const {
  return folder / (std::to_string(first) + "-" + std::to_string(count) + ".run");
}

std::vector<RunName> runs_in(const fs::path& folder) {
  std::vector<RunName> out;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(folder, none)) {
    unsigned long long first = 0, count = 0;
    if (std::sscanf(entry.path().filename().c_str(), "%llu-%llu.", &first, &count) != 2) continue;
    const RunName name{static_cast<size_t>(first), static_cast<size_t>(count)};
    if (name.in(folder) == entry.path()) out.push_back(name);
  }
  std::sort(out.begin(), out.end(), [](const RunName& a, const RunName& b) {
    return a.first != b.first ? a.first < b.first : a.count > b.count;
  });
  return out;
}

SearchRun::SearchRun(std::shared_ptr<const void> owner, std::span<const std::byte> bytes)
    : owner_(std::move(owner)), bytes_(bytes) {
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  prints_ = {reinterpret_cast<const Pdq*>(bytes.data() + sizeof header), header.count};
}

SearchRun::SearchRun(std::span<const Pdq> prints) {
  CLEARED_CHECK(!prints.empty() && prints.size() < UINT32_MAX);
  const Layout layout{prints.size(), bucket_bits_for(prints.size())};
  const auto [owner, run] = map_memory(layout.size());
  std::memcpy(run + sizeof(Header), prints.data(), 32 * prints.size());
  for (size_t c = 0; c < kChunks; ++c) fill_chunk(prints, layout, c, run);
  const std::span<const std::byte> bytes(run, layout.size());
  Header header{.magic = {},
                .count = prints.size(),
                .bucket_bits = static_cast<uint32_t>(layout.bucket_bits),
                .zero = 0,
                .digest = {}};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  std::memcpy(run, &header, sizeof header);
  *this = SearchRun(owner, bytes);
}

SearchRun SearchRun::inside(std::shared_ptr<const void> owner, std::span<const std::byte> bytes,
                            std::string_view what) {
  const auto corrupt = [&](const char* why) { throw Error(Errc::corrupt, what, ": ", why); };
  if (bytes.size() < sizeof(Header)) corrupt("cut short");
  Header header;
  std::memcpy(&header, bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof header.magic) != 0) corrupt("of another version");
  if (header.count == 0 || header.count >= UINT32_MAX || header.zero != 0 ||
      header.bucket_bits != bucket_bits_for(header.count)) {
    corrupt("its header contradicts itself");
  }
  const Layout layout{header.count, header.bucket_bits};
  if (bytes.size() < layout.size()) corrupt("cut short");
  return SearchRun(std::move(owner), bytes.first(layout.size()));
}

SearchRun SearchRun::open(const fs::path& path) {
  const std::string what = "search index " + path.string();
  const Mapped file = map_file(path);
  SearchRun run = inside(file.owner, file.bytes, what);
  if (run.bytes_.size() != file.bytes.size()) {
    throw Error(Errc::corrupt, what, ": with something behind its end");
  }
  const auto* stored = file.bytes.data() + offsetof(Header, digest);
  if (std::memcmp(digest_after_header(file.bytes).bytes.data(), stored, 32) != 0) {
    throw Error(Errc::corrupt, what, ": damaged: its digest is another");
  }
  return run;
}

void SearchRun::write(int fd, std::string_view what) const {
  Header header;
  std::memcpy(&header, bytes_.data(), sizeof header);
  std::memcpy(header.digest, digest_after_header(bytes_).bytes.data(), sizeof header.digest);
  const auto text = [](const void* at, size_t size) {
    return std::string_view(static_cast<const char*>(at), size);
  };
  write_all(fd, text(&header, sizeof header), what);
  write_all(fd, text(bytes_.data() + sizeof header, bytes_.size() - sizeof header), what);
}

void SearchRun::write(const fs::path& path) const {
  write_large_file(
      path, [&](int fd) { write(fd, path.string()); }, OnDisk::later);
}

// List by list, each asking for the memory that the next one reads.
void SearchRun::near(const Pdq& query, uint32_t first, std::vector<Near>& out) const {
  struct Span {
    uint32_t begin, end;
  };
  const Layout layout{prints_.size(), bucket_bits_for(prints_.size())};
  const auto bits = static_cast<uint32_t>(layout.bucket_bits), shift = kChunkBits - bits;
  const auto* prints = reinterpret_cast<const uint64_t*>(prints_.data());
  const auto list_of = [&](size_t c) {
    return reinterpret_cast<const Listed*>(bytes_.data() + layout.list(c));
  };
  const auto bucket_at = [&](size_t c, uint32_t i) {
    const auto* begin = reinterpret_cast<const uint32_t*>(bytes_.data() + layout.directory(c));
    return begin + ((chunk_of(query, c) >> shift) ^ (i == bits ? 0U : 1U << i));
  };
  Span spans[2][kChunkBits + 1];
  const auto ask = [&](size_t c) {
    for (uint32_t i = 0; i <= bits; ++i) {
      const uint32_t* at = bucket_at(c, i);
      const auto size = static_cast<uint32_t>(prints_.size());
      spans[c % 2][i] = {std::min(at[0], size), std::min(at[1], size)};
      const auto& [begin, end] = spans[c % 2][i];
      const Listed* list = list_of(c);
      for (uint32_t e = begin; e < std::min(end, begin + 24); e += 4) __builtin_prefetch(list + e);
    }
  };
  for (size_t c = 0; c < kChunks; ++c) {
    for (uint32_t i = 0; i <= bits; ++i) __builtin_prefetch(bucket_at(c, i));
  }
  uint64_t words[4];
  std::memcpy(words, query.data(), 32);
  thread_local std::vector<Hit> hits;
  const size_t before = out.size();
  ask(0);
  for (size_t c = 0; c < kChunks; ++c) {
    if (c + 1 < kChunks) ask(c + 1);
    uint32_t sketch[3];
    sketch_of(query, c, sketch);
    for (uint32_t i = 0; i <= bits; ++i) {
      const auto [begin, end] = spans[c % 2][i];
      if (begin >= end) continue;
      if (hits.size() < end - begin) hits.resize(end - begin);
      const size_t found = hits_of_list(list_of(c) + begin, end - begin, sketch, words, prints,
                                        prints_.size(), kAlike, hits.data());
      for (size_t h = 0; h < found; ++h) {
        if (found_before(prints_[hits[h].id], query, c, shift)) continue;
        out.push_back({first + hits[h].id, hits[h].distance});
      }
    }
  }
  std::sort(out.begin() + static_cast<ptrdiff_t>(before), out.end(),
            [](const Near& a, const Near& b) { return a.id < b.id; });
}

// Chunk by chunk, the buckets that the queries ask for in the order of the list.
void SearchRun::near_all(std::span<const Pdq> queries, std::vector<NearPair>& out) const {
  constexpr size_t kAtOnce = 65536;
  constexpr size_t kFew = 4096;  // fewer jump from bucket to bucket as quickly
  const size_t all = queries.size();
  std::vector<Near> found;
  for (uint32_t q = 0; all < kFew && q < all; ++q) {
    found.clear();
    near(queries[q], 0, found);
    for (const Near& one : found) out.push_back({q, one.id, one.distance});
  }
  if (all < kFew) return;
  for (size_t first = 0; first < all; first += kAtOnce) {
    near_block(queries.subspan(first, std::min(kAtOnce, all - first)), static_cast<uint32_t>(first),
               out);
  }
}

void SearchRun::near_block(std::span<const Pdq> queries, uint32_t first,
                           std::vector<NearPair>& out) const {
  const Layout layout{prints_.size(), bucket_bits_for(prints_.size())};
  const auto bits = static_cast<uint32_t>(layout.bucket_bits), shift = kChunkBits - bits;
  const auto* prints = reinterpret_cast<const uint64_t*>(prints_.data());
  const auto size = static_cast<uint32_t>(prints_.size());
  std::vector<uint32_t> ends, asking;  // of each bucket the queries that ask for it
  std::vector<Hit> hits;
  for (size_t c = 0; c < kChunks; ++c) {
    ends.assign(layout.buckets() + 1, 0);
    asking.resize(queries.size() * (bits + 1));
    const auto each = [&](const auto& visit) {
      for (uint32_t q = 0; q < queries.size(); ++q) {
        const uint32_t bucket = chunk_of(queries[q], c) >> shift;
        visit(q, bucket);
        for (uint32_t i = 0; i < bits; ++i) visit(q, bucket ^ 1U << i);
      }
    };
    each([&](uint32_t, uint32_t bucket) { ++ends[bucket + 1]; });
    for (size_t b = 0; b < layout.buckets(); ++b) ends[b + 1] += ends[b];
    each([&](uint32_t q, uint32_t bucket) { asking[ends[bucket]++] = q; });

    const auto* places = reinterpret_cast<const uint32_t*>(bytes_.data() + layout.directory(c));
    const auto* list = reinterpret_cast<const Listed*>(bytes_.data() + layout.list(c));
    uint32_t at = 0;
    for (size_t b = 0; b < layout.buckets(); ++b) {
      const uint32_t begin = std::min(places[b], size), end = std::min(places[b + 1], size);
      if (begin >= end) at = ends[b];
      for (; at < ends[b]; ++at) {
        const uint32_t q = asking[at];
        if (hits.size() < end - begin) hits.resize(end - begin);
        uint32_t sketch[3];
        sketch_of(queries[q], c, sketch);
        uint64_t words[4];
        std::memcpy(words, queries[q].data(), 32);
        const size_t found = hits_of_list(list + begin, end - begin, sketch, words, prints, size,
                                          kAlike, hits.data());
        for (size_t h = 0; h < found; ++h) {
          if (found_before(prints_[hits[h].id], queries[q], c, shift)) continue;
          out.push_back({first + q, hits[h].id, hits[h].distance});
        }
      }
    }
  }
}

void SearchIndex::add(const Pdq& print) {
  tail_.push_back(print);
  if (tail_.size() == kTail) seal(std::exchange(tail_, {}));
}

void SearchIndex::seal(std::vector<Pdq> prints) {
  sealed_ += prints.size();
  while (!runs_.empty() && runs_.back().prints().size() <= prints.size()) {
    const auto before = runs_.back().prints();
    prints.insert(prints.begin(), before.begin(), before.end());
    runs_.pop_back();
  }
  runs_.emplace_back(prints);
}

void SearchIndex::near(const Pdq& query, std::vector<Near>& out) const {
  out.clear();
  size_t first = 0;
  for (const SearchRun& run : runs_) {
    run.near(query, static_cast<uint32_t>(first), out);
    first += run.prints().size();
  }
  for (size_t i = 0; i < tail_.size(); ++i) {
    const int bits = distance(query, tail_[i]);
    if (bits <= kAlike) out.push_back({static_cast<uint32_t>(first + i), bits});
  }
}

uint64_t SearchIndex::size_bytes() const {
  uint64_t sum = tail_.size() * sizeof(Pdq);
  for (const SearchRun& run : runs_) sum += run.size_bytes();
  return sum;
}

std::vector<std::string> SearchIndex::load(const fs::path& folder, std::span<const Pdq> prints) {
  CLEARED_CHECK(size() == 0);
  std::vector<std::string> problems;
  for (const RunName& name : runs_in(folder)) {
    if (name.first != sealed_) continue;
    try {
      SearchRun run = SearchRun::open(name.in(folder));
      const auto has = run.prints();
      if (has.size() != name.count || has.size() > prints.size() - sealed_ ||
          !std::equal(has.begin(), has.end(), prints.begin() + static_cast<ptrdiff_t>(sealed_))) {
        throw Error(Errc::corrupt, "search index ", name.in(folder).string(),
                    ": not of this ledger");
      }
      sealed_ += has.size();
      runs_.push_back(std::move(run));
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  }
  const auto rest = prints.subspan(sealed_);
  const size_t whole = rest.size() / kTail * kTail;  // one run for all, not one a tail
  if (whole > 0) seal({rest.begin(), rest.begin() + static_cast<ptrdiff_t>(whole)});
  for (const Pdq& print : rest.subspan(whole)) add(print);
  return problems;
}

void SearchIndex::save(const fs::path& folder) const {
  std::set<fs::path> wanted;
  size_t first = 0;
  for (const SearchRun& run : runs_) {
    const size_t count = run.prints().size();
    const fs::path path = RunName{first, count}.in(folder);
    bool there = false;
    try {
      const SearchRun stored = SearchRun::open(path);  // which owns what prints() shows
      there = std::ranges::equal(stored.prints(), run.prints());
    } catch (const Error&) {  // missing or damaged
    }
    if (!there) {
      make_folders(folder);
      run.write(path);
    }
    wanted.insert(path);
    first += count;
  }
  for (const RunName& name : runs_in(folder)) {
    const fs::path path = name.in(folder);
    std::error_code none;
    if (!wanted.contains(path)) fs::remove(path, none);
  }
}

std::vector<std::vector<Near>> near_of_all(std::span<const Pdq> queries, std::span<const Pdq> base,
                                           int radius, int half_radius) {
  CLEARED_CHECK(radius >= 0 && radius < 128 && half_radius >= 0);
  const int half = std::min(radius, half_radius);
  std::vector<std::vector<Near>> out(queries.size());
  const size_t blocks = (base.size() + kBlock - 1) / kBlock;
  constexpr size_t kBlocksAtOnce = 128;  // 16 KiB: they stay in the first-level cache
  std::vector<uint64_t> words(kBlocksAtOnce * kBlock * 2);
  std::vector<uint32_t> hits(kBlocksAtOnce);
  for (size_t first = 0; first < blocks; first += kBlocksAtOnce) {
    const size_t count = std::min(kBlocksAtOnce, blocks - first);
    for (size_t i = 0; i < count * kBlock; ++i) {
      // Past the end stands the last one again; its hits are dropped below.
      const Pdq& print = base[std::min(first * kBlock + i, base.size() - 1)];
      uint64_t word[2];
      std::memcpy(word, print.data(), 16);
      for (size_t w = 0; w < 2; ++w) words[(i / kBlock * 2 + w) * kBlock + i % kBlock] = word[w];
    }
    for (size_t q = 0; q < queries.size(); ++q) {
      uint64_t query[2];
      std::memcpy(query, queries[q].data(), 16);
      const size_t found = blocks_with_hits(query, words.data(), count, half, hits.data());
      for (size_t h = 0; h < found; ++h) {
        const size_t from = (first + hits[h]) * kBlock;
        for (size_t id = from; id < std::min(from + kBlock, base.size()); ++id) {
          const int bits = distance(queries[q], base[id]);
          if (bits <= radius) out[q].push_back({static_cast<uint32_t>(id), bits});
        }
      }
    }
  }
  return out;
}

}  // namespace cleared::curate
