#include "ledger/merkle.h"

#include <bit>

#include "ledger/base/error.h"
#include "ledger/digest.h"

namespace cleared::ledger {
namespace {

constexpr std::byte kLeafPrefix[] = {std::byte{0}};
constexpr std::byte kNodePrefix[] = {std::byte{1}};

// How many leaves go left: the largest power of two below n (n > 1).
uint64_t left_size(uint64_t n) {
  return std::bit_floor(n - 1);
}

}  // namespace

Digest leaf_digest(ByteView record) {
  return sha256({kLeafPrefix, record});
}

Digest node_digest(const Digest& left, const Digest& right) {
  return sha256({kNodePrefix, ByteView(left.bytes), ByteView(right.bytes)});
}

Digest root_digest(std::span<const Digest> leaves) {
  if (leaves.empty()) return sha256(ByteView());
  if (leaves.size() == 1) return leaves[0];
  const uint64_t k = left_size(leaves.size());
  return node_digest(root_digest(leaves.first(k)), root_digest(leaves.subspan(k)));
}

std::vector<Digest> inclusion_proof(std::span<const Digest> leaves, uint64_t index) {
  if (index >= leaves.size()) throw Error(Errc::usage, "inclusion proof: no leaf ", index);
  if (leaves.size() == 1) return {};
  const uint64_t k = left_size(leaves.size());
  const bool left = index < k;
  auto proof =
      inclusion_proof(left ? leaves.first(k) : leaves.subspan(k), left ? index : index - k);
  proof.push_back(root_digest(left ? leaves.subspan(k) : leaves.first(k)));
  return proof;
}

bool verify_inclusion(const Digest& leaf, uint64_t index, uint64_t size,
                      std::span<const Digest> proof, const Digest& root) {
  if (index >= size) return false;
  if (size == 1) return proof.empty() && leaf == root;
  if (proof.empty()) return false;
  // Undo the split from the top: the last sibling is the other half of the whole tree.
  std::vector<bool> sibling_left;
  while (size > 1) {
    const uint64_t k = left_size(size);
    const bool right = index >= k;
    sibling_left.push_back(right);
    index = right ? index - k : index;
    size = right ? size - k : k;
  }
  if (proof.size() != sibling_left.size()) return false;
  Digest digest = leaf;
  for (size_t i = 0; i < proof.size(); ++i) {
    const bool left = sibling_left[sibling_left.size() - 1 - i];
    digest = left ? node_digest(proof[i], digest) : node_digest(digest, proof[i]);
  }
  return digest == root;
}

}  // namespace cleared::ledger
