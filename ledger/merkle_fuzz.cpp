// Two numbers and digests: only a proof of exactly the length of its path can hold, whatever is in
// it, and proofs of nothing never do. And a proof made so that it must hold does.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/merkle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::ledger;
  using cleared::Digest;
  uint64_t a = 0, b = 0;
  if (size < 16) return 0;
  std::memcpy(&a, data, 8);
  std::memcpy(&b, data + 8, 8);
  std::vector<Digest> digests((size - 16) / sizeof(Digest));
  if (!digests.empty()) std::memcpy(digests.data(), data + 16, digests.size() * sizeof(Digest));

  // In trees too large to exist, with roots that are any digest.
  const auto path_size = [](auto path) -> size_t {
    try {
      return path().size();
    } catch (const cleared::Error&) {
      return SIZE_MAX;
    }
  };
  const Digest root = digests.empty() ? Digest{} : digests.back();
  CLEARED_CHECK(!verify_inclusion(root, a, b, digests, root) ||
                digests.size() == path_size([&] { return inclusion_path(a, b); }));
  CLEARED_CHECK(!verify_consistency(a, root, b, root, digests) ||
                digests.size() == path_size([&] { return consistency_path(a, b); }));
  const auto some = std::span(digests).first(digests.size() / 2);
  const auto rest = std::span(digests).subspan(some.size());
  CLEARED_CHECK(!verify_range(some, a, b, rest, root) ||
                rest.size() == path_size([&] { return range_path(a, a + some.size(), b); }));

  // In the tree of these digests.
  if (digests.empty()) return 0;
  const uint64_t n = digests.size(), i = a % n, j = i + 1 + b % (n - i);
  const Digest top = root_digest(digests);
  CLEARED_CHECK(verify_inclusion(digests[i], i, n, inclusion_proof(digests, i), top));
  CLEARED_CHECK(verify_consistency(j, root_digest(std::span(digests).first(j)), n, top,
                                   consistency_proof(digests, j)));
  CLEARED_CHECK(
      verify_range(std::span(digests).subspan(i, j - i), i, n, range_proof(digests, i, j), top));
  return 0;
}
