#include "curate/search_block.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "curate/search_block.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::curate::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// The first half of the bits decides nearly always: the half of a stranger differs in 64 of its 128
// bits, and one that is near differs there in no more than `radius`. The caller compares the rest.
size_t find_blocks(const uint64_t* query, const uint64_t* words, size_t blocks, int radius,
                   uint32_t* hits) {
  const hn::CappedTag<uint64_t, 8> d;
  const hn::RebindToSigned<decltype(d)> di;  // 64-bit numbers are compared as signed everywhere
  const size_t lanes = hn::Lanes(d);
  const auto q0 = hn::Set(d, query[0]), q1 = hn::Set(d, query[1]);
  const auto limit = hn::Set(di, int64_t{radius} + 1);
  size_t found = 0;
  for (size_t b = 0; b < blocks; ++b, words += 32) {
    auto below = hn::Lt(limit, limit);  // none
    for (size_t i = 0; i < 8; i += lanes) {
      const auto x = hn::PopulationCount(hn::Xor(q0, hn::LoadU(d, words + i)));
      const auto y = hn::PopulationCount(hn::Xor(q1, hn::LoadU(d, words + 8 + i)));
      below = hn::Or(below, hn::Lt(hn::BitCast(di, hn::Add(x, y)), limit));
    }
    hits[found] = static_cast<uint32_t>(b);
    found += hn::AllFalse(di, below) ? 0 : 1;
  }
  return found;
}

}  // namespace cleared::curate::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::curate {
HWY_EXPORT(find_blocks);
size_t blocks_with_hits(const uint64_t* query, const uint64_t* words, size_t blocks, int radius,
                        uint32_t* hits) {
  return HWY_DYNAMIC_DISPATCH(find_blocks)(query, words, blocks, radius, hits);
}
}  // namespace cleared::curate
#endif
