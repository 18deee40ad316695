#define HWY_WANT_AVX3_DL  // it has an instruction that counts the bits of eight words

#include "kernels/search_block.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/search_block.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace cleared::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

int bits_of(uint64_t word) {
  return __builtin_popcountll(word);
}

int between(const uint8_t* a, const uint8_t* b) {
  uint64_t x[4], y[4];
  std::memcpy(x, a, sizeof x);
  std::memcpy(y, b, sizeof y);
  return bits_of(x[0] ^ y[0]) + bits_of(x[1] ^ y[1]) + bits_of(x[2] ^ y[2]) + bits_of(x[3] ^ y[3]);
}

NearestPrint nearest(const uint8_t* query, const uint8_t* prints, size_t count) {
  NearestPrint out{0, 257};
  for (size_t i = 0; i < count; ++i) {
    const int distance = between(query, prints + 32 * i);
    if (distance < out.distance) out = {i, distance};
  }
  return out;
}

size_t find_in_list(const Listed* list, size_t count, const uint32_t* sketch, const uint64_t* query,
                    const uint64_t* prints, size_t size, int radius, Hit* hits) {
  const uint64_t low = uint64_t{sketch[1]} << 32 | sketch[0];
  const uint32_t high = sketch[2];
  size_t found = 0;
  for (const Listed* at = list; at != list + count; ++at) {
    const uint64_t word = uint64_t{at->sketch[1]} << 32 | at->sketch[0];
    if (bits_of(word ^ low) + bits_of(at->sketch[2] ^ high) > radius || at->id >= size) continue;
    const uint64_t* print = prints + size_t{4} * at->id;
    const int distance = bits_of(print[0] ^ query[0]) + bits_of(print[1] ^ query[1]) +
                         bits_of(print[2] ^ query[2]) + bits_of(print[3] ^ query[3]);
    if (distance <= radius) hits[found++] = {at->id, distance};
  }
  return found;
}

// Counts of the bits of `x` and `y`, lane by lane. Where no instruction counts the bits of a word,
// both are counted by bytes and the bytes are added up once.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V bits_of_both([[maybe_unused]] D d, V x, V y) {
#if HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_SCALAR
  return hn::Add(hn::PopulationCount(x), hn::PopulationCount(y));
#else
  const hn::Repartition<uint8_t, D> d8;
  const auto bytes =
      hn::Add(hn::PopulationCount(hn::BitCast(d8, x)), hn::PopulationCount(hn::BitCast(d8, y)));
  return hn::BitCast(d, hn::SumsOf8(bytes));
#endif
}

size_t find_blocks(const uint64_t* query, const uint64_t* words, size_t blocks, int radius,
                   uint32_t* hits) {
  const hn::CappedTag<uint64_t, 8> d;
  const hn::RebindToSigned<decltype(d)> di;  // 64-bit numbers are compared as signed everywhere
  const size_t lanes = hn::Lanes(d);
  const auto q0 = hn::Set(d, query[0]), q1 = hn::Set(d, query[1]);
  const auto limit = hn::Set(di, int64_t{radius} + 1);
  size_t found = 0;
  for (size_t b = 0; b < blocks; ++b, words += 2 * kBlock) {
    auto below = hn::Lt(limit, limit);  // none
    for (size_t i = 0; i < kBlock; i += lanes) {
      const auto x = hn::Xor(q0, hn::LoadU(d, words + i));
      const auto y = hn::Xor(q1, hn::LoadU(d, words + kBlock + i));
      below = hn::Or(below, hn::Lt(hn::BitCast(di, bits_of_both(d, x, y)), limit));
    }
    hits[found] = static_cast<uint32_t>(b);
    found += hn::AllFalse(di, below) ? 0 : 1;
  }
  return found;
}

}  // namespace cleared::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cleared::kernels {
HWY_EXPORT(between);
HWY_EXPORT(nearest);
HWY_EXPORT(find_in_list);
HWY_EXPORT(find_blocks);
int bits_between(const uint8_t* a, const uint8_t* b) {
  return HWY_DYNAMIC_DISPATCH(between)(a, b);
}
NearestPrint nearest_print(const uint8_t* query, const uint8_t* prints, size_t count) {
  return HWY_DYNAMIC_DISPATCH(nearest)(query, prints, count);
}
size_t hits_of_list(const Listed* list, size_t count, const uint32_t* sketch, const uint64_t* query,
                    const uint64_t* prints, size_t size, int radius, Hit* hits) {
  return HWY_DYNAMIC_DISPATCH(find_in_list)(list, count, sketch, query, prints, size, radius, hits);
}
size_t blocks_with_hits(const uint64_t* query, const uint64_t* words, size_t blocks, int radius,
                        uint32_t* hits) {
  return HWY_DYNAMIC_DISPATCH(find_blocks)(query, words, blocks, radius, hits);
}
}  // namespace cleared::kernels
#endif
