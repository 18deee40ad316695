// Licence documents and what judge() says about them.
#include "ledger/licence.h"

#include <chrono>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
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
      {"model_not_allowed", [](Asked& q) { q.purpose.set_model(""); }},
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
      {"territory_not_allowed", [](Asked& q) { q.purpose.set_compute_territory("us"); }},
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

// A second opinion, written apart from the first: all rules at once, from sets, order last.
std::string oracle(const LicenceText& t, const Act& act, const std::string& day) {
  const auto strings = [](const auto& list) {
    return std::set<std::string>(list.begin(), list.end());
  };
  const Allows& allows = t.allows();
  std::vector<std::pair<const char*, bool>> broken;
  broken.emplace_back("not_yet_valid", std::less<>()(day, t.licence().valid_from()));
  broken.emplace_back("expired", std::greater<>()(day, t.licence().valid_to()));
  broken.emplace_back("use_not_allowed",
                      std::set<int>(allows.use().begin(), allows.use().end()).count(act.use) == 0);
  if (act.purpose != nullptr) {
    const Purpose& p = *act.purpose;
    const auto absent = [&](const auto& list, const std::string& value) {
      return strings(list).count(value) + strings(list).count("*") == 0;
    };
    bool component = false;
    for (const int c : p.component()) {
      component |=
          std::set<int>(allows.component().begin(), allows.component().end()).count(c) == 0;
    }
    broken.emplace_back("model_not_allowed", absent(allows.model(), p.model()));
    broken.emplace_back("component_not_allowed", component);
    broken.emplace_back("field_excluded",
                        strings(allows.excluded_field()).count(p.field_of_use()) > 0);
    broken.emplace_back("field_not_allowed", absent(allows.field_of_use(), p.field_of_use()));
    broken.emplace_back("territory_not_allowed",
                        absent(allows.compute_territory(), p.compute_territory()));
  }
  broken.emplace_back("height_above_limit",
                      t.limits().has_max_height_px() && t.limits().max_height_px() < act.height_px);
  const Clearances& c = t.clearances();
  broken.emplace_back("clearance_unknown", Talent::Value_Name(c.talent()) == "UNKNOWN" ||
                                               Voice::Value_Name(c.voice()) == "UNKNOWN" ||
                                               Music::Value_Name(c.music()) == "UNKNOWN");
  broken.emplace_back("minors_visible", c.minors());
  broken.emplace_back(
      "talent_not_released",
      c.talent() == Talent::RELEASED && std::set<Use>{TRAIN, FINETUNE, DISTIL}.count(act.use) > 0);
  for (const auto& [rule, is] : broken) {
    if (is) return rule;
  }
  return "cleared";
}

TEST(Judge, AgreesWithASecondOpinionOnRandomTerms) {
  std::mt19937 random(20260601);
  const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
  const auto often = [&] { return below(8) != 0; };  // so that later rules are reached
  const LicenceText base = parse_licence(full_licence_text(), "a");
  const char* days[] = {"2023-12-31", "2024-01-01", "2026-06-01", "2099-12-31", "2100-01-01"};
  const char* names[] = {"film", "games", "political", "*", "US", "EU", "cleared-base", ""};
  const auto name = [&] { return names[below(std::size(names))]; };
  std::map<std::string, int> seen;
  for (int i = 0; i < 20'000; ++i) {
    LicenceText t = base;
    Purpose p = World::purpose();
    if (!often()) t.mutable_allows()->clear_use();
    if (!often()) t.mutable_allows()->add_use(static_cast<Use>(1 + below(12)));
    if (!often()) t.mutable_allows()->set_model(0, name());
    if (!often()) t.mutable_allows()->set_component(0, static_cast<Component>(1 + below(3)));
    if (!often()) t.mutable_allows()->add_excluded_field(name());
    if (!often()) t.mutable_allows()->add_field_of_use(name());
    if (!often()) t.mutable_allows()->set_compute_territory(1, name());
    if (!often()) t.mutable_limits()->set_max_height_px(below(100));
    if (!often()) t.mutable_clearances()->set_talent(static_cast<Talent::Value>(1 + below(4)));
    if (!often()) t.mutable_clearances()->set_voice(static_cast<Voice::Value>(1 + below(3)));
    if (!often()) t.mutable_clearances()->set_music(static_cast<Music::Value>(1 + below(4)));
    if (!often()) t.mutable_clearances()->set_minors(below(2) == 0);
    if (!often()) p.set_model(name());
    if (!often()) p.set_field_of_use(name());
    if (!often()) p.set_compute_territory(name());
    if (!often()) p.add_component(static_cast<Component>(1 + below(3)));
    const Act act{often() ? TRAIN : static_cast<Use>(1 + below(12)), below(100),
                  often() ? &p : nullptr};
    const std::string day = often() ? days[1 + below(3)] : days[below(5)];
    const std::string rule = judge(t, act, day).rule;
    ASSERT_EQ(rule, oracle(t, act, day)) << t.DebugString() << p.DebugString() << day;
    ++seen[rule];
  }
  EXPECT_EQ(seen.size(), 13U) << "a rule was never reached";
}

TEST(Rules, EveryOneIsExplainedInTheDocs) {
  const std::string page = read_file("../docs/rules.md");
  for (const std::string_view rule : rules()) {
    if (rule.empty()) ADD_FAILURE() << "the list of rules is longer than its entries";
    if (rule != "cleared") {
      EXPECT_THAT(page, HasSubstr("`" + std::string(rule) + "`"));
    }
  }
}

}  // namespace
}  // namespace cleared::ledger
