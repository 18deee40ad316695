// A published log (docs/formats/published.md) as a reader sees it who has the log's key and trusts
// nothing else: every digest that leaves this file is proven up to a root. The files may come from
// a folder or over a network; both are a Fetch. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/note.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

// The bytes of one file of a log, by its path below the prefix: "checkpoint", "tile/0/001.p/44".
// Error{not_found}: it is not served; io: it could not be had; corrupt: longer than `limit_bytes`.
using Fetch = std::function<std::string(const std::string& path, uint64_t limit_bytes)>;
Fetch fetch_from_folder(const std::filesystem::path& folder);

constexpr const char* kHeadFile = "checkpoint";  // its name in C2SP; a signed tree head to us
constexpr uint64_t kMaxHeadFileBytes = 1 << 20;
constexpr uint64_t kMaxBundleBytes = 256 * (2 + 65'535);

// What is signed or served does not fit together: the answer to "is it so?" is no. What the bytes
// do not even say is a plain Error{corrupt}.
class NotProven : public Error {
 public:
  template <class... Parts>
  explicit NotProven(const Parts&... parts) : Error(Errc::corrupt, parts...) {}
};

// The tree head of a note that one of the keys of a log signed about that log; `where` names it in
// errors.
TreeHead open_head(const std::string& note, std::span<const VerifierKey> log_keys,
                   std::string_view where);

// The partial tiles of a tree: all it takes to know its root and to go on from its size. At most
// 255 digests of each level.
class TileEdge {
 public:
  // A tile that became full, 8,192 bytes.
  using Full = std::function<void(unsigned level, uint64_t index, const std::string& digests)>;

  TileEdge() = default;
  // `partial[l]` is the partial tile of level l, empty where the tree has none. Error{corrupt} when
  // one has another width than the tree of `size` leaves has there.
  TileEdge(uint64_t size, std::vector<std::string> partial);

  void append(const Digest& leaf, const Full& full);
  uint64_t size() const { return size_; }
  Digest root() const;
  const std::vector<std::string>& partial() const { return partial_; }

 private:
  uint64_t size_ = 0;
  std::vector<std::string> partial_;
};

class TileReader {
 public:
  // Fetches the partial tiles of the tree and proves them.
  TileReader(Fetch fetch, const TreeHead& head);

  const TreeHead& head() const { return head_; }
  const TileEdge& edge() const { return edge_; }
  uint64_t fetched() const { return fetched_; }  // tiles so far

  // The tile as the tree of the head has it, full or partial; fetches the full tiles over it that
  // were not the last ones asked for.
  const std::string& tile(unsigned level, uint64_t index);
  // Root of the first `size` records, size <= head.size. Costs at most two tiles a level.
  Digest root(uint64_t size);
  // RFC 6962 proof that they are the beginning of the tree; 0 < size <= head.size.
  std::vector<Digest> consistency_proof(uint64_t size);
  // The records [256 index, ...) that the tree has there, each proven to be its leaf.
  std::vector<std::string> records(uint64_t index);

 private:
  Digest range(uint64_t begin, uint64_t end);
  std::string fetch_tile(unsigned level, uint64_t index, unsigned width);

  Fetch fetch_;
  TreeHead head_;
  TileEdge edge_;
  uint64_t fetched_ = 0;
  std::map<unsigned, std::pair<uint64_t, std::string>> newest_;  // level: index and full tile
};

}  // namespace cleared::ledger
