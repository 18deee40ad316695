// The expected fingerprints are those of PyPI's pdqhash 0.2.8, Meta's own C++ code, for the same
// drawings. To make them again, with x and y from numpy.mgrid as uint32:
//   luma = {"waves": ((x*x + 3*y*y)//97 + (x*y)//53) % 256, "ramp": x*255//(w-1), "flat": 128,
//           "blocks": (((x*7//w)*37 + (y*5//h)*91)*29) % 256,
//           "noise": ((x*1103515245 + y*12345 + (x^y)*2654435761) >> 16) & 255}
//   bits, quality = pdqhash.compute(numpy.repeat(luma.astype("uint8")[:, :, None], 3, 2))
//   print(bytes(numpy.packbits(bits)).hex(), quality)
#include "curate/pdq.h"

#include <gtest/gtest.h>

#include "kernels/targets.h"
#include "ledger/base/bytes.h"

namespace cleared::curate {
namespace {

std::vector<uint8_t> drawing(std::string_view name, uint32_t w, uint32_t h) {
  std::vector<uint8_t> luma;
  for (uint32_t y = 0; y < h; ++y) {
    for (uint32_t x = 0; x < w; ++x) {
      const uint32_t value =
          name == "waves"    ? ((x * x + 3 * y * y) / 97 + x * y / 53) % 256
          : name == "blocks" ? ((x * 7 / w * 37 + y * 5 / h * 91) * 29) % 256
          : name == "ramp"   ? x * 255 / (w - 1)
          : name == "noise"  ? (x * 1103515245U + y * 12345U + (x ^ y) * 2654435761U) >> 16 & 255U
                             : 128;
      luma.push_back(static_cast<uint8_t>(value));
    }
  }
  return luma;
}

std::string hex(const Pdq& bits) {
  return to_hex(std::as_bytes(std::span(bits)));
}

TEST(Pdq, IsBitForBitThePublishedOne) {
  struct Case {
    const char* name;
    int width, height;
    const char* bits;
    int quality;
  };
  const std::vector<Case> cases = {
      {"waves", 512, 288, "0fff3fff7f80f800f000e03fe0ffc1ffc3fcc7f0c7e0c7c0c780c7008700c700", 100},
      {"waves", 64, 64, "110b9201014b6ff7c009718f5a942d7f4220216f016b5697a56b47d5adff7d7f", 24},
      {"waves", 200, 333, "aa9c2eb0a9b02fa1b0a7ada7b9276f2fb1ae2dacb52c296cb5680da89928a768", 100},
      {"waves", 1920, 1080, "5fb57f43fd03ff07fd07ff03efc387ce87f003f003f003f806f0c100c00cf602", 64},
      {"waves", 7, 5, "0000000000000000000000000000000000000000000000000000000000000000", 0},
      {"blocks", 512, 512, "687d9782b78232743cd83b64f276c07fc30fcd89487db782b78232763cd03b84", 100},
      {"blocks", 127, 129, "683d936693e2fa360e981fc0f5cbe48bf1e705c9683d936693c2fa360e181be0", 100},
      {"noise", 640, 480, "7b7e7bd5decc29a027cc749385760ca8304dac98cdfada41332f4c80d42cf987", 100},
  };
  PdqHasher hasher;
  for (const Case& c : cases) {
    const auto luma =
        drawing(c.name, static_cast<uint32_t>(c.width), static_cast<uint32_t>(c.height));
    const Fingerprint print = hasher.fingerprint(luma, c.width, c.height);
    EXPECT_EQ(hex(print.bits), c.bits) << c.name << " " << c.width << " x " << c.height;
    EXPECT_EQ(print.quality, c.quality) << c.name << " " << c.width << " x " << c.height;
  }
}

// bits = pdqhash.compute_dihedral(...)[0], its numbers 0, 5, 4, 2, 6, 3, 1 and 7.
TEST(Pdq, OfEveryTurnIsThePublishedOne) {
  const std::vector<std::string> expected = {
      "0fff3fff7f80f800f000e03fe0ffc1ffc3fcc7f0c7e0c7c0c780c7008700c700",
      "5aaa6aaa2ad5ad55a555b56ab5aa94aa96a992a592b5929592d592d5d255d255",
      "0fffc0007f8007fff0001fc0e0ff3e00c3fc380fc7e0383fc78038ffc70078ff",
      "5aaa95552ad552aaa5554a94b5aa6b5596a96d5a92b56d6a92d56d2a92552daa",
      "1fff3ffd7e007800f000e07fe0ffe1ffe3f8c3f0c7e0c7c0c780c780c700c700",
      "4aaa6aab2b552d55a555b52ab5aab4aab6ad96a592b5929592d592d592559255",
      "1fffc0037e0087fff0001f80e0ff1e00e3fc3c0fc7e0383fc780387fc70038ff",
      "4aaa95542b55d2aaa5554ad5b5aa4b55b6a9695a92b56d6a92d56d2a925569aa",
  };
  PdqHasher hasher;
  const auto luma = drawing("waves", 512, 288);
  const auto turns = hasher.turns({luma.data(), 512, 512, 288, 1});
  for (size_t turn = 0; turn < kTurns; ++turn) {
    EXPECT_EQ(hex(turns[turn].bits), expected[turn]) << turn;
    EXPECT_EQ(turns[turn].quality, 100);
  }
  EXPECT_EQ(turned(turns[0].bits, Turn::transposed), turns[4].bits);
  EXPECT_EQ(turned(turns[1].bits, Turn::transposed), turns[6].bits);
}

// By the definition: where a wave is odd along an axis, turning over along it changes its sign.
TEST(Pdq, TurnedBitsMoveAndChange) {
  Pdq bits;
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint8_t>(37 * i * i + 11 * i);
  const auto bit = [](const Pdq& of, size_t y, size_t x) {
    const size_t k = 16 * y + x;
    return (of[31 - k / 8] >> (k % 8) & 1) != 0;
  };
  for (size_t turn = 0; turn < kTurns; ++turn) {
    const Pdq made = turned(bits, static_cast<Turn>(turn));
    for (size_t y = 0; y < 16; ++y) {
      for (size_t x = 0; x < 16; ++x) {
        const bool changed = ((turn & 1) != 0 && x % 2 == 0) != ((turn & 2) != 0 && y % 2 == 0);
        const bool from = (turn & 4) != 0 ? bit(bits, x, y) : bit(bits, y, x);
        EXPECT_EQ(bit(made, y, x), from != changed) << turn << " " << y << " " << x;
      }
    }
  }
}

// Red is 255 - a, green a // 2 + x % 256 // 3, blue a, where a is the drawing; pdqhash.compute.
TEST(Pdq, OfColoursIsThePublishedOne) {
  const auto blue = drawing("waves", 512, 288);
  std::vector<uint8_t> rgb;
  for (size_t i = 0; i < blue.size(); ++i) {
    rgb.push_back(static_cast<uint8_t>(255 - blue[i]));
    rgb.push_back(static_cast<uint8_t>(blue[i] / 2 + i % 512 % 256 / 3));
    rgb.push_back(blue[i]);
  }
  PdqHasher hasher;
  const Fingerprint print = hasher.fingerprint({rgb.data(), ptrdiff_t{3} * 512, 512, 288, 3});
  EXPECT_EQ(hex(print.bits), "0fff3fff7f80f800f000e03fe0ffc1ffc3fcc7f0c7e0c7c0c780c7008700c700");
  EXPECT_EQ(print.quality, 100);
}

TEST(Pdq, SaysThatAFlatPictureHasNothingInIt) {
  PdqHasher hasher;
  EXPECT_EQ(hasher.fingerprint(drawing("flat", 100, 100), 100, 100).quality, 0);
  EXPECT_LT(hasher.fingerprint(drawing("ramp", 512, 288), 512, 288).quality, kFeatureless);
}

TEST(Pdq, HasNoBitsBelowFivePixels) {
  PdqHasher hasher;
  const Fingerprint print = hasher.fingerprint(drawing("noise", 4, 100), 4, 100);
  EXPECT_EQ(hex(print.bits), std::string(64, '0'));
  EXPECT_EQ(print.quality, 0);
}

TEST(Pdq, DistanceCountsBitsOnEveryProcessor) {
  for (const std::string& target : kernels::targets()) {
    kernels::use_target(target);
    Pdq a{}, b{};
    EXPECT_EQ(distance(a, b), 0) << target;
    b[0] = 0x80;
    b[31] = 0x03;
    EXPECT_EQ(distance(a, b), 3) << target;
    a.fill(0xFF);
    EXPECT_EQ(distance(a, b), 253) << target;
    b.fill(0);
    EXPECT_EQ(distance(a, b), 256) << target;
  }
  kernels::use_target("");
}

}  // namespace
}  // namespace cleared::curate
