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
alignas(64) constexpr uint32_t kRound[64] = {
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
  void set_state(const std::array<uint32_t, 8>& words) {  // a to h
    const auto word = [&](size_t i) { return static_cast<int>(words[i]); };
    state_ = {_mm_set_epi32(word(0), word(1), word(4), word(5)),
              _mm_set_epi32(word(2), word(3), word(6), word(7))};
  }

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

// Messages in their order, each to the lane that asks next.
class Queue {
 public:
  Queue(std::optional<std::byte> prefix, std::span<const ByteView> messages, std::span<Digest> out)
      : prefix_(prefix), messages_(messages), out_(out) {}
  bool start(Lane& lane) {
    if (next_ == messages_.size()) return false;
    lane.start(prefix_, messages_[next_], &out_[next_]);
    ++next_;
    return true;
  }
  size_t left() const { return messages_.size() - next_; }

 private:
  std::optional<std::byte> prefix_;
  std::span<const ByteView> messages_;
  std::span<Digest> out_;
  size_t next_ = 0;
};

void finish_alone(Lane& lane) {
  while (!lane.done()) compress<1>({lane.state()}, {lane.block()});
  lane.finish();
}

void two_at_a_time(Queue& queue) {
  const auto go_on = [&](Lane& lane) {
    if (!lane.done()) return true;
    lane.finish();
    return queue.start(lane);
  };
  std::array<Lane, 2> lanes;
  bool first = queue.start(lanes[0]);
  bool second = queue.start(lanes[1]);
  while (first && second) {
    compress<2>({lanes[0].state(), lanes[1].state()}, {lanes[0].block(), lanes[1].block()});
    first = go_on(lanes[0]);
    second = go_on(lanes[1]);
  }
  if (first || second) finish_alone(lanes[first ? 0 : 1]);
}

// GCC 12 warns of values that its own header leaves open (its bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define CLEARED_AVX512 __attribute__((target("avx512f,avx512bw")))

constexpr size_t kWide = 16;  // 32-bit words in a register of AVX-512

// Words a to h of sixteen states, a word of each beside that of the others.
struct alignas(64) WideState {
  std::array<std::array<uint32_t, kWide>, 8> words;
};

template <int A, int B, int C>
CLEARED_AVX512 inline __m512i rotations(__m512i x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, A), _mm512_ror_epi32(x, B),
                                   _mm512_ror_epi32(x, C), 0x96);
}
template <int A, int B, int C>
CLEARED_AVX512 inline __m512i rotations_and_shift(__m512i x) {
  return _mm512_ternarylogic_epi32(_mm512_ror_epi32(x, A), _mm512_ror_epi32(x, B),
                                   _mm512_srli_epi32(x, C), 0x96);
}

// Word i of each block in words[i]: a block a row comes in, a word a row goes out.
CLEARED_AVX512 inline void load_words(const std::array<const std::byte*, kWide>& blocks,
                                      __m512i (&words)[kWide]) {
  const __m512i big_endian =
      _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
  __m512i rows[kWide];
  __m512i pairs[kWide];
#pragma GCC unroll 16
  for (size_t i = 0; i < kWide; ++i) {
    rows[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(blocks[i]), big_endian);
  }
#pragma GCC unroll 8
  for (size_t i = 0; i < kWide; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < kWide; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
#pragma GCC unroll 4
  for (size_t i = 0; i < 4; ++i) {
    const __m512i even_low = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0x88);
    const __m512i even_high = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(rows[i], rows[4 + i], 0xDD);
    const __m512i odd_high = _mm512_shuffle_i32x4(rows[8 + i], rows[12 + i], 0xDD);
    words[i] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    words[4 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    words[8 + i] = _mm512_shuffle_i32x4(even_low, even_high, 0xDD);
    words[12 + i] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xDD);
  }
}

// One block into each of sixteen states (section 6.2.2).
CLEARED_AVX512 void compress_wide(WideState& states,
                                  const std::array<const std::byte*, kWide>& blocks) {
  __m512i words[kWide];
  load_words(blocks, words);
  __m512i s[8];
  for (size_t i = 0; i < 8; ++i) s[i] = _mm512_load_si512(states.words[i].data());
  for (size_t first = 0; first < 64; first += kWide) {
#pragma GCC unroll 16
    for (size_t i = 0; i < kWide; ++i) {
      __m512i& a = s[(0 - i) & 7U];
      __m512i& b = s[(1 - i) & 7U];
      __m512i& c = s[(2 - i) & 7U];
      __m512i& d = s[(3 - i) & 7U];
      __m512i& e = s[(4 - i) & 7U];
      __m512i& f = s[(5 - i) & 7U];
      __m512i& g = s[(6 - i) & 7U];
      __m512i& h = s[(7 - i) & 7U];
      const __m512i choice = _mm512_ternarylogic_epi32(e, f, g, 0xCA);
      const __m512i majority = _mm512_ternarylogic_epi32(a, b, c, 0xE8);
      const __m512i constant = _mm512_set1_epi32(static_cast<int>(kRound[first + i]));
      const __m512i input = _mm512_add_epi32(_mm512_add_epi32(words[i], constant), h);
      const __m512i sum =
          _mm512_add_epi32(_mm512_add_epi32(input, choice), rotations<6, 11, 25>(e));
      d = _mm512_add_epi32(d, sum);
      h = _mm512_add_epi32(_mm512_add_epi32(sum, majority), rotations<2, 13, 22>(a));
      if (first + kWide == 64) continue;
      const __m512i third = words[(i + 1) % kWide];
      const __m512i last = words[(i + 14) % kWide];
      words[i] = _mm512_add_epi32(_mm512_add_epi32(words[i], words[(i + 9) % kWide]),
                                  _mm512_add_epi32(rotations_and_shift<7, 18, 3>(third),
                                                   rotations_and_shift<17, 19, 10>(last)));
    }
  }
  for (size_t i = 0; i < 8; ++i) {
    __m512i* state = reinterpret_cast<__m512i*>(states.words[i].data());
    _mm512_store_si512(state, _mm512_add_epi32(_mm512_load_si512(state), s[i]));
  }
}

#undef CLEARED_AVX512
#pragma GCC diagnostic pop

// Ends when the queue is empty and too few lanes are at work for all to be worth it; these then go
// on alone.
void sixteen_at_a_time(Queue& queue) {
  constexpr size_t kWorthIt = 8;
  constexpr std::array<uint32_t, 8> kInitial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  static constexpr std::array<std::byte, kHashBlock> kIdle{};
  WideState states{};
  std::array<Lane, kWide> lanes;
  std::array<bool, kWide> works{};
  std::array<const std::byte*, kWide> blocks;
  blocks.fill(kIdle.data());
  size_t working = 0;
  const auto start = [&](size_t i) {
    works[i] = queue.start(lanes[i]);
    if (!works[i]) return;
    for (size_t w = 0; w < 8; ++w) states.words[w][i] = kInitial[w];
    ++working;
  };
  const auto give_state = [&](size_t i) {
    std::array<uint32_t, 8> words;
    for (size_t w = 0; w < 8; ++w) words[w] = states.words[w][i];
    lanes[i].set_state(words);
  };
  for (size_t i = 0; i < kWide; ++i) start(i);
  while (working >= kWorthIt) {
    for (size_t i = 0; i < kWide; ++i) blocks[i] = works[i] ? lanes[i].block() : kIdle.data();
    compress_wide(states, blocks);
    for (size_t i = 0; i < kWide; ++i) {
      if (!works[i] || !lanes[i].done()) continue;
      give_state(i);
      lanes[i].finish();
      --working;
      start(i);
    }
  }
  for (size_t i = 0; i < kWide; ++i) {
    if (!works[i]) continue;
    give_state(i);
    finish_alone(lanes[i]);
  }
}

bool machine_is_wide() {
  return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
}

void side_by_side(std::optional<std::byte> prefix, std::span<const ByteView> messages,
                  std::span<Digest> out) {
  static const bool wide = machine_is_wide();
  Queue queue(prefix, messages, out);
  if (wide && queue.left() >= kWide) return sixteen_at_a_time(queue);
  two_at_a_time(queue);
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
