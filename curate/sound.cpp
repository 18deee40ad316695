#include "curate/sound.h"

#include <algorithm>
#include <bit>
#include <set>

namespace cleared::curate {
namespace {

// Bits of a packed text, the lowest of each byte first.
class Bits {
 public:
  explicit Bits(std::string_view bytes) : bytes_(bytes) {}
  bool has(size_t count) const { return at_ + count <= 8 * bytes_.size(); }
  uint32_t take(size_t count) {
    uint32_t out = 0;
    for (size_t i = 0; i < count; ++i, ++at_) {
      out |= (static_cast<uint32_t>(static_cast<uint8_t>(bytes_[at_ / 8])) >> at_ % 8 & 1U) << i;
    }
    return out;
  }
  void to_next_byte() { at_ = (at_ + 7) / 8 * 8; }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

// Base64 of RFC 4648 section 5, without padding. Empty when it is none.
std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  uint32_t held = 0;
  int bits = 0;
  for (const char c : text) {
    const size_t value = kDigits.find(c);
    if (value == std::string_view::npos) return "";
    held = held << 6 | static_cast<uint32_t>(value);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(held >> bits & 0xffU);
  }
  return out;
}

}  // namespace

// Four bytes: algorithm, number of items. Then, for each item, the steps from one set bit of it to
// the next, 3 bits each, ended by 0; what is 7 or more has its rest at the end, 5 bits each. An
// item is exclusive-or'd with the one before.
std::vector<uint32_t> parse_chromaprint(std::string_view text) {
  constexpr uint32_t kMore = 7;
  const std::string bytes = from_base64(text);
  if (bytes.size() < 4) return {};
  size_t count = 0;
  for (size_t i = 1; i < 4; ++i) count = count << 8 | static_cast<uint8_t>(bytes[i]);
  Bits bits(std::string_view(bytes).substr(4));
  std::vector<uint32_t> steps;
  for (size_t ends = 0; ends < count;) {
    if (!bits.has(3)) return {};
    steps.push_back(bits.take(3));
    ends += steps.back() == 0 ? 1 : 0;
  }
  bits.to_next_byte();
  std::vector<uint32_t> out;
  uint32_t item = 0, place = 0;
  for (uint32_t step : steps) {
    if (step == 0) {
      out.push_back(out.empty() ? item : item ^ out.back());
      item = place = 0;
      continue;
    }
    if (step == kMore) {
      if (!bits.has(5)) return {};
      step += bits.take(5);
    }
    place += step;
    if (place > 32) return {};
    item |= 1U << (place - 1);
  }
  return out;
}

double sound_match(const std::vector<uint32_t>& a, uint64_t a_us, const std::vector<uint32_t>& b,
                   uint64_t b_us, uint64_t length_us) {
  const auto index = [](uint64_t us) {
    return static_cast<size_t>(double(us) / kChromaprintItemUs);
  };
  const size_t from_a = index(a_us), from_b = index(b_us);
  if (from_a >= a.size() || from_b >= b.size()) return -1;
  const size_t count = std::min({index(length_us), a.size() - from_a, b.size() - from_b});
  const auto silent = [&](const std::vector<uint32_t>& sound, size_t from) {
    // Silence gives one item over and over; music and speech never do.
    return std::set<uint32_t>(sound.begin() + static_cast<ptrdiff_t>(from),
                              sound.begin() + static_cast<ptrdiff_t>(from + count))
                   .size() *
               4 <=
           count;
  };
  if (count == 0 || silent(a, from_a) || silent(b, from_b)) return -1;

  // Frames and items are not in step: the best of a few neighbouring alignments counts.
  double best = 0;
  for (int shift = -2; shift <= 2; ++shift) {
    int equal = 0, all = 0;
    for (size_t i = 0; i < count; ++i) {
      const auto j = static_cast<ptrdiff_t>(from_b + i) + shift;
      if (j < 0 || j >= static_cast<ptrdiff_t>(b.size())) continue;
      equal += 32 - std::popcount(a[from_a + i] ^ b[static_cast<size_t>(j)]);
      all += 32;
    }
    if (all > 0) best = std::max(best, double(equal) / all);
  }
  return best;
}

}  // namespace cleared::curate
