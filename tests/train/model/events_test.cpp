// Read back by PyPI tensorboard's own reader.
#include "train/model/events.h"

#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>
#include <sys/resource.h>

#include "ledger/base/error.h"
#include "tests/train/model/support.h"
#include "train/model/gif.h"

namespace cleared::train {
namespace {

TEST(Events, Crc32cIsTheOneOfRfc3720) {  // appendix B.4, in this byte order
  std::string up, down;
  for (int i = 0; i < 32; ++i) up += static_cast<char>(i), down += static_cast<char>(31 - i);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
  EXPECT_EQ(crc32c(up), 0x46DD794Eu);
  EXPECT_EQ(crc32c(down), 0x113FDB5Cu);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
}

// A run that tries again and again on a full disk does not leave a file each time.
TEST(Events, WhatCouldNotBeBegunIsNotThere) {
  const testing::TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit full{.rlim_cur = 0, .rlim_max = before.rlim_max};
  const auto signal = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &full), 0);
  EXPECT_THROW(EventWriter(folder.path() / "run"), Error);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, signal);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path() / "run"));
}

TEST(Events, TensorBoardReadsCurvesPicturesAndCaptions) {
  if (!testing::python_has("tensorboard")) GTEST_SKIP() << "no PyPI tensorboard here";
  const testing::TemporaryFolder folder;
  const std::string gif =
      encode_gif(std::vector<uint8_t>(2 * 4 * 4 * 3, 90), {.width = 4, .height = 4});
  {
    EventWriter events(folder.path() / "run");
    for (int step = 0; step < 5; ++step) events.scalar("loss/train", 2.0 / (1 + step), step);
    events.image("sample", {.encoded = gif, .width = 4, .height = 4}, 4);
    events.text("sample/caption", "A caf\u00e9, from above.", 4);
  }
  const auto out = testing::run_python(folder, R"(
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("run")
events.Reload()
assert [(s.step, round(s.value, 4)) for s in events.Scalars("loss/train")] == [
    (0, 2.0), (1, 1.0), (2, 0.6667), (3, 0.5), (4, 0.4)], events.Scalars("loss/train")
image, = events.Images("sample")
assert (image.step, image.width, image.height) == (4, 4, 4)
assert image.encoded_image_string.startswith(b"GIF89a")
text, = events.Tensors("sample/caption")
assert (text.step, text.tensor_proto.string_val[0].decode()) == (4, "A caf\u00e9, from above."), text
assert "sample/caption" in events.PluginTagToContent("text"), events.Tags()
print("read")
)");
  EXPECT_EQ(out.status, 0) << out.text;
  EXPECT_NE(out.text.find("read"), std::string::npos) << out.text;
}

TEST(Events, AFolderThatCannotBeMadeIsAnError) {
  EXPECT_THROW(EventWriter("/proc/none"), Error);
}

}  // namespace
}  // namespace cleared::train
