#include "ledger/sha256_lanes.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ledger/base/check.h"
#include "ledger/digest.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace cleared::ledger {
namespace {

void one_after_another(std::optional<std::byte> prefix, std::span<const ByteView> messages,
                       std::span<Digest> out) {
  const ByteView first = prefix ? ByteView(&*prefix, 1) : ByteView();
  for (size_t i = 0; i < messages.size(); ++i) out[i] = sha256({first, messages[i]});
}

#ifdef __x86_64__

constexpr size_t kHashBlock = 64;

// Section 4.2.2.
alignas(16) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

// The state in the order of the SHA instructions, highest word first: ABEF and CDGH.
struct State {
  __m128i abef;
  __m128i cdgh;
};
State initial_state() {  // section 5.3.3
  return {_mm_set_epi32(0x6a09e667, static_cast<int>(0xbb67ae85), 0x510e527f,
                        static_cast<int>(0x9b05688c)),
          _mm_set_epi32(0x3c6ef372, static_cast<int>(0xa54ff53a), 0x1f83d9ab, 0x5be0cd19)};
}

// One block into each of N states. The words of the schedule come four at a time: the newest four
// take the place of the oldest.
template <size_t N>
__attribute__((target("sha,ssse3,sse4.1"))) void compress(
    const std::array<State*, N>& states, const std::array<const std::byte*, N>& blocks) {
  const __m128i big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  __m128i abef[N];
  __m128i cdgh[N];
  __m128i words[N][4];
  for (size_t n = 0; n < N; ++n) {
    abef[n] = states[n]->abef;
    cdgh[n] = states[n]->cdgh;
    for (size_t i = 0; i < 4; ++i) {
      words[n][i] = _mm_shuffle_epi8(
          _mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks[n] + 16 * i)), big_endian);
    }
  }
#pragma GCC unroll 16
  for (size_t four = 0; four < 16; ++four) {
    const __m128i constants = _mm_load_si128(reinterpret_cast<const __m128i*>(kRound + 4 * four));
#pragma GCC unroll 2
    for (size_t n = 0; n < N; ++n) {
      __m128i& newest = words[n][four % 4];
      if (four >= 4) {
        const __m128i last = words[n][(four + 3) % 4];
        const __m128i seventh = _mm_alignr_epi8(last, words[n][(four + 2) % 4], 4);
        newest = _mm_sha256msg2_epu32(
            _mm_add_epi32(_mm_sha256msg1_epu32(newest, words[n][(four + 1) % 4]), seventh), last);
      }
      const __m128i input = _mm_add_epi32(newest, constants);
      cdgh[n] = _mm_sha256rnds2_epu32(cdgh[n], abef[n], input);
      abef[n] = _mm_sha256rnds2_epu32(abef[n], cdgh[n], _mm_shuffle_epi32(input, 0x0E));
    }
  }
  for (size_t n = 0; n < N; ++n) {
    states[n]->abef = _mm_add_epi32(states[n]->abef, abef[n]);
    states[n]->cdgh = _mm_add_epi32(states[n]->cdgh, cdgh[n]);
  }
}

// A message on its way, block by block.
class Lane {
 public:
  void start(std::optional<std::byte> prefix, ByteView message, Digest* out) {
    state_ = initial_state();
    ahead_ = prefix ? 1 : 0;
    prefix_ = prefix.value_or(std::byte{0});
    message_ = message;
    at_ = 0;
    end_ = (ahead_ + message.size() + 9 + kHashBlock - 1) / kHashBlock * kHashBlock;
    out_ = out;
  }
  bool done() const { return at_ == end_; }
  State* state() { return &state_; }

  // Valid until the next call. Section 5.1.1: a bit behind the message, and in the last 8 bytes its
  // length in bits.
  const std::byte* block() {
    const size_t begin = at_;
    const size_t size = ahead_ + message_.size();
    at_ += kHashBlock;
    if (begin >= ahead_ && at_ <= size) return message_.data() + (begin - ahead_);
    padded_.fill(std::byte{0});
    const size_t head = begin == 0 ? ahead_ : 0;
    if (head != 0) padded_[0] = prefix_;
    if (begin < size) {
      const size_t from = begin + head - ahead_;
      const size_t count = std::min(kHashBlock - head, message_.size() - from);
      if (count != 0) std::memcpy(padded_.data() + head, message_.data() + from, count);
    }
    if (begin <= size && size < at_) padded_[size - begin] = std::byte{0x80};
    if (done()) {
      uint64_t bits = uint64_t{size} * 8;
      for (size_t i = kHashBlock; i > kHashBlock - 8; bits >>= 8) {
        padded_[--i] = static_cast<std::byte>(bits & 0xFF);
      }
    }
    return padded_.data();
  }

  void finish() {
    alignas(16) uint32_t words[8];  // F E B A H G D C
    _mm_store_si128(reinterpret_cast<__m128i*>(words), state_.abef);
    _mm_store_si128(reinterpret_cast<__m128i*>(words + 4), state_.cdgh);
    constexpr size_t kOrder[] = {3, 2, 7, 6, 1, 0, 5, 4};
    for (size_t i = 0; i < 8; ++i) {
      const uint32_t word = __builtin_bswap32(words[kOrder[i]]);
      std::memcpy(out_->bytes.data() + 4 * i, &word, 4);
    }
  }

 private:
  State state_;
  size_t ahead_ = 0;  // bytes of the prefix
  std::byte prefix_{0};
  ByteView message_;
  size_t at_ = 0;
  size_t end_ = 0;  // of the padded message
  Digest* out_ = nullptr;
  std::array<std::byte, kHashBlock> padded_;
};

void side_by_side(std::optional<std::byte> prefix, std::span<const ByteView> messages,
                  std::span<Digest> out) {
  size_t next = 0;
  const auto start = [&](Lane& lane) {
    if (next == messages.size()) return false;
    lane.start(prefix, messages[next], &out[next]);
    ++next;
    return true;
  };
  const auto go_on = [&](Lane& lane) {
    if (!lane.done()) return true;
    lane.finish();
    return start(lane);
  };
  std::array<Lane, 2> lanes;
  bool first = start(lanes[0]);
  bool second = start(lanes[1]);
  while (first && second) {
    compress<2>({lanes[0].state(), lanes[1].state()}, {lanes[0].block(), lanes[1].block()});
    first = go_on(lanes[0]);
    second = go_on(lanes[1]);
  }
  if (!first && !second) return;
  Lane& rest = lanes[first ? 0 : 1];
  while (!rest.done()) compress<1>({rest.state()}, {rest.block()});
  rest.finish();
}

bool machine_has_lanes() {
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t d = 0;
  constexpr uint32_t kSsse3 = 1U << 9;
  constexpr uint32_t kSse41 = 1U << 19;
  constexpr uint32_t kSha = 1U << 29;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kSsse3) == 0 || (c & kSse41) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b & kSha) != 0;
}

#endif

}  // namespace

bool has_sha256_lanes() {
#ifdef __x86_64__
  static const bool has = machine_has_lanes();
  return has;
#else
  return false;
#endif
}

void sha256_each(std::optional<std::byte> prefix, std::span<const ByteView> messages,
                 std::span<Digest> out) {
  CLEARED_CHECK(messages.size() == out.size());
#ifdef __x86_64__
  if (has_sha256_lanes()) return side_by_side(prefix, messages, out);
#endif
  one_after_another(prefix, messages, out);
}

}  // namespace cleared::ledger
