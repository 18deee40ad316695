// Faces and speech. data/face.pgm and where its face is: OpenCV 4's CascadeClassifier with
// lbpcascade_frontalface.xml finds it at 171, 64, 105 pixels wide, of the 512 pixels of the
// original (tests/tools/data/make.sh); here it is 192 wide.
#include "curate/findings.h"

#include <cmath>
#include <cstdio>
#include <ctime>
#include <numbers>
#include <random>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/record.pb.h"
#include "tests/curate/media.h"

namespace cleared::curate {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

Picture read_pgm(const std::string& path) {
  std::istringstream in(read_file(path));
  std::string magic;
  Picture out;
  int white = 0;
  in >> magic >> out.width >> out.height >> white;
  in.get();
  out.pixels.resize(static_cast<size_t>(out.width * out.height));
  in.read(reinterpret_cast<char*>(out.pixels.data()),
          static_cast<std::streamsize>(out.pixels.size()));
  return out;
}
Picture face() {
  return read_pgm(CLEARED_ROOT "/tests/curate/data/face.pgm");
}
FaceFinder finder() {
  const FaceCascades cascades = read_cascades(kCascadeFolder);
  return FaceFinder(cascades.quick, cascades.sure);
}

TEST(Faces, AreWhereOpenCvFindsThem) {
  const auto faces = finder().find(face());
  ASSERT_THAT(faces, SizeIs(1));
  EXPECT_NEAR(faces[0].x + faces[0].side / 2, (171 + 52.5) * 192 / 512, 6);
  EXPECT_NEAR(faces[0].y + faces[0].side / 2, (64 + 52.5) * 192 / 512, 6);
  EXPECT_NEAR(faces[0].side, 105.0 * 192 / 512, 8);
}

TEST(Faces, AreNotInDrawingsNoiseOrAPictureUpsideDown) {
  const FaceFinder find = finder();
  int seen = 0;
  for (unsigned seed = 1; seed <= 24; ++seed) {
    Picture grey{192, 144, 1, {}};
    const Picture drawn = testing::draw(seed, 0, 192, 144);
    const size_t channels = drawn.pixels.size() / (192 * 144);
    for (size_t i = 0; i < size_t{192} * 144; ++i)
      grey.pixels.push_back(drawn.pixels[i * channels]);
    seen += static_cast<int>(!find.find(grey).empty());
  }
  EXPECT_LE(seen, 1) << "of 24 drawings";  // it only ever asks for a person
  std::mt19937 random{1};
  Picture noise{192, 144, 1, {}};
  for (int i = 0; i < 192 * 144; ++i) noise.pixels.push_back(static_cast<uint8_t>(random()));
  EXPECT_THAT(find.find(noise), IsEmpty());
  Picture turned = face();
  std::reverse(turned.pixels.begin(), turned.pixels.end());
  EXPECT_THAT(find.find(turned), IsEmpty());
  EXPECT_THAT(find.find({20, 20, 1, std::vector<uint8_t>(400)}), IsEmpty());  // below the window
}

TEST(Faces, OnlyCascadesOfStumpsAreRead) {
  const std::string good = read_cascades(kCascadeFolder).quick;
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const std::string bad[] = {"",
                             "<opencv_storage/>",
                             good.substr(0, good.size() / 2),
                             changed("<featureType>LBP", "<featureType>HAAR"),
                             changed("<width>24", "<width>240"),
                             changed("<height>24", "<height>25"),
                             changed("0 -1 ", "1 -1 "),
                             changed("<rect>", "<rect>20 20 9 9 "),
                             changed("<rect>", "<rect>-1 ")};
  for (const std::string& text : bad) {
    EXPECT_THROW(FaceDetector{text}, Error) << text.substr(0, 40);
  }
  EXPECT_THROW(read_cascades("/nowhere"), Error);
}

TEST(FaceLooker, LooksTwiceASecondAndKeepsPicturesOfWhatItFound) {
  const FaceCascades cascades = read_cascades(kCascadeFolder);
  Analyse request;
  const Picture grey = face();
  kernels::SmallLuma rows{grey.height, grey.width, grey.width, false, grey.pixels};
  {
    Analysis out;
    FaceLooker none(request);
    none.look(0, rows, out);
    EXPECT_EQ(out.looked_pts_us_size(), 0);
  }
  request.set_quick_faces(cascades.quick);
  request.set_sure_faces(cascades.sure);
  Analysis out;
  FaceLooker looker(request);
  for (uint64_t frame = 0; frame < 32; ++frame) looker.look(frame * 62'500, rows, out);
  EXPECT_EQ(out.looked_pts_us_size(), 4);
  EXPECT_EQ(out.faces(3), 1U);
  ASSERT_EQ(out.face_picture_size(), 4);
  EXPECT_EQ(out.face_picture(1).pts_us(), 500'000U);
  check_findings(out);
  ledger::ReviewPictures kept;
  ASSERT_TRUE(kept.ParseFromString(review_pictures(out)));
  EXPECT_EQ(kept.picture(0).png(), grey_png(grey));

  const auto found = findings_in(out, {.start_us = 0, .end_us = 1'000'000});
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].reason + " " + found[0].value, "face in 2 of 2 pictures");
  EXPECT_TRUE(ledger::is_finding(found[0].reason, found[0].value));
  EXPECT_THAT(findings_in(out, {.start_us = 2'000'000, .end_us = 3'000'000}), IsEmpty());
  out.add_faces(1);
  EXPECT_THROW(check_findings(out), Error);
}

TEST(SmallLuma, IsLaidDownUpright) {
  const kernels::SmallLuma columns{2, 3, 4, true, {1, 2, 3, 0, 4, 5, 6, 0}};
  const Picture upright = picture_of(columns);
  EXPECT_EQ(upright.width, 2);
  EXPECT_EQ(upright.height, 3);
  EXPECT_EQ(upright.pixels, (std::vector<uint8_t>{1, 4, 2, 5, 3, 6}));
}

// --- sound ---

using Sound = std::vector<int16_t>;
template <class Wave>
Sound sound_of(double seconds, const Wave& wave) {
  Sound out;
  for (int i = 0; i < static_cast<int>(seconds * kSpeechRate); ++i) {
    out.push_back(static_cast<int16_t>(
        std::lround(8000 * std::clamp(wave(double(i) / kSpeechRate), -4.0, 4.0))));
  }
  return out;
}
std::vector<std::pair<uint64_t, uint64_t>> speech_in(const Sound& sound) {
  SpeechFinder finder;
  for (size_t at = 0; at < sound.size(); at += 777) {  // in pieces of any size
    finder.add({sound.data() + at, std::min<size_t>(777, sound.size() - at)});
  }
  return finder.finish();
}
double tone(double hertz, double t) {
  return std::sin(2 * std::numbers::pi * hertz * t);
}

TEST(Speech, IsNotInSilenceTonesNoiseOrChords) {
  std::mt19937 random{3};
  std::uniform_real_distribution<double> any(-1, 1);
  EXPECT_THAT(speech_in(sound_of(6, [](double) { return 0.0; })), IsEmpty());
  EXPECT_THAT(speech_in(sound_of(6, [](double t) { return tone(440, t); })), IsEmpty());
  EXPECT_THAT(speech_in(sound_of(6, [&](double) { return any(random); })), IsEmpty());
  EXPECT_THAT(
      speech_in(sound_of(6, [](double t) { return tone(262, t) + tone(330, t) + tone(392, t); })),
      IsEmpty());
  // A beat twice a second, decaying: loud and quiet, and of one kind of sound.
  EXPECT_THAT(speech_in(sound_of(
                  6, [](double t) { return std::exp(-8 * std::fmod(t, 0.5)) * tone(200, t); })),
              IsEmpty());
}

TEST(Speech, IsSyllablesOfVoiceAndHissWithPauses) {
  std::mt19937 random{4};
  std::uniform_real_distribution<double> any(-1, 1);
  const auto syllables = [&](double t) {
    const double place = std::fmod(t, 0.25) / 0.25;
    const double hiss = any(random);
    if (place < 0.25) return 0.4 * hiss;
    if (place > 0.7) return 0.002 * hiss;
    return std::sin(std::numbers::pi * (place - 0.25) / 0.45) *
           (tone(120, t) + tone(240, t) + 0.7 * tone(600, t) + 0.3 * tone(1200, t));
  };
  Sound sound = sound_of(3, [](double) { return 0.0; });
  const Sound voice = sound_of(4, syllables);
  sound.insert(sound.end(), voice.begin(), voice.end());
  const auto spans = speech_in(sound);
  ASSERT_THAT(spans, SizeIs(1));
  EXPECT_GE(spans[0].first, 1'000'000U);
  EXPECT_LE(spans[0].first, 3'500'000U);
  EXPECT_GE(spans[0].second, 6'000'000U);
}

TEST(Speech, ThatTouchesAClipIsAFinding) {
  Analysis out;
  out.add_speech_us(1'000'000);
  out.add_speech_us(3'000'000);
  const auto at = [&](uint64_t start_us, uint64_t end_us) {
    const auto found = findings_in(out, {.start_us = start_us, .end_us = end_us});
    return found.empty() ? "" : found[0].reason + " " + found[0].value;
  };
  EXPECT_EQ(at(0, 400'000), "");
  EXPECT_EQ(at(1'000'000, 2'000'000), "speech for about 1.5 s");
  EXPECT_EQ(at(3'600'000, 4'600'000), "");
}

// A film of hours, each clip against what every look and every span says; and many more clips in
// the time that this would not be possible in.
TEST(Findings, OfAClipAreThoseOfItsPartOfTheFilm) {
  std::mt19937_64 random(11);
  Analysis film;
  for (uint64_t at = 0; film.looked_pts_us_size() < 40'000; at += random() % 1'000'000) {
    film.add_looked_pts_us(at);
    film.add_faces(random() % 8 == 0 ? 1 : 0);
  }
  for (uint64_t at = 0; film.speech_us_size() < 40'000; at += random() % 1'000'000) {
    film.add_speech_us(at);
  }
  check_findings(film);
  const auto random_clip = [&] {
    const uint64_t start_us = random() % 20'000'000'000;
    return Clip{.start_us = start_us, .end_us = start_us + random() % 5'000'000};
  };
  for (int round = 0; round < 300; ++round) {
    const Clip clip = random_clip();
    int looks = 0, with_faces = 0;
    for (int i = 0; i < film.looked_pts_us_size(); ++i) {
      const bool inside =
          film.looked_pts_us(i) >= clip.start_us && film.looked_pts_us(i) < clip.end_us;
      looks += inside;
      with_faces += inside && film.faces(i) > 0;
    }
    uint64_t heard_us = 0;
    for (int i = 0; i < film.speech_us_size(); i += 2) {
      const uint64_t before = std::min<uint64_t>(clip.start_us, 500'000);
      const uint64_t begin = std::max(film.speech_us(i), clip.start_us - before);
      const uint64_t end = std::min(film.speech_us(i + 1), clip.end_us + 500'000);
      heard_us += begin < end ? end - begin : 0;
    }
    std::string expected;
    if (with_faces > 0) {
      expected = "in " + std::to_string(with_faces) + " of " + std::to_string(looks) +
                 (looks == 1 ? " picture;" : " pictures;");
    }
    char seconds[40] = "";
    if (heard_us > 0) {
      std::snprintf(seconds, sizeof seconds, "for about %.1f s;", double(heard_us) / 1e6);
    }
    std::string found;
    for (const auto& finding : findings_in(film, clip)) found += finding.value + ";";
    EXPECT_EQ(found, expected + seconds) << clip.start_us << " to " << clip.end_us;
  }
  const std::clock_t began = std::clock();
  size_t all = 0;
  for (int i = 0; i < 200'000; ++i) all += findings_in(film, random_clip()).size();
  EXPECT_GT(all, 100'000U);
  EXPECT_LT(double(std::clock() - began) / CLOCKS_PER_SEC, 4);  // 8 thousand million looks
}

}  // namespace
}  // namespace cleared::curate
