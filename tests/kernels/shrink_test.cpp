#include "kernels/shrink.h"

#include <gtest/gtest.h>

namespace cleared::kernels {
namespace {

std::vector<uint8_t> shrunk(const std::vector<uint8_t>& plane, Shrink op) {
  std::vector<uint8_t> out(static_cast<size_t>(op.width * op.height));
  std::vector<uint32_t> sums;
  op.plane = plane.data();
  op.out = out.data();
  shrink(op, sums);
  return out;
}

TEST(Shrink, GivesTheMeanOfEachSquare) {
  const std::vector<uint8_t> plane = {0,  2,  100, 101, 9,  //
                                      4,  6,  102, 103, 9,  //
                                      10, 10, 255, 255, 9,  //
                                      10, 11, 255, 255, 9};
  EXPECT_EQ(shrunk(plane, {.stride = 5,
                           .width = 2,
                           .height = 2,
                           .factor = 2,
                           .bytes = 1,
                           .depth = 8,
                           .black = 0,
                           .white = 255}),
            (std::vector<uint8_t>{3, 102, 10, 255}));  // 101.5 and 10.25 are rounded
}

TEST(Shrink, StretchesTheRangeAndClipsWhatIsBeyond) {
  const std::vector<uint8_t> plane = {0, 16, 17, 126, 235, 255};
  EXPECT_EQ(shrunk(plane, {.stride = 6,
                           .width = 6,
                           .height = 1,
                           .factor = 1,
                           .bytes = 1,
                           .depth = 8,
                           .black = 16,
                           .white = 235}),
            (std::vector<uint8_t>{0, 0, 1, 128, 255, 255}));
}

TEST(Shrink, TakesDeeperSamplesAndIgnoresBitsAboveThem) {
  // 10 bits: 64 is black, 940 white, 503 just above the middle; 0xFFFF is no sample.
  const std::vector<uint8_t> plane = {0x40, 0x00, 0xAC, 0x03, 0xF7, 0x01, 0xFF, 0xFF};
  EXPECT_EQ(shrunk(plane, {.stride = 8,
                           .width = 4,
                           .height = 1,
                           .factor = 1,
                           .bytes = 2,
                           .depth = 10,
                           .black = 16,
                           .white = 235}),
            (std::vector<uint8_t>{0, 255, 128, 255}));
}

}  // namespace
}  // namespace cleared::kernels
