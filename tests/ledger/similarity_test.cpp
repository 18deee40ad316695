// Does a licence that limits how alike clips may be reach whoever makes them: the release, the file
// that clips are compared with, the permit?
#include "ledger/similarity.h"

#include <functional>
#include <numeric>
#include <tuple>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/looks.pb.h"
#include "ledger/release.h"
#include "ledger/rights.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Print print_of(char c) {
  Print out;
  out.fill(static_cast<uint8_t>(c));
  return out;
}

Footage two_series() {
  Footage out(2);
  out[0].source = out[1].source = sha256("a");
  out[0].width = 48;
  out[1].width = 64;
  out[0].height = out[1].height = 64;
  out[1].prints = {print_of('a'), print_of('b')};
  return out;
}

TEST(Footage, IsReadAsItWasWritten) {
  EXPECT_EQ(parse_footage(format_footage({}), "x"), Footage{});
  const std::string bytes = format_footage(two_series());
  EXPECT_EQ(parse_footage(bytes, "x"), two_series());
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_THAT(error_of([&] { parse_footage(bytes.substr(0, n), "x"); }), StartsWith("corrupt: x"))
        << n;
  }
  EXPECT_THAT(error_of([&] { parse_footage(bytes + "x", "x"); }), HasSubstr("follows the last"));
}

TEST(Footage, HasOneOrder) {
  std::string bytes = format_footage(two_series());
  std::swap_ranges(bytes.end() - 64, bytes.end() - 32, bytes.end() - 32);
  EXPECT_THAT(error_of([&] { parse_footage(bytes, "x"); }), HasSubstr("do not rise"));
  bytes.replace(bytes.size() - 64, 32, bytes.substr(bytes.size() - 32));  // one twice
  EXPECT_THAT(error_of([&] { parse_footage(bytes, "x"); }), HasSubstr("do not rise"));
  bytes = format_footage(two_series());
  bytes[18 + 4 + 32] = 64;  // two series of one shape
  EXPECT_THAT(error_of([&] { parse_footage(bytes, "x"); }), HasSubstr("do not rise"));
}

// The page's example, to the byte.
TEST(Footage, IsTheExampleOfItsPage) {
  Footage one(1);
  one[0].source = Digest{};
  one[0].width = 1280;
  one[0].height = 720;
  one[0].prints.emplace_back();
  std::iota(one[0].prints[0].begin(), one[0].prints[0].end(), uint8_t{0});
  const std::string bytes = format_footage(one);
  const std::string page = read_file("../docs/formats/footage.md");
  std::string hex;
  for (size_t i = 0; i < bytes.size(); ++i) {
    hex += (i % 32 == 0 ? "\n    " : " ") + to_hex(as_bytes(std::string_view(bytes).substr(i, 1)));
  }
  EXPECT_THAT(page, HasSubstr(hex + "\n"));
}

// By whole numbers, which have no rounding.
TEST(Similarity, IsExact) {
  for (uint32_t hundredths = 0; hundredths <= 100; ++hundredths) {
    for (uint32_t bits = 0; bits <= 256; ++bits) {
      EXPECT_EQ(too_alike(bits, hundredths / 100.0), 100 * (256 - bits) > 256 * hundredths)
          << hundredths << " " << bits;
    }
  }
  EXPECT_TRUE(too_alike(35, 0.86));
  EXPECT_FALSE(too_alike(36, 0.86));
  EXPECT_FALSE(too_alike(128, 0.5));  // just as alike as allowed
}

struct Consumed : RunWorld {
  // Of each licence its limit; below 0: none.
  explicit Consumed(const std::vector<double>& limits)
      : RunWorld(names(limits), [&](size_t i, LicenceText& terms) {
          for (const Use use : {RELEASE_WEIGHTS, GENERATE_COMMERCIAL, GENERATE_INTERNAL})
            terms.mutable_allows()->add_use(use);
          terms.mutable_limits()->clear_memorisation_max();
          if (limits[i] >= 0) terms.mutable_limits()->set_similarity_max(limits[i]);
        }) {
    RunOf run = begin_run("run-1-aaaaaaaa00000000");
    std::map<size_t, Eaten> eaten;
    for (size_t i = 0; i < limits.size(); ++i) eaten[i] = {{1, i}};
    span(run, 10, eaten);
    sign();
    weights = run.parent;
  }
  static std::vector<std::pair<std::string, size_t>> names(const std::vector<double>& limits) {
    std::vector<std::pair<std::string, size_t>> out;
    for (size_t i = 0; i < limits.size(); ++i) out.emplace_back("LIC-" + std::to_string(i), 1);
    return out;
  }
  // Of source `i`: one frame a letter, each with such a quality.
  void prints(size_t i, uint64_t first, const std::string& letters, char quality = 100) {
    Fact fact;
    FingerprintRecord& record = *fact.mutable_fingerprint();
    record.set_source(std::string(sha256("footage-" + std::to_string(i)).text()));
    record.set_first_frame(first);
    for (size_t at = 0; at < letters.size(); ++at) {
      record.add_pts_us((first + at) * 40'000);
      record.mutable_pdq()->append(32, letters[at]);
      record.mutable_quality()->push_back(quality);
    }
    append({fact});
  }
  CheckpointStanding judge(Use use = GENERATE_INTERNAL) const {
    const Store store(ledger, Access::read);
    Statement last(store.db(), "SELECT MAX(seq) FROM checkpoint");
    last.next();
    Purpose purpose = World::purpose();
    return judge_checkpoint(store, Rights(store), last.unsigned_integer(0),
                            Act{use, 0, &purpose, "US"});
  }
  std::string weights;
};

TEST(Similarity, TheStrictestLicenceCountsWhereWeightsGoOutOrGenerate) {
  Consumed world({0.86, -1, 0.5, 1});
  for (const size_t i : {0, 1, 2}) {
    EXPECT_EQ(world.judge().verdict.rule, "similarity_unknown");
    world.prints(i, 0, "a");
  }
  EXPECT_THAT(world.judge().verdict.fact, HasSubstr("footage-3/a.webm"));
  world.prints(3, 0, "a");
  for (const Use use : {GENERATE_INTERNAL, GENERATE_COMMERCIAL, RELEASE_WEIGHTS}) {
    const CheckpointStanding standing = world.judge(use);
    EXPECT_TRUE(standing.verdict.cleared) << standing.verdict.fact;
    EXPECT_EQ(standing.similarity_max, 0.5);
    EXPECT_EQ(standing.consumed.size(), 4u);
  }
  EXPECT_EQ(world.judge(EVALUATE).similarity_max, std::nullopt);
  const Consumed free({-1, 1});  // without fingerprints
  EXPECT_TRUE(free.judge().verdict.cleared);
  EXPECT_EQ(free.judge().similarity_max, std::nullopt);
}

TEST(Similarity, EveryFrameOfTheFootageHasAFingerprint) {
  Consumed world({0.86});
  world.prints(0, 2, "cd");
  EXPECT_THAT(world.judge().verdict.fact, HasSubstr("fingerprints of 0 of its"));
  world.prints(0, 0, "ab");
  EXPECT_TRUE(world.judge().verdict.cleared);
}

TEST(Similarity, TheFileHasWhatCanBeToldApartInOneOrder) {
  Consumed world({0.86});
  world.prints(0, 0, "cab");
  world.prints(0, 3, "ff", 49);  // featureless
  world.prints(0, 5, "a", 50);
  const auto footage = [&] {
    const CheckpointStanding standing = world.judge();
    return footage_of(Store(world.ledger, Access::read), standing.consumed);
  };
  ASSERT_EQ(footage().size(), 1u);
  EXPECT_EQ(footage()[0].source, sha256("footage-0"));
  EXPECT_THAT(footage()[0].prints, ElementsAre(print_of('a'), print_of('b'), print_of('c')));

  // What narrower clips show, where ingest kept it.
  SourceLooks looks;
  looks.set_digest(std::string(sha256("footage-0").text()));
  for (char look = 0; look < 13; ++look) looks.mutable_kept_pdq()->append(32, look);
  looks.set_kept_quality(std::string(13, 80));
  const auto write = [&] {
    const std::string body = looks.SerializeAsString();
    make_folders(world.ledger.string() + ".index");
    write_file(world.ledger.string() + ".index/" + to_hex(sha256("footage-0")) + ".looks",
               std::string(sha256(body).text()) + body);
  };
  write();
  const Footage all = footage();
  ASSERT_EQ(all.size(), 3u);
  for (const auto& [at, width, print] : {std::tuple{0U, 360U, 8}, {1U, 480U, 7}}) {
    EXPECT_EQ(all[at].width, width);
    EXPECT_EQ(all[at].height, 480u);
    EXPECT_THAT(all[at].prints, ElementsAre(print_of(static_cast<char>(print))));
  }
  EXPECT_EQ(all[2].width, 640u);
  looks.mutable_kept_pdq()->pop_back();
  write();
  EXPECT_THAT(error_of([&] { footage(); }), HasSubstr("damaged; delete it"));
}

// A run has no footage to compare clips with.
TEST(Similarity, ARunMakesNoClipsOfFootageThatLimitsThem) {
  for (const double most : {-1.0, 0.86, 1.0}) {
    const Consumed world({most});
    const Store store(world.ledger, Access::read);
    const Rights rights(store);
    PermitRequest asked = world.request();
    EXPECT_EQ(error_of([&] { make_permit(store, rights, asked); }), "");
    asked.purpose.add_also(GENERATE_INTERNAL);
    const std::string error = error_of([&] { make_permit(store, rights, asked); });
    if (most == 0.86) {
      EXPECT_THAT(error, StartsWith("refused: similarity_unguarded"));
    } else {
      EXPECT_EQ(error, "");
    }
  }
}

TEST(Similarity, AReleaseNamesTheFileThatClipsAreComparedWith) {
  Consumed world({0.86});
  world.prints(0, 0, "ab");
  Store(world.ledger, Access::append).sign_head(world.log);
  const CheckpointStanding standing = world.judge();
  const Store store(world.ledger, Access::read);
  const std::string file = format_footage(footage_of(store, standing.consumed));
  EXPECT_EQ(file, format_footage(footage_of(store, standing.consumed)));
  ReleaseText text = make_release(store, standing,
                                  {.weights = sha256("weights"),
                                   .model = "cleared-base",
                                   .field = "film",
                                   .territory = "US",
                                   .footage = sha256(file)});
  const auto path = world.folder / "a.release";
  write_file(world.folder / "trust",
             "approver " + format_verifier_key(world.approver.verifier) + "\n");
  make_folders(world.folder / "notices");
  const ReleaseOptions options{.release = path,
                               .trust = world.folder / "trust",
                               .notices = world.folder / "notices",
                               .weights = sha256("weights")};
  const auto sign = [&](const SignerKey& key) {
    write_file(path, sign_text(format_textproto(text), {&key}));
    return error_of([&] { similarity_limit(options); });
  };
  EXPECT_THAT(sign(world.approver), StartsWith("refused: release_other_footage"));  // missing
  for (std::string other : {file + "x", file.substr(0, file.size() - 1), std::string()}) {
    write_file(footage_path(path), other);
    EXPECT_THAT(sign(world.approver), StartsWith("refused: release_other_footage")) << other.size();
  }
  std::string flipped = file;
  flipped.back() ^= 1;
  write_file(footage_path(path), flipped);
  EXPECT_THAT(sign(world.approver),
              AllOf(StartsWith("refused: release_other_footage"), HasSubstr("copy it beside")));

  write_file(footage_path(path), file);
  EXPECT_EQ(sign(world.approver), "");
  const auto limit = similarity_limit(options);
  ASSERT_TRUE(limit.has_value());
  EXPECT_EQ(limit->most, 0.86);
  EXPECT_EQ(limit->footage, footage_of(store, standing.consumed));
  EXPECT_THAT(sign(world.trainer), StartsWith("refused: release_unsigned"));

  // The note says both or neither.
  Release& release = *text.mutable_release();
  release.clear_footage();
  EXPECT_THAT(sign(world.approver), StartsWith("corrupt"));
  EXPECT_THAT(error_of([&] { check_release(options); }), StartsWith("corrupt"));
  release.clear_similarity_max();
  EXPECT_EQ(sign(world.approver), "");
  EXPECT_EQ(similarity_limit(options), std::nullopt);
}

// One that nobody made by `ledger release` is held to the same.
TEST(Similarity, NoReleaseIsRecordedThatAllowsMore) {
  const Consumed world({0.86, -1, 0.5, 1});
  const std::vector<std::string> all = {"LIC-0@1", "LIC-1@1", "LIC-2@1", "LIC-3@1"};
  const auto said = [&](std::optional<double> most, bool footage, Use use = GENERATE_INTERNAL) {
    const Fact fact = world.release(world.weights, all, [&](Release& r) {
      r.set_use(use);
      if (most) r.set_similarity_max(*most);
      if (footage) r.set_footage(digest_name(sha256("file")));
    });
    return error_of([&] { Store(world.ledger, Access::append).append({fact}); });
  };
  for (const Use use : {GENERATE_INTERNAL, GENERATE_COMMERCIAL, RELEASE_WEIGHTS, SUBLICENSE}) {
    EXPECT_THAT(said(std::nullopt, false, use), HasSubstr("limits how alike clips may be"));
    EXPECT_THAT(said(0.86, true, use), HasSubstr("licence LIC-2@1 limits how alike"));
  }
  EXPECT_THAT(said(0.5, false), HasSubstr("says what file it is about"));
  EXPECT_THAT(said(std::nullopt, true), HasSubstr("says what file it is about"));
  for (const double most : {-0.1, 1.0, 2.0}) EXPECT_THAT(said(most, true), HasSubstr("in [0, 1)"));
  EXPECT_EQ(said(0.5, true), "");
  EXPECT_EQ(said(0.4, true), "");
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
  // What an erased document asked nobody knows any more: what was recorded stays as it was.
  Store(world.ledger, Access::append).erase_document("LIC-2@1", "asked for");
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

}  // namespace
}  // namespace cleared::ledger
