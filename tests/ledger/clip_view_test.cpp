// Clips read in place against protobuf: what the one reads the other reads too, with the same row
// and the same key.
#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "ledger/authority.h"
#include "ledger/digest.h"
#include "ledger/projection.h"

namespace cleared::ledger {
namespace {

// A row as text, bit for bit.
struct TextSink : RowSink {
  void row(TableId table, std::span<const RowCell> cells) override {
    text += std::to_string(static_cast<int>(table));
    for (const RowCell& cell : cells) {
      text += "|" + std::to_string(static_cast<int>(cell.type)) + ":" +
              std::to_string(cell.integer) + ":" +
              std::to_string(std::bit_cast<uint64_t>(cell.real)) + ":" + std::string(cell.bytes);
      if (cell.refers == RowCell::Refers::no) continue;
      text += ">" + to_hex(*cell.subject) + std::to_string(static_cast<int>(cell.refers));
    }
  }
  std::string text;
};

std::string row_text(const ClipView& clip) {
  TextSink sink;
  clip_row(7, clip, sink);
  return sink.text;
}
std::string row_text(const Fact& fact) {
  TextSink sink;
  rows_of(7, fact, Authority(), sink);
  return sink.text;
}

Fact random_clip(std::mt19937& random) {
  const auto digest = [&] { return std::string(sha256(std::to_string(random())).text()); };
  const auto real = [&] {
    const float values[] = {0, -0.0F, 1.5F, 1e-42F, NAN, INFINITY, static_cast<float>(random())};
    return values[random() % std::size(values)];
  };
  const auto number = [&] { return (uint64_t{random()} << 32 | random()) >> random() % 64; };
  const std::string texts[] = {
      "", "kept", "a caption", std::string(200, 'c'), "n\xC3\xA4her", std::string("\0x", 2)};
  Fact fact;
  ClipRecord& c = *fact.mutable_clip();
  c.set_id(random() % 50 == 0 ? "short" : digest());
  if (random() % 9 != 0) c.set_source(digest());
  c.set_start_us(number());
  c.set_end_us(number());
  c.set_shot(static_cast<uint32_t>(number()));
  c.set_verdict(texts[random() % std::size(texts)]);
  c.set_luma(real());
  c.set_sharpness(real());
  c.set_motion(real());
  c.set_caption(texts[random() % std::size(texts)]);
  return fact;
}

// As protobuf says; false when nothing was read in place.
bool agrees(const std::string& bytes) {
  const auto view = view_clip(bytes);
  if (!view) return false;
  Fact fact;
  EXPECT_TRUE(fact.ParseFromString(bytes)) << to_hex(as_bytes(bytes));
  EXPECT_TRUE(fact.has_clip()) << to_hex(as_bytes(bytes));
  EXPECT_EQ(row_text(*view), row_text(fact)) << to_hex(as_bytes(bytes));
  Digest key;
  clip_keys({&*view, 1}, {&key, 1});
  EXPECT_EQ(key, subject_of(fact)->key);
  return true;
}

TEST(ClipView, ReadsWhatProtobufWrites) {
  std::mt19937 random(2);
  for (int i = 0; i < 3000; ++i) {
    const Fact fact = random_clip(random);
    const ClipRecord& c = fact.clip();
    const std::string texts = c.verdict() + c.caption();
    const bool usual = c.id().size() == 32 && (c.start_us() >> 63) == 0 &&
                       (c.end_us() >> 63) == 0 && texts.find('\xC3') == std::string::npos;
    EXPECT_EQ(agrees(fact.SerializeAsString()), usual) << fact.ShortDebugString();
  }
}

TEST(ClipView, SaysNothingThatProtobufDoesNot) {
  std::mt19937 random(3);
  int read = 0;
  for (int i = 0; i < 60'000; ++i) {
    std::string bytes = random_clip(random).SerializeAsString();
    for (size_t j = 0; j < 1 + random() % 3; ++j) {
      const size_t at = random() % bytes.size();
      if (random() % 4 == 0) {
        bytes.erase(at, 1);
      } else if (random() % 4 == 0) {
        bytes.insert(at, 1, static_cast<char>(random()));
      } else {
        bytes[at] = static_cast<char>(bytes[at] ^ 1U << random() % 8);
      }
      if (bytes.empty()) break;
    }
    read += agrees(bytes) ? 1 : 0;
  }
  EXPECT_GT(read, 1000);
}

// Each would be read otherwise by someone who takes the fields as they come.
TEST(ClipView, LeavesTheUnusualToProtobuf) {
  const std::string id = "\x0A\x20" + std::string(32, 'i');
  const auto in_fact = [](const std::string& clip) {
    return "\x32" + std::string(1, static_cast<char>(clip.size())) + clip;
  };
  Fact tagged;
  tagged.mutable_clip();
  ASSERT_EQ(tagged.SerializeAsString()[0], '\x32') << "the tag of a clip";
  const std::pair<std::string, bool> cases[] = {
      {in_fact(id), true},
      {in_fact(id + "\x28"), false},                              // cut short
      {in_fact(id + std::string("\x28\x01", 2)), true},           // shot 1
      {in_fact(id + std::string("\x28\x01\x28\x02", 4)), false},  // twice
      {in_fact(std::string("\x28\x01", 2) + id), false},          // out of order
      {in_fact(id + std::string("\x29\x01", 2)), false},          // another wire type
      {in_fact(id + "\x28\x81\x80\x80\x80\x10"), false},          // shot of more than 32 bits
      {in_fact(id + std::string("\x58\x01", 2)), false},          // a field that is not known
      {in_fact(id + "\x32\x01\xFF"), false},                      // not UTF-8
      {in_fact(id + "\x32\x02\xC3\xA4"), false},                  // beyond ASCII
      {in_fact("\x0A\x01i"), false},                              // no digest
      {in_fact(id) + in_fact(id), false},                         // two facts are merged
      {in_fact(id) + std::string("\x0A\x00", 2), false},          // another kind behind it
      {"", false},
      {"\x32", false},
  };
  for (const auto& [bytes, read] : cases) {
    EXPECT_EQ(agrees(bytes), read) << to_hex(as_bytes(bytes));
  }
}

}  // namespace
}  // namespace cleared::ledger
