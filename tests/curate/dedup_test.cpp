#include "curate/dedup.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <random>
#include <tuple>

#include <gtest/gtest.h>

#include "curate/align.h"
#include "curate/decode.h"
#include "curate/encode.h"
#include "curate/facts.h"
#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/digest.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

Footage footage_of_bytes(std::string_view bytes) {
  Reader reader(bytes);
  Analysis analysis;
  analyse(reader, analysis);
  return footage_of(ledger::sha256(bytes), analysis);
}

// Scene `seed` from `first` on, through our own encoder.
Footage encoded(unsigned seed, int first, int frames, int width, int height, int quality) {
  std::vector<Picture> pictures;
  for (int i = first; i < first + frames; ++i) {
    pictures.push_back(testing::draw(seed, i, width, height));
  }
  return footage_of_bytes(encode_webm(pictures, {.fps = 16, .quality = quality}));
}

TEST(Duplicates, AreFoundThroughASecondEncodingAndSize) {
  DuplicateIndex index;
  index.add(encoded(5, 0, 64, 320, 240, 10));
  const Footage copy = encoded(5, 0, 64, 240, 180, 32);
  const auto matches = index.find(copy, Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].of, 0U);
  EXPECT_EQ(matches[0].start_us, 0U);
  EXPECT_EQ(matches[0].of_start_us, 0U);
  EXPECT_NEAR(double(matches[0].end_us), 4e6, 70'000);
  EXPECT_LT(matches[0].distance, 20);
}

TEST(Duplicates, GiveTheSpanOfAnExcerpt) {
  DuplicateIndex index;
  index.add(encoded(5, 0, 96, 320, 240, 10));
  const auto matches = index.find(encoded(5, 32, 32, 320, 240, 30), Duplicates());  // from 2 s on
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].start_us, 0U);
  EXPECT_NEAR(double(matches[0].end_us), 2e6, 70'000);
  EXPECT_NEAR(double(matches[0].of_start_us), 2e6, 70'000);
  EXPECT_NEAR(double(matches[0].of_end_us), 4e6, 140'000);
}

TEST(Duplicates, AreNotDifferentScenes) {
  DuplicateIndex index;
  for (unsigned seed = 1; seed < 8; ++seed) index.add(encoded(seed, 0, 32, 160, 120, 20));
  EXPECT_TRUE(index.find(encoded(9, 0, 32, 160, 120, 20), Duplicates()).empty());
}

TEST(Duplicates, NeedARunOfTheLengthAskedFor) {
  DuplicateIndex index;
  index.add(encoded(5, 0, 64, 160, 120, 10));
  const Footage flash = encoded(5, 0, 8, 160, 120, 10);  // half a second
  EXPECT_TRUE(index.find(flash, Duplicates()).empty());
  Duplicates shorter;
  shorter.set_min_run_ms(300);
  EXPECT_EQ(index.find(flash, shorter).size(), 1U);
}

TEST(Duplicates, AreNeverASourceAndItself) {
  const Footage film = encoded(5, 0, 64, 160, 120, 10);
  DuplicateIndex index;
  index.add(film);
  EXPECT_TRUE(index.find(film, Duplicates()).empty());
}

TEST(Duplicates, AreNotMadeOfFeaturelessFrames) {
  Footage black = encoded(5, 0, 64, 160, 120, 10);
  for (Fingerprint& print : black.prints) print.quality = kFeatureless - 1;
  for (auto* tracks : {&black.kept, &black.asked}) {
    for (Track& track : *tracks) {
      for (Fingerprint& print : track.prints) print.quality = kFeatureless - 1;
    }
  }
  DuplicateIndex index;
  index.add(black);
  black.digest = ledger::sha256("another");
  EXPECT_TRUE(index.find(black, Duplicates()).empty());
}

// A still agrees with itself for ever, and says nothing: it may be any title card.
TEST(Duplicates, AreNotMadeOfAStill) {
  Footage still = encoded(5, 0, 64, 160, 120, 10);
  for (Fingerprint& print : still.prints) print = still.prints[0];
  for (auto* tracks : {&still.kept, &still.asked}) {
    for (Track& track : *tracks) {
      for (Fingerprint& print : track.prints) print = track.prints[0];
    }
  }
  DuplicateIndex index;
  index.add(still);
  still.digest = ledger::sha256("another");
  EXPECT_TRUE(index.find(still, Duplicates()).empty());
}

// Encoded for real: what says nothing, whatever is heard beside it. Test card: bars of grey.
TEST(Duplicates, AreNotMadeOfBlackOrTestCardsOrTitles) {
  const std::map<std::string, Picture> cards = [] {
    Picture black = testing::draw(5, 0, 160, 120), bars = black;
    std::fill(black.pixels.begin(), black.pixels.end(), uint8_t{0});
    for (size_t i = 0; i < bars.pixels.size(); ++i) {
      const size_t column = i / static_cast<size_t>(bars.channels) % 160;
      bars.pixels[i] = static_cast<uint8_t>(column / 20 * 32);
    }
    return std::map<std::string, Picture>{
        {"black", black}, {"bars", bars}, {"title", testing::draw(5, 0, 160, 120)}};
  }();
  const auto heard = [](unsigned seed) {
    return footage_of_bytes(
               testing::make_media({.scenes = {seed}, .frames_per_scene = 160, .sound = true}))
        .sound;
  };
  const auto heard_3 = heard(3), heard_4 = heard(4);
  ASSERT_FALSE(heard_3.empty());
  for (const auto& [what, card] : cards) {
    const auto film = [&, &still = card](int quality) {
      return footage_of_bytes(
          encode_webm(std::vector<Picture>(160, still), {.fps = 16, .quality = quality}));
    };
    DuplicateIndex index;
    Footage first = film(10), second = film(30);
    first.sound = heard_3;
    index.add(first);
    second.sound = heard_4;
    EXPECT_TRUE(index.find(second, Duplicates()).empty()) << what;
    second.sound = heard_3;
    for (const Match& match : index.find(second, Duplicates())) {
      EXPECT_TRUE(match.sound_alone()) << what << " with the same sound";
    }
  }
}

TEST(Duplicates, SoundThatNeverChangesIsNone) {
  const std::vector<uint32_t> tone(200, 0x12345678U), silence(200, 627964279U);
  EXPECT_EQ(sound_match(tone, 0, tone, 0, 10'000'000), -1);
  EXPECT_EQ(sound_match(silence, 0, silence, 0, 10'000'000), -1);
}

// The part of a picture, [0, 1], where (x, y) is its top left corner.
Picture part_of(const Picture& whole, double x, double y, double width, double height) {
  Picture out;
  out.width = static_cast<int>(whole.width * width) / 2 * 2;
  out.height = static_cast<int>(whole.height * height) / 2 * 2;
  out.channels = whole.channels;
  const auto depth = static_cast<size_t>(whole.channels);
  for (int row = 0; row < out.height; ++row) {
    const auto from = static_cast<size_t>((row + static_cast<int>(y * whole.height)) * whole.width +
                                          static_cast<int>(x * whole.width));
    const auto* pixels = &whole.pixels[depth * from];
    out.pixels.insert(out.pixels.end(), pixels, pixels + depth * static_cast<size_t>(out.width));
  }
  return out;
}

void lay(const Picture& over, Picture& under, int x, int y) {
  const auto depth = static_cast<size_t>(over.channels);
  for (int row = 0; row < over.height; ++row) {
    std::copy_n(&over.pixels[depth * static_cast<size_t>(row * over.width)],
                depth * static_cast<size_t>(over.width),
                &under.pixels[depth * static_cast<size_t>((row + y) * under.width + x)]);
  }
}

using Edit = std::function<Picture(int frame)>;
Footage edited(int frames, const Edit& edit) {
  std::vector<Picture> pictures;
  for (int i = 0; i < frames; ++i) pictures.push_back(edit(i));
  return footage_of_bytes(encode_webm(pictures, {.fps = 16, .quality = 20}));
}

// Played at another speed, mirrored, cropped, in a film of its own, and all of it: the span is
// right to half a second.
TEST(Duplicates, AreFoundMirroredCroppedAndFaster) {
  const auto film = [](int frame) { return testing::draw(5, frame, 320, 240); };
  struct Case {
    const char* what;
    int frames;
    Edit edit;
    const char* how;
  };
  const std::vector<Case> cases = {
      {"mirrored", 96, [&](int i) { return testing::mirrored(film(i)); }, "mirrored"},
      {"cropped", 96, [&](int i) { return part_of(film(i), 0.1, 0.1, 0.8, 0.8); }, "cropped"},
      {"faster", 48, [&](int i) { return film(2 * i); }, "whole"},
      {"at 1.75", 55, [&](int i) { return film(i * 7 / 4); }, "whole"},
      {"at 0.55", 174, [&](int i) { return film(i * 55 / 100); }, "whole"},
      {"cropped and faster", 48, [&](int i) { return part_of(film(2 * i), 0.1, 0.1, 0.8, 0.8); },
       "cropped"},
      {"without its top", 96, [&](int i) { return part_of(film(i), 0, 0.2, 1, 0.8); }, "cropped"},
  };
  DuplicateIndex index;
  index.add(edited(96, film));
  for (const Case& one : cases) {
    const auto matches = index.find(edited(one.frames, one.edit), Duplicates());
    ASSERT_EQ(matches.size(), 1U) << one.what;
    EXPECT_STREQ(matches[0].how, one.how) << one.what;
    EXPECT_NEAR(double(matches[0].of_start_us), 0, 5e5) << one.what;
    EXPECT_NEAR(double(matches[0].of_end_us), 6e6, 5e5) << one.what;
  }
}

struct Part {
  unsigned scene;
  int first, frames;
  bool still = false;
};
Footage cut_of(const std::vector<Part>& parts) {
  std::vector<Picture> pictures;
  for (const Part& part : parts) {
    for (int i = 0; i < part.frames; ++i) {
      pictures.push_back(testing::draw(part.scene, part.first + (part.still ? 0 : i), 160, 120));
    }
  }
  return footage_of_bytes(encode_webm(pictures, {.fps = 16, .quality = 20}));
}

// Whichever way the film was cut: of each part of it that is left the seconds are said.
TEST(Duplicates, AreFoundInEveryStretch) {
  struct Span {
    double start_s, of_start_s, length_s;
  };
  struct Case {
    const char* what;
    std::vector<Part> film, copy;
    std::vector<Span> wanted;
  };
  const std::vector<Part> film = {{5, 0, 224}};
  const std::vector<Case> cases = {
      {"in another order", film, {{5, 128, 64}, {9, 0, 64}, {5, 16, 64}}, {{0, 8, 4}, {8, 1, 4}}},
      {"with an insert", film, {{5, 0, 80}, {9, 0, 32}, {5, 80, 96}}, {{0, 0, 5}, {7, 5, 6}}},
      {"with another middle", film, {{5, 0, 64}, {9, 0, 80}, {5, 144, 80}}, {{0, 0, 4}, {9, 9, 5}}},
      {"twice the same", film, {{5, 32, 64}, {9, 0, 32}, {5, 32, 64}}, {{0, 2, 4}, {6, 2, 4}}},
      {"of what is there twice",
       {{5, 0, 64}, {9, 0, 32}, {5, 0, 64}},
       {{5, 0, 64}},
       {{0, 0, 4}, {0, 6, 4}}},
      {"beside a long still",
       {{7, 0, 192, true}, {5, 0, 64}},
       {{5, 0, 64}, {9, 0, 32}, {7, 0, 192, true}},
       {{0, 12, 4}}},
  };
  for (const Case& one : cases) {
    DuplicateIndex index;
    index.add(cut_of(one.film));
    auto matches = index.find(cut_of(one.copy), Duplicates());
    ASSERT_EQ(matches.size(), one.wanted.size()) << one.what;
    std::sort(matches.begin(), matches.end(), [](const Match& a, const Match& b) {
      return std::tie(a.start_us, a.of_start_us) < std::tie(b.start_us, b.of_start_us);
    });
    for (size_t i = 0; i < matches.size(); ++i) {
      const Span& span = one.wanted[i];
      EXPECT_NEAR(double(matches[i].start_us), span.start_s * 1e6, 2e5) << one.what;
      EXPECT_NEAR(double(matches[i].of_start_us), span.of_start_s * 1e6, 2e5) << one.what;
      EXPECT_NEAR(double(matches[i].end_us - matches[i].start_us), span.length_s * 1e6, 3e5)
          << one.what;
    }
  }
}

// Long, when each piece that was found had the whole film followed again.
TEST(Duplicates, AreFoundInEveryPieceOfAShuffledFilm) {
  constexpr size_t kPieces = 200, kFrames = 50;  // 2 s each
  std::mt19937_64 random(1);
  const auto flip = [&](Fingerprint print, int bits) {
    for (int i = 0; i < bits; ++i) {
      const auto bit = random() % 256;
      print.bits[bit / 8] = static_cast<uint8_t>(print.bits[bit / 8] ^ (1U << bit % 8));
    }
    return print;
  };
  Footage film, copy;
  film.digest = ledger::sha256("film");
  copy.digest = ledger::sha256("copy");
  for (size_t i = 0; i < kPieces * kFrames; ++i) {
    film.pts_us.push_back(i * 40'000);
    film.prints.push_back(i == 0 ? flip({.bits = {}, .quality = 100}, 99)
                                 : flip(film.prints.back(), i % 75 == 0 ? 99 : 4));
  }
  std::vector<size_t> order(kPieces);
  for (size_t i = 0; i < kPieces; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), random);
  for (const size_t piece : order) {
    for (size_t i = 0; i < kFrames; ++i) {
      copy.prints.push_back(flip(film.prints[piece * kFrames + i], 6));
    }
  }
  copy.pts_us = film.pts_us;
  DuplicateIndex index;
  index.add(film);
  Seconds found;
  for (const Match& match : index.find(copy, Duplicates())) {
    const size_t piece = match.start_us / (kFrames * 40'000);
    const double offset = (double(order[piece]) - double(piece)) * kFrames * 40'000;
    EXPECT_NEAR(double(match.of_start_us) - double(match.start_us), offset, 2e5);
    found.add(match.start_us, match.end_us);
  }
  EXPECT_GT(double(found.length_us()), 0.97 * double(copy.pts_us.back()));
}

// A ledger and a fingerprint file keep the looks of a source and none of its turns.
TEST(Duplicates, AreFoundMirroredAndTurnedByTheirKeptLooksAlone) {
  const auto film = [](int frame) { return testing::draw(5, frame, 320, 240); };
  DuplicateIndex index;
  index.add(edited(96, film));
  const std::vector<Edit> edits = {
      [&](int i) { return testing::mirrored(film(i)); },
      [&](int i) { return testing::axes_swapped(film(i)); },
      [&](int i) { return testing::axes_swapped(testing::mirrored(film(i))); },
      [&](int i) { return part_of(film(i), 0.1, 0.1, 0.8, 0.8); },
      [&](int i) { return testing::mirrored(part_of(film(i), 0.1, 0.1, 0.8, 0.8)); },
  };
  const std::vector<std::vector<Track>> without = {{}, std::vector<Track>(kAskedLooks)};
  for (size_t edit = 0; edit < edits.size(); ++edit) {
    Footage copy = edited(96, edits[edit]);
    copy.squares = {};
    const auto by_turns = index.find(copy, Duplicates());
    ASSERT_EQ(by_turns.size(), 1U) << edit;
    for (const auto& none : without) {
      copy.asked = none;
      const auto matches = index.find(copy, Duplicates());
      ASSERT_EQ(matches.size(), 1U) << edit;
      EXPECT_STREQ(matches[0].how, by_turns[0].how);
      EXPECT_NEAR(double(matches[0].of_start_us), 0, 5e5) << edit;
      EXPECT_NEAR(double(matches[0].of_end_us), 6e6, 5e5) << edit;
    }
  }
  Footage stranger = edited(96, [](int i) { return testing::draw(6, i, 320, 240); });
  stranger.asked = {};
  EXPECT_TRUE(index.find(stranger, Duplicates()).empty());
}

// Nothing is kept for these: the kept middle of the original lies anywhere in the copy.
TEST(Duplicates, AreFoundCroppedOffTheMiddle) {
  const auto film = [](int frame) { return testing::draw(5, frame, 320, 240); };
  DuplicateIndex index;
  index.add(edited(64, film));
  const std::vector<Edit> edits = {
      [&](int i) { return part_of(film(i), 0.1, 0.1, 0.9, 0.9); },
      [&](int i) { return part_of(film(i), 0, 0, 0.9, 0.9); },
      [&](int i) { return part_of(film(i), 0.11, 0.03, 0.85, 0.85); },
      [&](int i) { return part_of(film(i), 0.15, 0, 0.85, 1); },
      [&](int i) { return testing::mirrored(part_of(film(i), 0, 0.1, 0.9, 0.9)); },
  };
  for (size_t edit = 0; edit < edits.size(); ++edit) {
    Footage copy = edited(64, edits[edit]);
    const auto matches = index.find(copy, Duplicates());
    ASSERT_EQ(matches.size(), 1U) << edit;
    EXPECT_STREQ(matches[0].how, edit == 4 ? "mirrored, cropped" : "cropped");
    EXPECT_NEAR(double(matches[0].start_us), 0, 5e5) << edit;
    EXPECT_NEAR(double(matches[0].of_start_us), 0, 5e5) << edit;
    EXPECT_NEAR(double(matches[0].end_us), 4e6, 5e5) << edit;
    copy.squares = {};
    EXPECT_TRUE(index.find(copy, Duplicates()).empty()) << edit;
  }
  const auto stranger = [&](int i) {
    return part_of(testing::draw(6, i, 320, 240), 0.1, 0.1, 0.9, 0.9);
  };
  EXPECT_TRUE(index.find(edited(64, stranger), Duplicates()).empty());
}

// Of what resembles itself all the time: at a higher speed more of theirs have a picture of ours,
// which says nothing. Asked 8 times a second, kept 4 times, as turns are.
TEST(Duplicates, OfAFixedCameraAreAtTheirOwnSpeed) {
  std::mt19937 random(5);
  const auto changed = [&](Fingerprint print, int bits) {
    for (int i = 0; i < bits; ++i) {
      print.bits[random() % 32] ^= static_cast<uint8_t>(1U << random() % 8);
    }
    return print;
  };
  const Fingerprint room = changed({.bits = {}, .quality = 100}, 100);
  Track ours, theirs;
  for (uint64_t us = 0; us < 12'000'000; us += 250'000) {
    theirs.pts_us.push_back(us);
    theirs.prints.push_back(changed(room, 6));
  }
  for (uint64_t us = 0; us < 7'000'000; us += 125'000) {
    ours.pts_us.push_back(us);
    ours.prints.push_back(changed(theirs.prints[12 + us / 250'000], 6));
  }
  std::vector<Vote> votes;
  for (uint32_t at = 0; at < ours.prints.size(); ++at) {
    for (uint32_t of = 0; of < theirs.prints.size(); ++of) {
      if (distance(ours.prints[at].bits, theirs.prints[of].bits) <= 31) votes.push_back({at, of});
    }
  }
  const auto found = Alignment(ours, theirs, votes).best();
  ASSERT_TRUE(found.has_value());
  EXPECT_NEAR(found->speed, 1, 0.05);  // the next one differs by less than a picture
  EXPECT_NEAR(double(found->of_start_us), 3e6, 5e5);
  EXPECT_NEAR(double(found->of_end_us), 10e6, 5e5);
}

// Of so many places and speeds one fits another take by chance, where few pictures say so.
TEST(Duplicates, OfAPlaceAtAnotherSpeedNeedTenPictures) {
  const auto film = [](int frame) { return testing::draw(5, frame, 320, 240); };
  const auto faster = [&](int i) { return part_of(film(i * 5 / 4), 0.15, 0, 0.85, 1); };
  DuplicateIndex index;
  index.add(edited(80, film));
  const auto matches = index.find(edited(60, faster), Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_STREQ(matches[0].how, "cropped");
  EXPECT_DOUBLE_EQ(matches[0].speed, 1.25);
  EXPECT_TRUE(index.find(edited(30, faster), Duplicates()).empty());
}

TEST(Duplicates, AreFoundInALargerPicture) {
  const auto film = [](int frame) { return testing::draw(5, frame, 320, 240); };
  DuplicateIndex index;
  index.add(edited(64, [&](int i) { return part_of(film(i), 0.1, 0.02, 0.88, 0.88); }));
  const auto matches = index.find(edited(64, film), Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_STREQ(matches[0].how, "uncropped");
  EXPECT_NEAR(double(matches[0].end_us), 4e6, 5e5);
}

// The left side of the original is dark in its second half, and no picture then: the crop lies
// elsewhere in what is left. It is one copy all the same.
TEST(Duplicates, AreOneWhereFlatBordersCome) {
  const auto film = [](int frame) {
    Picture out = testing::draw(5, frame, 320, 240);
    if (frame < 32) return out;
    Picture dark = part_of(out, 0, 0, 0.2, 1);
    std::fill(dark.pixels.begin(), dark.pixels.end(), uint8_t{20});
    lay(dark, out, 0, 0);
    return out;
  };
  DuplicateIndex index;
  index.add(edited(64, film));
  const auto copy = edited(64, [&](int i) { return part_of(film(i), 0.1, 0.1, 0.9, 0.9); });
  const auto matches = index.find(copy, Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_NEAR(double(matches[0].start_us), 0, 3e5);
  EXPECT_NEAR(double(matches[0].end_us), 4e6, 3e5);
  EXPECT_NEAR(double(matches[0].of_end_us), 4e6, 3e5);
}

Footage named(const char* name) {
  Footage out;
  out.digest = ledger::sha256(name);
  return out;
}

// Prints that have nothing to do with one another, `step_us` apart.
Footage strangers(const char* name, size_t pictures, uint64_t step_us, unsigned seed) {
  std::mt19937 random(seed);
  Footage out = named(name);
  for (size_t i = 0; i < pictures; ++i) {
    Fingerprint print{.bits = {}, .quality = 100};
    for (uint8_t& byte : print.bits) byte = static_cast<uint8_t>(random());
    out.pts_us.push_back(i * step_us);
    out.prints.push_back(print);
  }
  return out;
}

Footage apart(Footage footage, const char* name, int bits) {
  std::mt19937 random(11);
  footage.digest = ledger::sha256(name);
  for (Fingerprint& print : footage.prints) {
    for (int left = bits; left > 0; --left) {
      const auto bit = random() % 8;  // another byte each time
      print.bits[static_cast<size_t>(left)] ^= static_cast<uint8_t>(1U << bit);
    }
  }
  return footage;
}

// Two or three moments of two films are easily alike; who is like whom is certain then, and no
// evidence.
TEST(Duplicates, NeedMoreThanThreePicturesThatAreOnlyAlike) {
  for (const size_t pictures : {2U, 3U, 4U, 6U}) {
    const Footage film = strangers("film", pictures, 600'000, 5);
    DuplicateIndex index;
    index.add(film);
    EXPECT_EQ(index.find(apart(film, "alike", 20), Duplicates()).size(), pictures < 4 ? 0U : 1U)
        << pictures;
    EXPECT_EQ(index.find(apart(film, "coded again", 5), Duplicates()).size(), 1U) << pictures;
  }
}

// What looks like a copy from afar is none where another source has the same seconds, much nearer.
TEST(Duplicates, AreNotLookalikesOfASourceThatIsKnown) {
  const Footage film = strangers("film", 20, 200'000, 5);
  const Footage copy = apart(film, "copy", 3);
  DuplicateIndex index;
  index.add(apart(film, "lookalike", 22));
  EXPECT_EQ(index.answer(copy, Duplicates()).size(), 1U);
  EXPECT_EQ(index.answer(film, Duplicates()).size(), 1U);
  index.add(film);
  const auto matches = index.answer(copy, Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].of, 1U);
  EXPECT_EQ(index.answer(film, Duplicates()).size(), 2U);  // being itself speaks against nothing
  EXPECT_EQ(index.find(copy, Duplicates()).size(), 2U);    // what is recorded forgets nobody
}

// Each picture of the one is as near to a fortieth of the other's: votes are bounded, and there are
// more of them than fit in memory where each has 256. It is one copy all the same.
TEST(Duplicates, OfTwoLongLoopsTakeNoProductOfLengths) {
  const Footage turn = strangers("turn", 40, 100'000, 5);
  const auto loop = [&](const char* name, size_t pictures) {
    Footage out = named(name);
    for (size_t i = 0; i < pictures; ++i) {
      out.pts_us.push_back(i * 100'000);
      out.prints.push_back(turn.prints[i % 40]);
    }
    return out;
  };
  DuplicateIndex index;
  index.add(loop("one", 40'000));
  const auto matches = index.find(loop("other", 40'000), Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].start_us, 0U);
  EXPECT_NEAR(double(matches[0].end_us), 4e9, 5e6);
  EXPECT_EQ(matches[0].speed, 1);
}

// Every picture of the one is like every one of the other: that costs no product of lengths.
TEST(Duplicates, OfTwoLongStillsTakeSeconds) {
  std::mt19937 random(3);
  const Footage moment = edited(4, [](int i) { return testing::draw(5, i, 160, 120); });
  const auto still = [&](const char* name) {
    const auto noisy = [&](Fingerprint print) {
      print.bits[random() % 32] ^= 1;
      return print;
    };
    Footage out = named(name);
    out.kept.resize(kKeptLooks);
    for (uint64_t us = 0; us < 3'600'000'000; us += 100'000) {
      out.pts_us.push_back(us);
      out.prints.push_back(noisy(moment.prints[0]));
    }
    for (size_t look = 0; look < kKeptLooks; ++look) {
      for (uint64_t us = 0; us < 3'600'000'000; us += kLookUs) {
        out.kept[look].pts_us.push_back(us);
        out.kept[look].prints.push_back(noisy(moment.kept[look].prints[0]));
      }
    }
    return out;
  };
  DuplicateIndex index;
  index.add(still("one"));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(index.find(still("other"), Duplicates()).empty());
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
}

// Round shapes that move; what testing::draw() makes is full of straight sides.
Picture round_shapes(int frame, int width, int height, double shift) {
  Picture out = testing::draw(8, frame, width, height);
  const auto depth = static_cast<size_t>(out.channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double u = double(x) / width, v = double(y) / height, t = frame * 0.1 + shift;
      double value = 110 + 30 * std::sin(9 * u + 2 * v + shift) + 25 * std::cos(14 * v - 5 * u * u);
      value +=
          std::hypot(u - 0.5 - 0.3 * std::sin(t), v - 0.5 - 0.2 * std::cos(2 * t)) < 0.2 ? 60 : 0;
      value -= std::hypot(u - 0.4 + 0.3 * std::cos(t), v - 0.4) < 0.15 ? 60 : 0;
      std::fill_n(&out.pixels[depth * static_cast<size_t>(y * width + x)], depth,
                  static_cast<uint8_t>(std::clamp(value, 0.0, 255.0)));
    }
  }
  return out;
}

TEST(Duplicates, AreFoundAsInsetsAnywhere) {
  DuplicateIndex index;
  index.add(edited(96, [](int i) { return round_shapes(i, 320, 240, 0); }));
  struct Case {
    double size;
    int x, y;
    bool mirror;
  };
  for (const Case& at : {Case{0.45, 120, 30, false}, {0.4, 14, 130, false}, {0.5, 160, 0, true}}) {
    const auto copy = edited(96, [&](int i) {
      Picture out = round_shapes(i, 320, 240, 40);
      const Picture small = round_shapes(i, static_cast<int>(320 * at.size) / 2 * 2,
                                         static_cast<int>(240 * at.size) / 2 * 2, 0);
      for (uint8_t& value : out.pixels) value = static_cast<uint8_t>(value / 2 + 10);
      lay(at.mirror ? testing::mirrored(small) : small, out, at.x, at.y);
      return out;
    });
    const auto matches = index.find(copy, Duplicates());
    ASSERT_EQ(matches.size(), 1U) << at.size;
    EXPECT_STREQ(matches[0].how, "inset");
    // Of six seconds: the sides of a small one are not seen in every picture.
    EXPECT_GT(matches[0].of_end_us, matches[0].of_start_us + 2'500'000) << at.size;
  }
}

Footage heard(unsigned scene, unsigned sound) {
  return footage_of_bytes(testing::make_media({.codec = "mpeg4",
                                               .scenes = {scene},
                                               .frames_per_scene = 192,
                                               .sound = true,
                                               .sound_seed = sound}));
}

// That another film has its music says nothing of whose the pictures are.
TEST(Duplicates, AreAnsweredBesideTheSameMusic) {
  const Footage music = heard(3, 21);
  Footage film = strangers("film", 20, 200'000, 5);
  DuplicateIndex index;
  index.add(music);
  index.add(apart(film, "alike", 22));
  film.sound = music.sound;
  const auto matches = index.answer(film, Duplicates());
  ASSERT_EQ(matches.size(), 2U);
  EXPECT_EQ(matches[0].of, 1U);
  EXPECT_TRUE(matches[1].sound_alone());
}

TEST(Duplicates, OfSoundAloneAreAQuestionAndNoCopy) {
  DuplicateIndex index;
  index.add(heard(3, 21));
  const Footage dubbed = heard(4, 21), other = heard(4, 22), same = heard(3, 21);
  const auto matches = index.find(dubbed, Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_TRUE(matches[0].sound_alone());
  EXPECT_STREQ(matches[0].how, "sound");
  EXPECT_GT(matches[0].audio_match, 0.9);
  EXPECT_NEAR(double(matches[0].start_us), 0, 5e5);
  EXPECT_NEAR(double(matches[0].end_us), 12e6, 5e5);
  EXPECT_EQ(matches[0].of_start_us, matches[0].start_us);

  EXPECT_TRUE(index.find(other, Duplicates()).empty());
  const auto found = index.find(same, Duplicates(), Self::also);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_FALSE(found[0].sound_alone()) << "of a copy the sound is the same";
  Duplicates longer;
  longer.set_min_sound_ms(13'000);
  EXPECT_TRUE(index.find(dubbed, longer).empty());
}

// So much lies over the pictures that nobody votes for them; the sound says where to look.
TEST(Duplicates, AreFoundUnderWhatCoversThemWhereTheSoundIsTheSame) {
  const auto covered = [](unsigned seed) {
    return edited(192, [=](int frame) {
      Picture out = testing::draw(seed, frame, 320, 240);
      Picture logo = testing::draw(90, 0, 140, 110);
      lay(logo, out, 0, 0);
      return out;
    });
  };
  DuplicateIndex index;
  index.add(heard(3, 21));
  Footage copy = covered(3), stranger = covered(4);
  EXPECT_TRUE(index.find(copy, Duplicates()).empty());
  copy.sound = stranger.sound = heard(3, 21).sound;
  const auto matches = index.find(copy, Duplicates());
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_STREQ(matches[0].how, "edited");
  EXPECT_NEAR(double(matches[0].of_end_us), 12e6, 5e5);
  const auto music = index.find(stranger, Duplicates());
  ASSERT_EQ(music.size(), 1U);
  EXPECT_TRUE(music[0].sound_alone()) << "music under another film";
}

TEST(Duplicates, OfSoundAndPictureSayHowWellTheSoundAgrees) {
  const auto film = [](unsigned seed, const char* codec) {
    return footage_of_bytes(testing::make_media(
        {.codec = codec, .scenes = {seed}, .frames_per_scene = 96, .sound = true}));
  };
  DuplicateIndex index;
  index.add(film(3, "ffv1"));
  const auto same = index.find(film(3, "mpeg4"), Duplicates());
  ASSERT_EQ(same.size(), 1U);
  EXPECT_GT(same[0].audio_match, 0.9);

  Footage dubbed = film(3, "mpeg4");
  dubbed.sound = film(4, "ffv1").sound;
  const auto other = index.find(dubbed, Duplicates());
  ASSERT_EQ(other.size(), 1U);  // the pictures are still the same
  EXPECT_LT(other[0].audio_match, 0.8);
}

// Exact recall: fingerprints at every distance up to the radius are found, whichever bits differ.
TEST(Duplicates, IndexMissesNothingWithinTheRadius) {
  std::mt19937 random(7);
  DuplicateIndex index;
  Footage base;
  base.digest = ledger::sha256("base");
  for (uint64_t i = 0; i < 40; ++i) {
    Fingerprint print{.bits = {}, .quality = 100};
    for (uint8_t& byte : print.bits) byte = static_cast<uint8_t>(random());
    base.pts_us.push_back(i * 100'000);
    base.prints.push_back(print);
  }
  index.add(base);
  Duplicates rules;
  rules.set_max_distance(31);
  for (int differ = 0; differ <= 40; ++differ) {
    Footage copy = base;
    copy.digest = ledger::sha256("copy");
    for (Fingerprint& print : copy.prints) {
      std::vector<int> bits(256);
      for (int i = 0; i < 256; ++i) bits[static_cast<size_t>(i)] = i;
      std::shuffle(bits.begin(), bits.end(), random);
      for (int i = 0; i < differ; ++i) {
        const int bit = bits[static_cast<size_t>(i)];
        print.bits[static_cast<size_t>(bit / 8)] ^= static_cast<uint8_t>(1 << bit % 8);
      }
    }
    const auto matches = index.find(copy, rules);
    ASSERT_EQ(matches.size(), differ <= kAlike ? 1U : 0U) << differ << " bits";
    if (differ <= kAlike) {
      EXPECT_DOUBLE_EQ(matches[0].distance, differ);
      EXPECT_EQ(matches[0].end_us, 4'000'000U);
    }
  }
}

}  // namespace
}  // namespace cleared::curate
