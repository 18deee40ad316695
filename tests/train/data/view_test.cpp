// The known answer is make_order.py's: Philox4x32-10 in Python.
#include "train/data/view.h"

#include <gtest/gtest.h>

#include "tests/train/gate_fixture.h"

namespace cleared::train {
namespace {

RunConfig varied(const std::string& vary) {
  return parse_config(tiny_config() + vary, "tiny");
}

TEST(View, IsDrawnBySeedStepAndSlot) {
  const RunConfig all = varied("vary { start: true crop: true mirror: true }");
  const View known{.start = 0x53b2edc, .across = 0xcc8a7ac8, .down = 0xaa444579, .mirror = true};
  EXPECT_EQ(view_of(all, 3, 5), known);
  EXPECT_NE(view_of(all, 4, 5), known);
  EXPECT_NE(view_of(all, 3, 6), known);
  RunConfig other = all;
  other.set_seed(8);
  EXPECT_NE(view_of(other, 3, 5), known);
}

TEST(View, VariesWhatTheConfigLetsVary) {
  const View all = view_of(varied("vary { start: true crop: true mirror: true }"), 3, 5);
  EXPECT_EQ(view_of(varied(""), 3, 5), View());
  EXPECT_EQ(view_of(varied("vary { start: true }"), 3, 5), (View{.start = all.start}));
  EXPECT_EQ(view_of(varied("vary { crop: true }"), 3, 5),
            (View{.across = all.across, .down = all.down}));
  EXPECT_EQ(view_of(varied("vary { mirror: true }"), 3, 5), (View{.mirror = all.mirror}));
}

// All frames; and where pictures are cut anywhere, from one edge to the other.
TEST(View, ComparesWithAllThatARunMayHaveSeen) {
  EXPECT_EQ(views_to_compare(varied("vary { start: true mirror: true }")),
            (std::vector<View>{{.whole = true}}));
  const auto places = views_to_compare(varied("vary { crop: true }"));
  ASSERT_EQ(places.size(), 17U);
  EXPECT_EQ(places.front(), (View{.across = 0, .down = 0, .whole = true}));
  EXPECT_EQ(places[8], (View{.whole = true}));
  EXPECT_EQ(places.back(), (View{.across = UINT32_MAX, .down = UINT32_MAX, .whole = true}));
}

// Half of the passes, give or take six deviations.
TEST(View, MirrorsHalfOfThePasses) {
  const RunConfig config = varied("vary { mirror: true }");
  int mirrored = 0;
  for (uint64_t step = 0; step < 1000; ++step) {
    for (uint32_t slot = 0; slot < 10; ++slot) mirrored += view_of(config, step, slot).mirror;
  }
  EXPECT_NEAR(mirrored, 5000, 300);
}

TEST(View, ACodecIsFittedToAllOfASampleWhoseStartVaries) {
  EXPECT_EQ(views_to_fit(varied("")), std::vector{View()});
  const auto views = views_to_fit(varied("vary { start: true }"));
  EXPECT_EQ(views.front(), View());
  EXPECT_EQ(views.back(), View{.start = UINT32_MAX});
}

}  // namespace
}  // namespace cleared::train
