// Every fingerprint within 31 bits of a query, and never one less. For single queries multi-index
// hashing (Norouzi, Punjani and Fleet, "Fast exact search in Hamming space with multi-index
// hashing", 2014), for batches blocked brute force.
//
// The 256 bits are 16 chunks of 16. A fingerprint that differs in two or more bits of every chunk
// differs in 32: so what is near differs in at most one bit of some chunk, and 16 x 17 look-ups
// find it. Each list of the index keeps 96 further bits of a fingerprint beside its number, so that
// strangers are dropped while the list is read in order; only one in some thousands is fetched
// whole. docs/formats/index.md describes the bytes, in memory as on disk.
//
// Reading is safe from any thread; everything else is not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "curate/pdq.h"

namespace cleared::curate {

inline constexpr int kAlike = 31;  // bits of 256; what ledger/extraction.h calls a copy

struct Near {
  uint32_t id = 0;   // position in order of add(), or in `base`
  int distance = 0;  // bits, [0, kAlike]
  bool operator==(const Near&) const = default;
};
struct NearPair {
  uint32_t query = 0, id = 0;  // positions
  int distance = 0;
  bool operator==(const NearPair&) const = default;
};

// A fixed set: its own bytes, or a file mapped into memory. 288 bytes a fingerprint, and a
// directory that is at most 18 more.
class SearchRun {
 public:
  // At least one.
  explicit SearchRun(std::span<const Pdq> prints);
  // Reads and checks the whole file: Error{corrupt} when it is cut short, damaged or of another
  // version; Error{not_found}. Later changes of the file by others are not noticed.
  static SearchRun open(const std::filesystem::path& path);
  // A run inside of a file that `owner` has mapped, from the first of `bytes` on, which are a
  // multiple of 16 from its start. The digest is not looked at: Error{corrupt} that begins with
  // `what` for the rest, and damage further inside costs single answers and nothing else.
  static SearchRun inside(std::shared_ptr<const void> owner, std::span<const std::byte> bytes,
                          std::string_view what);
  // Whole or not at all; after a power cut perhaps damaged, as open() then says.
  void write(const std::filesystem::path& path) const;
  void write(int fd, std::string_view what) const;  // from its place on

  // Appends what is near, positions counted from `first`, ascending.
  void near(const Pdq& query, uint32_t first, std::vector<Near>& out) const;
  // Appends what is near to each of many, in no order. For some thousands each list is read once,
  // from front to end: the way to ask a run that is larger than the memory, and quicker for any.
  void near_all(std::span<const Pdq> queries, std::vector<NearPair>& out) const;
  std::span<const Pdq> prints() const { return prints_; }
  uint64_t size_bytes() const { return bytes_.size(); }

 private:
  explicit SearchRun(std::shared_ptr<const void> owner, std::span<const std::byte> bytes);
  void near_block(std::span<const Pdq> queries, uint32_t first, std::vector<NearPair>& out) const;

  std::shared_ptr<const void> owner_;
  std::span<const std::byte> bytes_;
  std::span<const Pdq> prints_;
};

// "FIRST-COUNT.run" in a folder. Those that start at one place largest first: what a merge left
// behind is not used.
struct RunName {
  size_t first = 0, count = 0;
  std::filesystem::path in(const std::filesystem::path& folder) const;
};
std::vector<RunName> runs_in(const std::filesystem::path& folder);

// A growing set: a tail that is compared one by one, and runs of which two neighbours of about the
// same size are merged, so that n calls of add() cost O(n log n).
class SearchIndex {
 public:
  void add(const Pdq& print);
  void near(const Pdq& query, std::vector<Near>& out) const;  // replaces `out`; ids ascending
  size_t size() const { return sealed_ + tail_.size(); }
  uint64_t size_bytes() const;

  // Starts from the runs of `folder` as far as they hold `prints`, in this order, and adds the
  // rest. Returns what was wrong with the files that were not used, a line each; a missing folder
  // is no error. The files stay as they are.
  std::vector<std::string> load(const std::filesystem::path& folder, std::span<const Pdq> prints);
  // One file a run, FIRST-COUNT.run; those that are there already are not written again, others of
  // such a name are removed. The tail is not stored: it is cheap to add again.
  void save(const std::filesystem::path& folder) const;

 private:
  void seal(std::vector<Pdq> prints);

  std::vector<SearchRun> runs_;  // oldest and largest first
  std::vector<Pdq> tail_;
  size_t sealed_ = 0;
};

// Of each query what is near in `base`, ids ascending: every pair is looked at. `radius` is at most
// 127, and the time is best below 40, of it or of `half_radius`: pairs
// whose first 128 bits differ in more than that may be left out.
std::vector<std::vector<Near>> near_of_all(std::span<const Pdq> queries, std::span<const Pdq> base,
                                           int radius = kAlike, int half_radius = 127);

}  // namespace cleared::curate
