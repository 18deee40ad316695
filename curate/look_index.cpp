#include "curate/look_index.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <numeric>

#include "curate/look_files.h"
#include "curate/mapped.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"

namespace cleared::curate {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kTail = uint64_t{4096} * kKeptLooks;          // fingerprints that gather
constexpr uint64_t kLargest = (uint64_t{1} << 22) * kKeptLooks;  // of a run that is merged
// A part that lies two percent off is so many bits away, a strange one 128 +- 8, and 64 +- 6 in the
// slower half of its waves.
constexpr int kRough = 72, kRoughHalf = 34;
constexpr size_t kRoughBlock = size_t{1} << 14;
constexpr char kMagic[] = "cleared looks 1\n";  // 16 bytes, without the end

struct Header {
  char magic[16];
  uint64_t sources, zero;
  unsigned char digest[32];  // SHA-256 of the table
};
static_assert(sizeof(Header) == 64);

// Of the table.
struct Row {
  Digest source;
  std::array<uint32_t, kKeptLooks> counts;
};
static_assert(sizeof(Row) == 32 + 4 * kKeptLooks);

size_t parts_begin(size_t sources) {
  return (sizeof(Header) + sizeof(Row) * sources + 63) / 64 * 64;
}

uint64_t total(std::span<const std::array<uint32_t, kKeptLooks>> counts) {
  uint64_t sum = 0;
  for (const auto& row : counts) sum = std::accumulate(row.begin(), row.end(), sum);
  return sum;
}

fs::path runs_folder(const fs::path& folder) {
  return folder / "looks";
}

// `id` counts the pictures of sources that end at `ends`, the first of them `first`.
LookIndex::Hit hit_of(std::span<const uint32_t> ends, uint32_t first, uint32_t query, uint32_t id,
                      int distance) {
  const auto source = std::upper_bound(ends.begin(), ends.end(), id) - ends.begin();
  const uint32_t begin = source == 0 ? 0 : ends[static_cast<size_t>(source) - 1];
  return {query, first + static_cast<uint32_t>(source), id - begin, distance};
}

// The waves that change slowly down the picture come last: here they are the first half.
Pdq slow_first(const Pdq& print) {
  Pdq out = print;
  std::rotate(out.begin(), out.begin() + 16, out.end());
  return out;
}

}  // namespace

uint64_t LookIndex::Run::prints() const {
  return total(counts);
}

void LookIndex::Run::count_ends() {
  for (size_t look = 0; look < kKeptLooks; ++look) {
    uint32_t end = 0;
    for (const Counts& row : counts) ends[look].push_back(end += row[look]);
  }
}

LookIndex::Run LookIndex::Run::open(const fs::path& path) {
  const std::string what = "look index " + path.string();
  const auto corrupt = [&](const char* why) { throw Error(Errc::corrupt, what, ": ", why); };
  const Mapped file = map_file(path);
  Header header;
  if (file.bytes.size() < sizeof header) corrupt("cut short");
  std::memcpy(&header, file.bytes.data(), sizeof header);
  if (std::memcmp(header.magic, kMagic, sizeof header.magic) != 0) corrupt("of another version");
  if (header.sources == 0 || header.sources > file.bytes.size() / sizeof(Row) ||
      file.bytes.size() < parts_begin(header.sources)) {
    corrupt("cut short");
  }
  const auto table = file.bytes.subspan(sizeof header, sizeof(Row) * header.sources);
  if (header.zero != 0 ||
      std::memcmp(ledger::sha256(ByteView(table)).bytes.data(), header.digest, 32) != 0) {
    corrupt("damaged: the digest of its table is another");
  }
  Run out;
  for (size_t i = 0; i < header.sources; ++i) {
    Row row;
    std::memcpy(&row, table.data() + sizeof row * i, sizeof row);
    out.sources.push_back(row.source);
    out.counts.push_back(row.counts);
  }
  out.count_ends();
  auto rest = file.bytes.subspan(parts_begin(header.sources));
  for (size_t look = 0; look < kKeptLooks; ++look) {
    if (out.ends[look].back() == 0) continue;
    out.parts[look] = SearchRun::inside(file.owner, rest, what);
    if (out.parts[look]->prints().size() != out.ends[look].back()) {
      corrupt("its table contradicts a part");
    }
    rest = rest.subspan(out.parts[look]->size_bytes());
  }
  if (!rest.empty()) corrupt("with something behind its end");
  return out;
}

void LookIndex::Run::write(const fs::path& path,
                           const std::function<SearchRun(size_t)>& part) const {
  std::string table(parts_begin(sources.size()) - sizeof(Header), '\0');
  for (size_t i = 0; i < sources.size(); ++i) {
    const Row row{sources[i], counts[i]};
    std::memcpy(table.data() + sizeof row * i, &row, sizeof row);
  }
  Header header{.magic = {}, .sources = sources.size(), .zero = 0, .digest = {}};
  std::memcpy(header.magic, kMagic, sizeof header.magic);
  const Digest digest =
      ledger::sha256(std::string_view(table).substr(0, sizeof(Row) * sources.size()));
  std::memcpy(header.digest, digest.bytes.data(), sizeof header.digest);
  write_large_file(path, [&](int fd) {
    write_all(fd, {reinterpret_cast<const char*>(&header), sizeof header}, path.string());
    write_all(fd, table, path.string());
    for (size_t look = 0; look < kKeptLooks; ++look) {
      if (ends[look].back() > 0) part(look).write(fd, path.string());
    }
  });
}

std::vector<std::string> LookIndex::load(const fs::path& folder, std::span<const Digest> sources,
                                         Runs runs) {
  CLEARED_CHECK(size() == 0 && !folder.empty());
  folder_ = folder;
  keep_ = runs;
  std::vector<std::string> problems;
  for (const RunName& name : runs_in(runs_folder(folder))) {
    if (name.first != sealed_) continue;
    const fs::path path = name.in(runs_folder(folder));
    try {
      Run run = Run::open(path);
      const size_t count = run.sources.size();
      if (count != name.count || count > sources.size() - sealed_ ||
          !std::equal(run.sources.begin(), run.sources.end(),
                      sources.begin() + static_cast<ptrdiff_t>(sealed_))) {
        throw Error(Errc::corrupt, "look index ", path.string(), ": not of this ledger");
      }
      sealed_ += count;
      runs_.push_back(std::move(run));
    } catch (const Error& error) {
      problems.emplace_back(error.what());
    }
  }
  sources_.assign(sources.begin(), sources.begin() + static_cast<ptrdiff_t>(sealed_));
  for (const Digest& source : sources.subspan(sealed_)) add(source, read_looks(folder, source));
  return problems;
}

void LookIndex::forget(const fs::path& folder, size_t source) {
  std::error_code none;
  for (const RunName& name : runs_in(runs_folder(folder))) {
    if (name.first <= source && source < name.first + name.count) {
      fs::remove(name.in(runs_folder(folder)), none);
    }
  }
}

void LookIndex::add(const Digest& source, std::vector<Track> kept) {
  CLEARED_CHECK(kept.empty() || kept.size() == kKeptLooks);
  gather(source, kept);
  if (folder_.empty()) {
    kept_.push_back(std::move(kept));
  } else {
    sources_.push_back(source);
  }
  if (total(tail_.counts) >= kTail) seal();
}

void LookIndex::gather(const Digest& source, std::span<const Track> kept) {
  Counts counts{};
  for (size_t look = 0; look < kept.size(); ++look) {
    for (const Fingerprint& print : kept[look].prints) {
      if (print.quality < kFeatureless) continue;
      tail_.prints[look].push_back(print.bits);
      ++counts[look];
    }
  }
  tail_.sources.push_back(source);
  tail_.counts.push_back(counts);
}

void LookIndex::save() {
  if (keep_ != Runs::write || folder_.empty()) return;
  if (!tail_.sources.empty()) seal();
  size_t first = 0;
  std::vector<fs::path> used;
  for (const Run& run : runs_) {
    used.push_back(RunName{first, run.sources.size()}.in(runs_folder(folder_)));
    first += run.sources.size();
  }
  for (const RunName& name : runs_in(runs_folder(folder_))) {
    const fs::path path = name.in(runs_folder(folder_));
    std::error_code none;
    if (std::find(used.begin(), used.end(), path) == used.end()) fs::remove(path, none);
  }
}

// Part by part, so that one part is in memory at most, where there is a folder to write to.
void LookIndex::seal() {
  Run run{.sources = {}, .counts = {}, .parts = {}, .ends = {}};
  size_t merged = 0;
  for (uint64_t prints = total(tail_.counts); merged < runs_.size(); ++merged) {
    const uint64_t before = runs_[runs_.size() - 1 - merged].prints();
    if (before > prints || before + prints > kLargest) break;
    prints += before;
  }
  const std::span<const Run> old(runs_.end() - static_cast<ptrdiff_t>(merged), runs_.end());
  size_t first = sealed_;
  for (const Run& one : old) {
    first -= one.sources.size();
    run.sources.insert(run.sources.end(), one.sources.begin(), one.sources.end());
    run.counts.insert(run.counts.end(), one.counts.begin(), one.counts.end());
  }
  run.sources.insert(run.sources.end(), tail_.sources.begin(), tail_.sources.end());
  run.counts.insert(run.counts.end(), tail_.counts.begin(), tail_.counts.end());
  run.count_ends();
  const auto part = [&](size_t look) {
    std::vector<Pdq> prints;
    for (const Run& one : old) {
      if (!one.parts[look]) continue;
      const auto of_one = one.parts[look]->prints();
      prints.insert(prints.end(), of_one.begin(), of_one.end());
    }
    prints.insert(prints.end(), tail_.prints[look].begin(), tail_.prints[look].end());
    return SearchRun(prints);
  };
  if (folder_.empty() || keep_ == Runs::read) {
    for (size_t look = 0; look < kKeptLooks; ++look) {
      if (run.ends[look].back() > 0) run.parts[look] = part(look);
    }
  } else {
    const fs::path path = RunName{first, run.sources.size()}.in(runs_folder(folder_));
    make_folders(runs_folder(folder_));
    run.write(path, part);
    run = Run::open(path);
    for (const Run& one : old) {
      fs::remove(RunName{first, one.sources.size()}.in(runs_folder(folder_)));
      first += one.sources.size();
    }
  }
  runs_.resize(runs_.size() - merged);
  sealed_ += tail_.sources.size();
  runs_.push_back(std::move(run));
  tail_ = {};
}

std::vector<uint32_t> LookIndex::tail_ends(size_t look) const {
  std::vector<uint32_t> ends;
  for (const Counts& counts : tail_.counts) {
    ends.push_back((ends.empty() ? 0 : ends.back()) + counts[look]);
  }
  return ends;
}

void LookIndex::near(size_t look, std::span<const Pdq> queries, std::vector<Hit>& out) const {
  uint32_t first = 0;
  const auto put = [&](std::span<const uint32_t> ends, uint32_t query, uint32_t id, int bits) {
    out.push_back(hit_of(ends, first, query, id, bits));
  };
  std::vector<NearPair> pairs;
  for (const Run& run : runs_) {
    pairs.clear();
    if (run.parts[look]) run.parts[look]->near_all(queries, pairs);
    for (const NearPair& pair : pairs) put(run.ends[look], pair.query, pair.id, pair.distance);
    first += static_cast<uint32_t>(run.sources.size());
  }
  const std::vector<uint32_t> ends = tail_ends(look);
  const auto in_tail = near_of_all(queries, tail_.prints[look]);
  for (uint32_t q = 0; q < in_tail.size(); ++q) {
    for (const Near& near : in_tail[q]) put(ends, q, near.id, near.distance);
  }
}

void LookIndex::roughly(size_t look, std::span<const Pdq> queries, RoughLimits limits,
                        std::vector<Hit>& out) const {
  if (queries.empty()) return;
  std::vector<Pdq> asked, base;
  for (const Pdq& query : queries) asked.push_back(slow_first(query));
  std::map<uint32_t, std::vector<Hit>> nearest;
  const auto put = [&](const Hit& hit) {
    std::vector<Hit>& all = nearest[hit.source];
    for (Hit& one : all) {
      if (one.query != hit.query) continue;
      if (hit.distance < one.distance) one = hit;
      return;
    }
    if (all.size() < limits.most) {
      all.push_back(hit);
      return;
    }
    const auto worst = std::max_element(
        all.begin(), all.end(), [](const Hit& a, const Hit& b) { return a.distance < b.distance; });
    if (hit.distance < worst->distance) *worst = hit;
  };
  const auto compare = [&](std::span<const Pdq> prints, std::span<const uint32_t> ends,
                           uint32_t first) {
    for (size_t from = 0; from < prints.size(); from += kRoughBlock * limits.every) {
      base.clear();
      for (size_t i = from; i < prints.size() && base.size() < kRoughBlock; i += limits.every) {
        base.push_back(slow_first(prints[i]));
      }
      const auto near = near_of_all(asked, base, kRough, kRoughHalf);
      for (uint32_t q = 0; q < near.size(); ++q) {
        for (const Near& one : near[q]) {
          const auto id = static_cast<uint32_t>(from + one.id * limits.every);
          put(hit_of(ends, first, q, id, one.distance));
        }
      }
    }
  };
  uint32_t first = 0;
  for (const Run& run : runs_) {
    if (run.parts[look]) compare(run.parts[look]->prints(), run.ends[look], first);
    first += static_cast<uint32_t>(run.sources.size());
  }
  compare(tail_.prints[look], tail_ends(look), first);
  for (const auto& [source, all] : nearest) out.insert(out.end(), all.begin(), all.end());
}

uint64_t LookIndex::pictures(size_t look) const {
  uint64_t sum = tail_.prints[look].size();
  for (const Run& run : runs_) sum += run.ends[look].empty() ? 0 : run.ends[look].back();
  return sum;
}

std::vector<Track> LookIndex::kept(size_t source) const {
  return folder_.empty() ? kept_[source] : read_looks(folder_, sources_[source]);
}

std::vector<Track> LookIndex::insets(size_t source) const {
  return folder_.empty() ? std::vector<Track>() : read_insets(folder_, sources_[source]);
}

uint64_t LookIndex::size_bytes() const {
  uint64_t sum = total(tail_.counts) * sizeof(Pdq);
  for (const Run& run : runs_) {
    for (const auto& part : run.parts) sum += part ? part->size_bytes() : 0;
  }
  return sum;
}

}  // namespace cleared::curate
