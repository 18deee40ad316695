#include "ledger/merkle.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/sha256_lanes.h"

namespace cleared::ledger {
namespace {

constexpr std::byte kLeafPrefix[] = {std::byte{0}};
constexpr std::byte kNodePrefix{1};

// How many leaves go left: the largest power of two below n (n > 1).
uint64_t left_size(uint64_t n) {
  return std::bit_floor(n - 1);
}

uint64_t lowest_bit(uint64_t n) {
  return n & (~n + 1);
}

// The edge of a tree: complete subtrees side by side from leaf 0, largest first, one for each bit
// of the number of leaves. It is all that has to be kept of a tree to add to its right.
using Edge = std::array<Digest, 64>;

// Adds a complete subtree; `count` is a power of two that divides `leaves`.
void add_subtree(Edge& edge, uint64_t& leaves, const Digest& root, uint64_t count) {
  size_t depth = static_cast<size_t>(std::popcount(leaves));
  Digest digest = root;
  for (uint64_t bit = count; (leaves & bit) != 0; bit <<= 1) {
    digest = node_digest(edge[--depth], digest);
  }
  leaves += count;
  edge[depth] = digest;
}

// The root over the edge of `leaves` leaves and what may lie to its right, complete or not.
Digest edge_root(const Edge& edge, uint64_t leaves, const Digest* rest) {
  size_t depth = static_cast<size_t>(std::popcount(leaves));
  CLEARED_CHECK(depth > 0);
  Digest digest = rest != nullptr ? *rest : edge[--depth];
  while (depth > 0) digest = node_digest(edge[--depth], digest);
  return digest;
}

std::vector<Digest> roots_of(std::span<const Digest> leaves, const std::vector<LeafRange>& path) {
  std::vector<Digest> out;
  out.reserve(path.size());
  for (const auto& [begin, end] : path) {
    out.push_back(root_digest(leaves.subspan(begin, end - begin)));
  }
  return out;
}

}  // namespace

Digest leaf_digest(ByteView record) {
  return sha256({kLeafPrefix, record});
}

Digest node_digest(const Digest& left, const Digest& right) {
  std::array<std::byte, 65> message;  // one call to the hash is faster than three
  message[0] = kNodePrefix;
  std::memcpy(&message[1], left.bytes.data(), 32);
  std::memcpy(&message[33], right.bytes.data(), 32);
  return sha256(ByteView(message));
}

void leaf_digests(std::span<const ByteView> records, std::span<Digest> out) {
  sha256_each(kLeafPrefix[0], records, out);
}

void node_digests(std::span<const Digest> pairs, std::span<Digest> out) {
  static_assert(sizeof(Digest) == 32);
  std::array<ByteView, 64> messages;
  for (size_t i = 0; i < out.size(); i += messages.size()) {
    const size_t count = std::min(messages.size(), out.size() - i);
    for (size_t j = 0; j < count; ++j) {
      messages[j] = ByteView(pairs[2 * (i + j)].bytes.data(), 2 * sizeof(Digest));
    }
    sha256_each(kNodePrefix, std::span(messages).first(count), out.subspan(i, count));
  }
}

Digest root_digest(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256(ByteView());
  // Level by level, so that nodes are hashed many at a time. Neighbours lie side by side; one
  // without a neighbour is a node of the level above as it is.
  std::vector<Digest> level;
  while (leaves.size() > 1) {
    const size_t pairs = leaves.size() / 2;
    std::vector<Digest> above(pairs + leaves.size() % 2);
    node_digests(leaves.first(2 * pairs), std::span(above).first(pairs));
    if (leaves.size() % 2 != 0) above.back() = leaves.back();
    level = std::move(above);
    leaves = level;
  }
  return leaves[0];
}

void RootBuilder::add(const Digest& leaf) {
  add_subtree(edge_, size_, leaf, 1);
}

Digest RootBuilder::root() const {
  return size_ == 0 ? root_digest({}) : edge_root(edge_, size_, nullptr);
}

std::vector<LeafRange> inclusion_path(uint64_t index, uint64_t size) {
  if (index >= size) throw Error(Errc::usage, "inclusion proof: no leaf ", index, " of ", size);
  std::vector<LeafRange> path;
  LeafRange node{0, size};
  while (node.end - node.begin > 1) {  // from the root down: the farthest sibling first
    const uint64_t middle = node.begin + left_size(node.end - node.begin);
    if (index < middle) {
      path.push_back({middle, node.end});
      node.end = middle;
    } else {
      path.push_back({node.begin, middle});
      node.begin = middle;
    }
  }
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<LeafRange> consistency_path(uint64_t old_size, uint64_t new_size) {
  if (old_size == 0 || old_size > new_size) {
    throw Error(Errc::usage, "consistency proof: not from size ", old_size, " to ", new_size);
  }
  std::vector<LeafRange> path;
  LeafRange node{0, new_size};
  while (node.end != old_size) {  // down to the node that ends where the old tree ended
    const uint64_t middle = node.begin + left_size(node.end - node.begin);
    if (old_size <= middle) {
      path.push_back({middle, node.end});
      node.end = middle;
    } else {
      path.push_back({node.begin, middle});
      node.begin = middle;
    }
  }
  if (node.begin > 0) path.push_back(node);  // else it is the old root, which the reader has
  std::reverse(path.begin(), path.end());
  return path;
}

std::vector<LeafRange> range_path(uint64_t begin, uint64_t end, uint64_t size) {
  if (begin >= end || end > size) {
    throw Error(Errc::usage, "range proof: no leaves ", begin, " to ", end, " of ", size);
  }
  std::vector<LeafRange> path;
  for (uint64_t at = begin; at > 0; at -= lowest_bit(at)) {
    path.push_back({at - lowest_bit(at), at});
  }
  for (uint64_t at = end; at < size;) {
    const uint64_t count = std::min(lowest_bit(at), size - at);
    path.push_back({at, at + count});
    at += count;
  }
  return path;
}

std::vector<Digest> inclusion_proof(std::span<const Digest> leaves, uint64_t index) {
  return roots_of(leaves, inclusion_path(index, leaves.size()));
}

std::vector<Digest> consistency_proof(std::span<const Digest> leaves, uint64_t old_size) {
  return roots_of(leaves, consistency_path(old_size, leaves.size()));
}

std::vector<Digest> range_proof(std::span<const Digest> leaves, uint64_t begin, uint64_t end) {
  return roots_of(leaves, range_path(begin, end, leaves.size()));
}

bool verify_inclusion(const Digest& leaf, uint64_t index, uint64_t size,
                      std::span<const Digest> proof, const Digest& root) {
  if (index >= size) return false;
  uint64_t last = size - 1;  // of the nodes at the present height, as `index` is
  Digest digest = leaf;
  for (const Digest& sibling : proof) {
    if (last == 0) return false;
    if ((index & 1) != 0 || index == last) {
      // A last node without a sibling is passed on as it is until it becomes a right child.
      const int up = std::countr_zero(index);
      digest = node_digest(sibling, digest);
      index >>= up;
      last >>= up;
    } else {
      digest = node_digest(digest, sibling);
    }
    index >>= 1;
    last >>= 1;
  }
  return last == 0 && digest == root;
}

bool verify_consistency(uint64_t old_size, const Digest& old_root, uint64_t new_size,
                        const Digest& new_root, std::span<const Digest> proof) {
  if (old_size == 0 || old_size > new_size) return false;
  if (old_size == new_size) return proof.empty() && old_root == new_root;
  // Start at the largest complete subtree that ends where the old tree ends.
  const int up = std::countr_zero(old_size);
  uint64_t index = (old_size - 1) >> up;
  uint64_t last = (new_size - 1) >> up;
  Digest old_digest = old_root;  // the old tree is that subtree
  if (index != 0) {
    if (proof.empty()) return false;
    old_digest = proof.front();
    proof = proof.subspan(1);
  }
  Digest new_digest = old_digest;
  for (const Digest& sibling : proof) {
    if (last == 0) return false;
    if ((index & 1) != 0 || index == last) {
      const int skip = std::countr_zero(index);
      old_digest = node_digest(sibling, old_digest);
      new_digest = node_digest(sibling, new_digest);
      index >>= skip;
      last >>= skip;
    } else {
      new_digest = node_digest(new_digest, sibling);
    }
    index >>= 1;
    last >>= 1;
  }
  return last == 0 && old_digest == old_root && new_digest == new_root;
}

bool verify_range(std::span<const Digest> leaves, uint64_t begin, uint64_t size,
                  std::span<const Digest> proof, const Digest& root) {
  if (leaves.empty() || begin > size || leaves.size() > size - begin) return false;
  const size_t left = static_cast<size_t>(std::popcount(begin));
  if (proof.size() < left) return false;
  Edge edge;
  for (size_t i = 0; i < left; ++i) edge[i] = proof[left - 1 - i];
  uint64_t at = begin;
  for (const Digest& leaf : leaves) add_subtree(edge, at, leaf, 1);
  std::span<const Digest> right = proof.subspan(left);
  while (at < size) {
    if (right.empty()) return false;
    const uint64_t count = lowest_bit(at);
    if (count >= size - at) {  // the last one, whether complete or ragged
      return right.size() == 1 && edge_root(edge, at, &right.front()) == root;
    }
    add_subtree(edge, at, right.front(), count);
    right = right.subspan(1);
  }
  return right.empty() && edge_root(edge, at, nullptr) == root;
}

}  // namespace cleared::ledger
