// Licence documents and what judge() says about them.
#include "ledger/licence.h"

#include <algorithm>
#include <chrono>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/terms.h"
#include "ledger/textproto.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(Licence, EveryFieldIsRead) {
  const LicenceText terms = parse_licence(full_licence_text(), "a.licence");
  EXPECT_EQ(licence_ref(terms), "LIC-1@1");
  EXPECT_EQ(terms.pay(0).split(1).share_bps(), 1000U);
  // The example uses every field, so that a new one cannot be forgotten here.
  std::vector<const google::protobuf::FieldDescriptor*> set;
  terms.GetReflection()->ListFields(terms, &set);
  EXPECT_EQ(set.size(), static_cast<size_t>(terms.GetDescriptor()->field_count()));
  EXPECT_EQ(format_textproto(parse_licence(format_textproto(terms), "again")),
            format_textproto(terms));
}

TEST(Licence, RefusesByLineAndColumn) {
  const std::string good = full_licence_text();
  struct Case {
    const char *from, *to, *message;
  };
  const Case cases[] = {
      {"  version: 1\n", "  version: 1\n  colour: 3\n", "a:5:9: "},    // unknown field
      {"talent: RELEASED_FOR_TRAINING", "talent: MAYBE", "a:40:3: "},  // unknown value
      {"  version: 1\n", "  version: 1\n  version: 2\n", "a:5:"},      // twice
      {"use: [INGEST", "use: [STEAL", "a:16:14: "},
      {"  version: 1\n", "  version: -1\n", "a:4:"},
      {"  version: 1\n", "  version: 4294967296\n", "a:4:"},
      {"  version: 1\n", "  version: \"1\"\n", "a:4:"},
      {"  minors: false\n", "", "minors"},  // required
      {"  licensee: \"example-studio\"\n", "", "licensee"},
      {"overrides {", "overrides {{", "a:"},
      {"id: \"LIC-1\"", "id: \"LIC 1\"", "licence.id"},
      {"id: \"LIC-1\"", "id: \"LIC@1\"", "licence.id"},
      {"id: \"LIC-1\"", "id: \"\"", "licence.id"},
      {"  version: 1\n", "  version: 0\n", "licence.version"},
      {"  version: 1\n", "  version: 2\n", "licence.supersedes"},
      {"  version: 1\n", "  version: 3\n  supersedes: \"LIC-1@1\"\n", "licence.supersedes"},
      {"\"2024-01-01\"", "\"2024-02-30\"", "valid_from"},
      {"\"2099-12-31\"", "\"31.12.2099\"", "valid_to"},
      {"\"2099-12-31\"", "\"2023-12-31\"", "before valid_from"},
      {"sha256:2222", "sha256:222", "agreement_digest"},
      {"licensee: \"example-studio\"", "licensee: \"example-stock\"", "two parties"},
      {"delivery: \"2026-01/**\"", "", "covers"},
      {"delivery: \"2026-01/**\"", "delivery: \"/etc\"", "relative"},
      {"delivery: \"2026-01/**\"", "source_digest: \"sha256:12\"", "source_digest"},
      {"  use: [INGEST, CAPTION, EMBED, ENCODE, TRAIN, EVALUATE]\n", "", "allows.use"},
      {"max_passes: 4", "max_passes: 0", "max_passes"},
      {"max_share: 1.0", "max_share: 0.0", "max_share"},
      {"max_share: 1.0", "max_share: 1.01", "max_share"},
      {"max_share: 1.0", "max_share: nan", "max_share"},
      {"similarity_max: 0.86", "similarity_max: inf", "similarity_max"},
      {"memorisation_max: 0.0", "memorisation_max: -0.1", "memorisation_max"},
      {"share_bps: 1000 }", "share_bps: 1001 }", "10000"},
      {"pool_bps: 500", "pool_bps: 10001", "pool_bps"},
      // Names that look alike are not the same name, and places and days are real ones.
      {"[\"cleared-base\"]", "[\"cle\u0430red-base\"]", "a:17:3: allows.model"},
      {"\"film\"", "\"film \"", "a:20:3: allows.field_of_use"},
      {"[\"political\"]", "[\"politic\u0430l\"]", "a:21:3: allows.excluded_field"},
      {"[\"political\"]", "[\"Political\"]", "a:21:3: allows.excluded_field"},
      {"[\"political\"]", "[\"*\"]", "a:21:3: allows.excluded_field"},
      {"[\"political\"]", "[\"\"]", "a:21:3: allows.excluded_field"},
      {"[\"cleared-base\"]", "[\"Cleared-base\"]", "a:17:3: allows.model"},
      {"\"film\"", "\"film/tv\"", "a:20:3: allows.field_of_use"},
      {"\"US\"", "\"us\"", "a:22:3: allows.compute_territory"},
      {"\"US\"", "\"USA\"", "allows.compute_territory"},
      {"\"US\"", "\"U\u0405\"", "allows.compute_territory"},
      {"release_territory: [\"*\"]", "release_territory: [\"**\"]", "allows.release_territory"},
      {"licensor: \"example-stock\"", "licensor: \"ex\u0430mple-stock\"",
       "a:6:3: licence.licensor"},
      {"id: \"LIC-1\"", "id: \"L\u0406C-1\"", "a:3:3: licence.id"},
      {"\"2099-12-31\"", "\"9999-12-31\"", "a:9:3: licence.valid_to"},
      {"\"2099-12-31\"", "\"2200-01-01\"", "a:9:3: licence.valid_to"},
      {"\"2024-01-01\"", "\"1989-12-31\"", "a:8:3: licence.valid_from"},
      {"\"2024-01-01\"", "\"2024-01-01T00:00:00+02:00\"", "a:8:3: licence.valid_from"},
      {"\"2024-01-01\"", "\"2024-01-01Z\"", "a:8:3: licence.valid_from"},
      {"  currency: \"USD\"\n", "", "pay.rate_micros has no unit"},
      {"\"USD\"", "\"usd\"", "pay.currency"},
      {"rate_micros: 2000000", "rate_micros: 1000000000000000001", "pay.rate_micros is beyond"},
      {"pool_bps: 500\n",
       "pool_bps: 500\n}\npay {\n  basis: REVENUE_SHARE\n  currency: \"USD\"\n  pool_bps: 500\n",
       "pay.pool_bps is of a pool that the licence shares already"},
      // A letter with an accent is delivered as one character or as two, and others look alike.
      {"\"2026-01/**\"", "\"k\u00f6ln/**\"", "covers.delivery must be plain ASCII"},
      {"\"2026-01/**\"", "\"r\u0435el/**\"", "covers.delivery must be plain ASCII"},
      {"union_notice: \"none\"", "union_notice: \"SAG-AFTRA\"", "clearances.union_notice"},
      {"union_notice: \"none\"", "union_notice: \"SAG-AFTRA:2026-13-45\"", "union_notice"},
      {"union_notice: \"none\"", "union_notice: \"SAG-AFTRA: 2026-07-14\"", "union_notice"},
      {"union_notice: \"none\"", "union_notice: \"SAG-AFTRA :2026-07-14\"", "union_notice"},
      {"union_notice: \"none\"", "union_notice: \":2026-07-14\"", "union_notice"},
      // What is signed is what it reads as.
      {"use: [INGEST, ", "use: [1, ", "a:16:9: use must be a word, not its number"},
      {"use: [INGEST, ", "use: [INGEST, 0xA, ", "use must be a word"},
      {"after_term: STOP_TRAINING", "after_term: 2", "after_term must be a word"},
      {"minors: false", "minors: f", "minors must be true or false"},
      {"minors: false", "minors: 0", "minors must be true or false"},
      {"max_passes: 4", "max_passes: 010", "max_passes must be a number in digits"},
      {"max_passes: 4", "max_passes: 0x4", "max_passes must be a number in digits"},
      {"max_share: 1.0", "max_share: 1.0f", "max_share must be a number in digits"},
      {"delete_after_days: 30", "delete_after_days: 030", "delete_after_days must be a number"},
      {"id: \"LIC-1\"", "id: \"L\" \"IC-1\"", "id must be one string"},
      {"id: \"LIC-1\"", "id: \"L\\x49C-1\"", "id must be written as it reads"},
      {"delete_after_days: 30", "delete_after: 30", "a:3"},
      {"delete_after_days: 30", "delete_after_days: \"30 days\"", "a:3"},
  };
  for (const Case& c : cases) {
    const std::string text = replaced(good, c.from, c.to);
    EXPECT_THAT(error_of([&] { parse_licence(text, "a"); }),
                testing::AllOf(StartsWith("corrupt: a"), HasSubstr(c.message)))
        << c.from << " -> " << c.to;
  }
  EXPECT_THAT(error_of([] { parse_licence("", "a"); }), StartsWith("corrupt: a"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "licence {";
  EXPECT_THAT(error_of([&] { parse_licence(deep, "a"); }), StartsWith("corrupt: a"));
}

// What was on record before a check came is read as it was taken, so that no ledger breaks.
TEST(Licence, OnRecordIsReadAsItWasTaken) {
  std::string old = replaced(full_licence_text(), "2099-12-31", "9999-12-31");
  EXPECT_THAT(error_of([&] { parse_licence(old, "a"); }), StartsWith("corrupt: a:9:3: "));
  old = replaced(replaced(old, "max_passes: 4", "max_passes: 010"), "2026-01/**", "k\u00f6ln/**");
  EXPECT_EQ(parse_licence(old, "a", LicenceAge::recorded).limits().max_passes(), 8U);
  EXPECT_EQ(parse_licence(old, "a", LicenceAge::recorded).licence().valid_to(), "9999-12-31");
}

TEST(Licence, NothingStandsAfterItsSignatures) {
  World world;
  const std::string good = sign_text(full_licence_text(), {&world.licensor, &world.licensee});
  const auto append = [&](const std::string& note) {
    return error_of([&] { Store(world.ledger, Access::append).append_licence(note, "a.licence"); });
  };
  for (const char* more : {"allows { use: [SUBLICENSE] }\n", "\n", " ", "# a comment\n", "\n\n"}) {
    EXPECT_THAT(append(good + more), StartsWith("corrupt")) << more;
  }
  EXPECT_THAT(append(replaced(good, "max_passes: 4", "max_passes: 5")), StartsWith("permission"));
  EXPECT_EQ(append(good), "");
}

TEST(Licence, AnAmendmentFollowsTheNewestVersion) {
  World world;
  const auto version = [](int n, const std::string& text = full_licence_text()) {
    const std::string before = std::to_string(n - 1);
    return n == 1 ? text
                  : replaced(text, "  version: 1\n",
                             "  version: " + std::to_string(n) + "\n  supersedes: \"LIC-1@" +
                                 before + "\"\n");
  };
  const auto append = [&](const std::string& text, const SignerKey& licensor) {
    const std::string note = sign_text(text, {&licensor, &world.licensee});
    return error_of([&] { Store(world.ledger, Access::append).append_licence(note, "a"); });
  };
  const SignerKey rival = new_signer_key("rival");
  world.append({world.key(rival, "licensor")});
  EXPECT_EQ(append(version(3), world.licensor), "");  // the first that this ledger sees
  EXPECT_THAT(append(version(5), world.licensor), HasSubstr("newest in the ledger, LIC-1@3"));
  EXPECT_THAT(append(version(2), world.licensor), HasSubstr("newest in the ledger, LIC-1@3"));
  EXPECT_THAT(append(version(1), world.licensor), HasSubstr("newest in the ledger, LIC-1@3"));
  EXPECT_THAT(append(replaced(version(3), "max_passes: 4", "max_passes: 5"), world.licensor),
              HasSubstr("another document of LIC-1@3"));  // a fork
  EXPECT_THAT(append(replaced(version(4), "LIC-1@3", "LIC-1@4"), world.licensor),
              HasSubstr("licence.supersedes"));  // a circle
  EXPECT_THAT(append(replaced(version(4), "\"example-stock\"", "\"rival\""), rival),
              HasSubstr("other parties cannot amend it"));
  EXPECT_EQ(append(version(4), world.licensor), "");
}

TEST(Terms, WhatAnAmendmentDoes) {
  using Effect = TermChange::Effect;
  struct Case {
    const char *from, *to, *path;
    Effect effect;
  };
  const Case cases[] = {
      {"max_passes: 4", "max_passes: 3", "limits.max_passes", Effect::stricter},
      {"max_passes: 4", "max_passes: 10", "limits.max_passes", Effect::looser},
      {"  max_passes: 4\n", "", "limits.max_passes", Effect::looser},
      {"2099-12-31", "2098-12-31", "licence.valid_to", Effect::stricter},
      {"2024-01-01", "2023-12-31", "licence.valid_from", Effect::looser},
      {"[\"US\", \"EU\"]", "[\"EU\"]", "allows.compute_territory", Effect::stricter},
      {"[\"US\", \"EU\"]", "[\"EU\", \"JP\"]", "allows.compute_territory", Effect::both},
      {"[\"US\", \"EU\"]", "[\"*\"]", "allows.compute_territory", Effect::looser},
      {"release_territory: [\"*\"]", "release_territory: [\"US\"]", "allows.release_territory",
       Effect::stricter},
      {"[\"political\"]", "[\"political\", \"adult\"]", "allows.excluded_field", Effect::stricter},
      {"TRAIN, EVALUATE", "TRAIN", "allows.use", Effect::stricter},
      {"minors: false", "minors: true", "clearances.minors", Effect::stricter},
      {"style_by_name: ALLOWED", "style_by_name: NEVER", "output.style_by_name", Effect::other},
      {"STOP_TRAINING", "WITHDRAW_MODEL", "licence.after_term", Effect::stricter},
      {"STOP_TRAINING", "KEEP_WEIGHTS", "licence.after_term",
       Effect::other},  // the same to the gate
      {"delete_after_days: 30", "delete_after_days: 1", "derived.latent.delete_after_days",
       Effect::stricter},
      {"  latent { delete_after_days: 30 }\n", "", "derived.latent.delete_after_days",
       Effect::looser},
      {"caption: TERM", "caption: PERPETUAL", "derived.caption", Effect::looser},
      {"talent: RELEASED_FOR_TRAINING", "talent: UNKNOWN", "clearances.talent", Effect::stricter},
      {"talent: RELEASED_FOR_TRAINING", "talent: RELEASED", "clearances.talent", Effect::stricter},
      {"music: MUTED", "music: UNKNOWN", "clearances.music", Effect::stricter},
      {"music: MUTED", "music: NONE", "clearances.music", Effect::other},
      {"2026-01/**\"",
       "2026-01/**\" source_digest: "
       "\"sha256:0000000000000000000000000000000000000000000000000000000000000000\"",
       "covers.source_digest", Effect::stricter},  // the patterns count no more
  };
  const LicenceText before = parse_licence(full_licence_text(), "a");
  EXPECT_TRUE(compare_terms(before, before).empty());
  for (const Case& c : cases) {
    const auto changes =
        compare_terms(before, parse_licence(replaced(full_licence_text(), c.from, c.to), "b"));
    ASSERT_EQ(changes.size(), 1U) << c.to;
    EXPECT_EQ(changes[0].path, c.path);
    EXPECT_EQ(effect_word(changes[0].effect), effect_word(c.effect)) << c.to;
  }
}

// What is agreed on and asked, or paid, is said, too.
TEST(Terms, WhatIsExplained) {
  const auto said = explain_licence(parse_licence(full_licence_text(), "a"));
  for (const char* sentence :
       {"Latents must be deleted after 30 days.", "Captions must be deleted after the last day.",
        "Embeddings are not to be kept.", "Fingerprints may be kept for good.",
        "When it is taken back the parties want: EXCLUDE, SUPPRESS and RETRAIN; runs may be asked "
        "to consume it last (sequence: REVOCABLE_LAST).",
        "It pays a part, by the footage consumed, of 5 % of the revenue in USD; of that "
        "example-stock 90 % and guild 10 %."}) {
    EXPECT_THAT(said, testing::Contains(sentence));
  }
  LicenceText fees = parse_licence(full_licence_text(), "a");
  EXPECT_THAT(said, testing::Not(testing::Contains(HasSubstr("union"))));
  fees.mutable_clearances()->set_union_notice("SAG-AFTRA:2026-07-14");
  EXPECT_THAT(explain_licence(fees),
              testing::Contains(HasSubstr("given to the union SAG-AFTRA, on 2026-07-14;")));
  fees.mutable_pay(0)->set_basis(Pay::PER_SAMPLE_SECOND);
  fees.mutable_pay(0)->set_rate_micros(1'250);
  fees.mutable_pay(0)->clear_split();
  EXPECT_THAT(explain_licence(fees),
              testing::Contains("It pays 0.001250 USD for each second of footage, each time it is "
                                "consumed."));
}

bool is_only_recorded(const std::string& warning) {
  return warning.find(" is only recorded: no rule asks it") != std::string::npos;
}

// A term that nothing asks is said aloud, and the page about licences has a row for it.
TEST(Terms, ThatNothingAsksAreWarnedOfAndOnThePage) {
  const std::string page = read_file("../docs/formats/licence.md");
  const size_t table = page.find("| only recorded |");
  ASSERT_NE(table, std::string::npos);
  std::vector<std::string> terms;
  for (const std::string& warning :
       warn_of(parse_licence(full_licence_text(), "a"), "2026-01-01")) {
    if (is_only_recorded(warning)) terms.push_back(warning.substr(0, warning.find(" is only")));
  }
  ASSERT_THAT(terms, testing::Contains("output.likeness"));
  EXPECT_THAT(terms, testing::Not(testing::Contains("limits.similarity_max")));  // asked of clips
  for (const std::string& term : terms) {
    EXPECT_NE(page.find("`" + term + "`", table), std::string::npos) << term;
  }
  const LicenceText plain = parse_licence(
      "licence { id: \"L\" version: 1 licensor: \"a\" licensee: \"b\" valid_from: \"2024-01-01\" "
      "valid_to: \"2026-12-31\" after_term: STOP_TRAINING }\n"
      "covers { delivery: \"**\" }\n"
      "allows { use: [INGEST, ENCODE, TRAIN] model: [\"m\"] component: [GENERATOR] "
      "field_of_use: [\"film\"] compute_territory: [\"EU\"] }\n"
      "clearances { talent: NONE_VISIBLE minors: false voice: NONE music: NONE }\n",
      "plain");
  EXPECT_THAT(warn_of(plain, "2026-01-01"), testing::ElementsAre(HasSubstr("no agreement_digest")));
}

TEST(Terms, WhatIsWarnedOf) {
  struct Case {
    const char *from, *to, *day, *warning;
  };
  const Case cases[] = {
      {"LIC-1", "LIC-1", "2099-10-01", ""},  // more than 90 days are left
      {"LIC-1", "LIC-1", "2099-10-02", "ends in 90 days"},
      {"LIC-1", "LIC-1", "2100-01-01", "ended on"},
      {"LIC-1", "LIC-1", "2023-12-31", "begins only on"},
      {"  field_of_use: [\"film\", \"tv\"]\n", "", "2026-01-01", "allows.field_of_use is empty"},
      {"ENCODE, ", "", "2026-01-01", "not ENCODE"},
      {"[\"political\"]", "[\"film\"]", "2026-01-01", "listed and excluded"},
      {"minors: false", "minors: true", "2026-01-01", "minors"},
      {"music: MUTED", "music: UNKNOWN", "2026-01-01", "UNKNOWN"},
      {"2026-01/*", "2026-01/../*", "2026-01-01", "covers nothing"},
  };
  for (const Case& c : cases) {
    auto warnings = warn_of(parse_licence(replaced(full_licence_text(), c.from, c.to), "a"), c.day);
    const auto asked = std::remove_if(warnings.begin(), warnings.end(), is_only_recorded);
    EXPECT_EQ(warnings.end() - asked, 10);
    warnings.erase(asked, warnings.end());
    if (*c.warning == '\0') {
      EXPECT_TRUE(warnings.empty()) << warnings[0];
    } else {
      EXPECT_THAT(warnings, testing::ElementsAre(HasSubstr(c.warning)));
    }
  }
}

TEST(Pattern, MatchesNamesAndFolders) {
  struct Case {
    const char *pattern, *path;
    bool matches;
  };
  const Case cases[] = {
      {"a/b.mp4", "a/b.mp4", true},
      {"a/b.mp4", "a/B.mp4", false},
      {"a/*", "a/b.mp4", true},
      {"a/*", "a/b/c.mp4", false},
      {"a/**", "a/b/c.mp4", true},
      {"a/**", "a", true},
      {"a/**", "ab/c", false},
      {"**", "a/b/c", true},
      {"**/c", "c", true},
      {"**/c", "a/b/c", true},
      {"**/c", "a/b/d", false},
      {"a/**/z", "a/z", true},
      {"a/**/z", "a/b/c/z", true},
      {"*.mp4", "a.mp4", true},
      {"*.mp4", ".mp4", true},
      {"*.mp4", "a/b.mp4", false},
      {"a*b*c", "aXbYc", true},
      {"a*b*c", "aXbY", false},
      {"a**", "ab/c", false},
      {"", "", true},
      {"", "a", false},
      {"a/**", "../a/b", false},
      {"a/**", "a/../b", false},
      {"**", "./a", false},
      {"?.mp4", "a.mp4", false},
      {"[a].mp4", "a.mp4", false},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(matches_pattern(c.pattern, c.path), c.matches) << c.pattern << " on " << c.path;
  }
}

TEST(Pattern, HostileOnesEndSoon) {
  std::string stars;
  for (int i = 0; i < 2000; ++i) stars += "*a";
  std::string folders;
  for (int i = 0; i < 500; ++i) folders += "**/a/";
  std::string path;
  for (int i = 0; i < 2000; ++i) path += "a/";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(matches_pattern(stars + "b", std::string(20'000, 'a')));
  EXPECT_FALSE(matches_pattern(folders + "b", path));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(Covers, ListedDigestsAreTheWholeList) {
  LicenceText terms = parse_licence(full_licence_text(), "a");
  EXPECT_TRUE(covers(terms, "2026-01/x/y.mp4", sha256("x")));
  EXPECT_FALSE(covers(terms, "2026-02/y.mp4", sha256("x")));
  terms.mutable_covers()->add_source_digest(digest_name(sha256("y")));
  EXPECT_FALSE(covers(terms, "2026-01/x/y.mp4", sha256("x")));  // the path alone no longer does
  EXPECT_TRUE(covers(terms, "elsewhere", sha256("y")));
}

// --- judge ---

// What is asked, ready to be changed by one row.
struct Asked {
  LicenceText terms = parse_licence(full_licence_text(), "a");
  Purpose purpose = World::purpose();
  Act act{TRAIN, 64, nullptr};
  std::string day = "2026-06-01";
  bool with_purpose = true;

  Allows& allows() { return *terms.mutable_allows(); }
  Clearances& clearances() { return *terms.mutable_clearances(); }
};
struct Edge {
  const char* rule;
  std::function<void(Asked&)> change;
};

TEST(Judge, EveryRuleDecidesAtItsEdge) {
  const Edge edges[] = {
      {"cleared", [](Asked&) {}},
      {"cleared", [](Asked& q) { q.day = "2024-01-01"; }},
      {"not_yet_valid", [](Asked& q) { q.day = "2023-12-31"; }},
      {"cleared", [](Asked& q) { q.day = "2099-12-31"; }},
      {"expired", [](Asked& q) { q.day = "2100-01-01"; }},
      {"use_not_allowed", [](Asked& q) { q.act.use = FINETUNE; }},
      {"use_not_allowed", [](Asked& q) { q.allows().clear_use(); }},
      {"model_not_allowed", [](Asked& q) { q.purpose.set_model("cleared-base2"); }},
      {"word_unclear", [](Asked& q) { q.purpose.set_model(""); }},
      {"model_not_allowed", [](Asked& q) { q.allows().clear_model(); }},
      {"cleared", [](Asked& q) { q.allows().set_model(0, "*"), q.purpose.set_model("any"); }},
      {"component_not_allowed", [](Asked& q) { q.purpose.add_component(TEXT_ENCODER); }},
      {"component_not_allowed", [](Asked& q) { q.allows().clear_component(); }},
      {"field_not_allowed", [](Asked& q) { q.purpose.set_field_of_use("games"); }},
      {"field_excluded", [](Asked& q) { q.purpose.set_field_of_use("political"); }},
      {"field_excluded",
       [](Asked& q) {
         q.allows().set_field_of_use(0, "*");
         q.purpose.set_field_of_use("political");
       }},
      {"cleared",
       [](Asked& q) {
         q.allows().set_field_of_use(0, "*");
         q.purpose.set_field_of_use("games");
       }},
      {"territory_not_allowed", [](Asked& q) { q.purpose.set_compute_territory("CN"); }},
      {"word_unclear", [](Asked& q) { q.purpose.set_compute_territory("us"); }},
      {"territory_not_allowed", [](Asked& q) { q.allows().clear_compute_territory(); }},
      {"cleared", [](Asked& q) { q.act.height_px = 1080; }},
      {"height_above_limit", [](Asked& q) { q.act.height_px = 1081; }},
      {"cleared", [](Asked& q) { q.act.height_px = 9999, q.terms.clear_limits(); }},
      {"clearance_unknown", [](Asked& q) { q.clearances().set_talent(Talent::UNKNOWN); }},
      {"clearance_unknown", [](Asked& q) { q.clearances().set_voice(Voice::UNKNOWN); }},
      {"clearance_unknown", [](Asked& q) { q.clearances().set_music(Music::UNKNOWN); }},
      {"minors_visible", [](Asked& q) { q.clearances().set_minors(true); }},
      {"talent_not_released", [](Asked& q) { q.clearances().set_talent(Talent::RELEASED); }},
      {"cleared",
       [](Asked& q) { q.clearances().set_talent(Talent::RELEASED), q.act.use = EVALUATE; }},
      {"cleared", [](Asked& q) { q.with_purpose = false, q.purpose.set_model("any"); }},
      // The first rule in the order of the document decides.
      {"expired", [](Asked& q) { q.day = "2100-01-01", q.act.use = FINETUNE; }},
      {"use_not_allowed", [](Asked& q) { q.act.use = DISTIL, q.act.height_px = 9999; }},
  };
  for (size_t i = 0; i < std::size(edges); ++i) {
    Asked asked;
    edges[i].change(asked);
    if (asked.with_purpose) asked.act.purpose = &asked.purpose;
    const Verdict verdict = judge(asked.terms, asked.act, asked.day);
    EXPECT_EQ(verdict.rule, edges[i].rule) << "row " << i << ": " << verdict.fact;
    EXPECT_EQ(verdict.cleared, verdict.rule == "cleared");
    EXPECT_EQ(verdict.cleared, verdict.fact.find("LIC-1@1") == std::string::npos) << "row " << i;
  }
}

}  // namespace
}  // namespace cleared::ledger
