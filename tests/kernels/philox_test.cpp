// Known answers: the file kat_vectors of Random123 1.14 (lines "philox4x32 10"), by the authors of
// the paper.
#include "kernels/philox.h"

#include <array>

#include <gtest/gtest.h>

using cleared::kernels::Philox;
using cleared::kernels::unit_interval;

TEST(Philox, GivesTheKnownAnswersOfItsAuthors) {
  struct Row {
    Philox input;
    std::array<uint32_t, 4> output;
  };
  const Row rows[] = {
      {{{0, 0}, {0, 0, 0, 0}}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{{0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{{0xa4093822, 0x299f31d0}, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Row& row : rows) {
    Philox p = row.input;
    p.scramble();
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(p.counter[i], row.output[i]);
  }
}

TEST(Philox, UnitIntervalNeverTouchesItsEnds) {
  EXPECT_GT(unit_interval(0), 0.0);
  EXPECT_LT(unit_interval(0xffffffff), 1.0);
  EXPECT_LT(unit_interval(0x7fffffff), 0.5);
  EXPECT_GT(unit_interval(0x80000000), 0.5);
}
