// The gate's rules: the printed table, a truth table of rule x state x edge of time, and an oracle.
//
// The oracle was written from docs/gate-rules.md and docs/formats/licence.md, not from the code: it
// reads the licence as text, counts days, and asks every question of every licence, the last first.
// CLEARED_ORACLE_CASES=5000000 asks it more often than the million times of a build that is
// optimised.
#include "ledger/rules.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/gate.h"
#include "ledger/licence.h"
#include "ledger/textproto.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

TEST(Rules, ThePageIsTheTable) {
  EXPECT_EQ(read_file("../docs/gate-rules.md"), rules_markdown())
      << "run: ledger rules --markdown > docs/gate-rules.md";
}

TEST(Rules, HaveOneNameEach) {
  std::set<std::string_view> names;
  for (const GateRule& rule : rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
    EXPECT_EQ(find_rule(rule.name), &rule);
    EXPECT_FALSE(rule.question.empty() || rule.fact.empty() || rule.helps.empty()) << rule.name;
  }
  for (const char* word : {"", "cleared", "Expired", "expired ", "no_licence2"}) {
    EXPECT_EQ(find_rule(word), nullptr) << word;
  }
}

// --- truth table ---

struct World1 {
  LicenceText terms = parse_licence(full_licence_text(), "a");
  Purpose purpose = World::purpose();
  Act act{TRAIN, 64, &purpose, {}};
  std::vector<Mark> marks = {};
  std::vector<ClipFinding> findings = {};
  void forbid(Use use) {
    auto& uses = *terms.mutable_allows()->mutable_use();
    uses.erase(std::remove(uses.begin(), uses.end(), use), uses.end());
  }
  void mark(const char* name, MarkSays says) { marks.push_back({name, says, "", "here"}); }
  void find(const char* reason, const char* value, bool released = false) {
    findings.push_back({reason, value, "here", released});
  }
  // Weights that trained on talent which is not released for it.
  void let_go(Use use) {
    act.use = use;
    act.release_territory = "US";
    terms.mutable_licence()->set_after_term(Licence::WITHDRAW_MODEL);
    terms.mutable_allows()->add_use(use);
    terms.mutable_clearances()->set_talent(Talent::RELEASED);
  }
};
struct Breaks {
  const char* rule;  // "cleared": breaks none
  void (*change)(World1&);
};
constexpr Breaks kBreaks[] = {
    {"cleared", [](World1&) {}},
    {"use_not_allowed", [](World1& w) { w.act.use = DISTIL; }},
    {"word_unclear", [](World1& w) { w.purpose.set_model(""); }},
    {"word_unclear", [](World1& w) { w.purpose.set_model("*"); }},
    {"word_unclear", [](World1& w) { w.purpose.set_model("Cleared-Base"); }},
    {"word_unclear",
     [](World1& w) {  // the same spelling in the licence does not help
       w.purpose.set_field_of_use("Film");
       w.terms.mutable_allows()->add_field_of_use("Film");
     }},
    {"word_unclear",
     [](World1& w) {
       w.purpose.set_field_of_use("");
       w.terms.mutable_allows()->set_field_of_use(0, "*");
     }},
    {"word_unclear",
     [](World1& w) {
       w.purpose.set_field_of_use("*");
       w.terms.mutable_allows()->set_field_of_use(0, "*");
     }},
    {"word_unclear",
     [](World1& w) {
       w.purpose.set_field_of_use("political ");
       w.terms.mutable_allows()->set_field_of_use(0, "*");
     }},
    {"word_unclear",
     [](World1& w) {
       w.purpose.set_compute_territory("");
       w.terms.mutable_allows()->set_compute_territory(0, "*");
     }},
    {"word_unclear",
     [](World1& w) {
       w.purpose.set_compute_territory("eu");
       w.terms.mutable_allows()->set_compute_territory(0, "*");
     }},
    {"word_unclear", [](World1& w) { w.act.release_territory = "*"; }},
    {"word_unclear",
     [](World1& w) {  // weights that are handed out go somewhere
       w.act.use = RELEASE_WEIGHTS;
       w.terms.mutable_licence()->set_after_term(Licence::WITHDRAW_MODEL);
       w.terms.mutable_allows()->add_use(RELEASE_WEIGHTS);
       w.terms.mutable_allows()->clear_release_territory();
     }},
    {"release_not_allowed",
     [](World1& w) {
       w.act.use = RELEASE_WEIGHTS;
       w.act.release_territory = "US";
       w.terms.mutable_licence()->set_after_term(Licence::WITHDRAW_MODEL);
       w.terms.mutable_allows()->add_use(RELEASE_WEIGHTS);
       w.terms.mutable_allows()->clear_release_territory();
     }},
    {"use_not_allowed", [](World1& w) { w.purpose.add_also(GENERATE_INTERNAL); }},
    {"similarity_unguarded",
     [](World1& w) {
       w.purpose.add_also(GENERATE_INTERNAL);
       w.terms.mutable_allows()->add_use(GENERATE_INTERNAL);
     }},
    {"release_not_allowed",
     [](World1& w) {  // clips to look at are where the run computes
       w.purpose.add_also(GENERATE_INTERNAL);
       w.terms.mutable_allows()->add_use(GENERATE_INTERNAL);
       w.terms.mutable_allows()->set_release_territory(0, "US");
     }},
    {"cleared",
     [](World1& w) {
       w.purpose.add_also(GENERATE_INTERNAL);
       w.terms.mutable_allows()->add_use(GENERATE_INTERNAL);
       w.terms.mutable_allows()->set_release_territory(0, "EU");
       w.terms.mutable_limits()->clear_similarity_max();
     }},
    {"cleared",
     [](World1& w) {
       w.purpose.add_also(GENERATE_INTERNAL);
       w.terms.mutable_allows()->add_use(GENERATE_INTERNAL);
       w.terms.mutable_limits()->set_similarity_max(1);
     }},
    {"cleared", [](World1& w) { w.purpose.add_also(EVALUATE); }},
    {"use_not_allowed",
     [](World1& w) {  // to be trained on is not to be measured by
       w.purpose.add_also(EVALUATE);
       w.forbid(EVALUATE);
     }},
    {"use_not_allowed",
     [](World1& w) {
       w.purpose.add_also(GENERATE_INTERNAL);
       w.purpose.add_also(EVALUATE);
       w.terms.mutable_allows()->add_use(GENERATE_INTERNAL);
       w.forbid(EVALUATE);
     }},
    {"cleared", [](World1& w) { w.forbid(EVALUATE); }},  // and nobody has to be
    {"model_not_allowed", [](World1& w) { w.purpose.set_model("other"); }},
    {"component_not_allowed", [](World1& w) { w.purpose.add_component(TEXT_ENCODER); }},
    {"field_excluded", [](World1& w) { w.purpose.set_field_of_use("political"); }},
    {"field_excluded",
     [](World1& w) {
       w.purpose.set_field_of_use("political");
       w.terms.mutable_allows()->set_field_of_use(0, "*");
     }},
    {"field_excluded",
     [](World1& w) { w.terms.mutable_allows()->set_excluded_field(0, "Political"); }},
    {"field_excluded", [](World1& w) { w.terms.mutable_allows()->set_excluded_field(0, "*"); }},
    {"field_not_allowed", [](World1& w) { w.purpose.set_field_of_use("games"); }},
    {"territory_not_allowed", [](World1& w) { w.purpose.set_compute_territory("CN"); }},
    {"release_not_allowed",
     [](World1& w) {
       w.terms.mutable_allows()->set_release_territory(0, "US");
       w.act.release_territory = "FR";
     }},
    {"height_above_limit", [](World1& w) { w.act.height_px = 1081; }},
    {"cleared", [](World1& w) { w.mark("cawg.training-mining", MarkSays::no); }},  // overridden
    {"cleared", [](World1& w) { w.mark("cawg.training-mining", MarkSays::unclear); }},
    {"cleared", [](World1& w) { w.mark("c2pa.training-mining", MarkSays::allowed); }},
    {"mark_says_no", [](World1& w) { w.mark("c2pa.training-mining", MarkSays::no); }},
    {"mark_says_no",
     [](World1& w) {  // marks that contradict each other: the no counts, in either order
       w.mark("plus.data-mining", MarkSays::allowed);
       w.mark("plus.data-mining", MarkSays::no);
       w.mark("plus.data-mining", MarkSays::allowed);
     }},
    {"mark_says_no",
     [](World1& w) {
       w.terms.clear_overrides();
       w.mark("cawg.training-mining", MarkSays::no);
     }},
    {"mark_unclear", [](World1& w) { w.mark("rsl", MarkSays::unclear); }},
    {"mark_unclear",
     [](World1& w) {  // no name stands against what cannot be read
       w.terms.mutable_overrides()->add_mark("c2pa");
       w.mark("c2pa", MarkSays::unclear);
     }},
    {"mark_unclear",
     [](World1& w) {
       w.mark("tdm-reservation", MarkSays::no);
       w.mark("xmp", MarkSays::unclear);
     }},
    {"synthetic_not_licensed",
     [](World1& w) { w.mark("digital-source-type", MarkSays::synthetic); }},
    {"synthetic_not_licensed",
     [](World1& w) {  // an override of a mark is no licence for synthetic footage
       w.terms.mutable_overrides()->add_mark("digital-source-type");
       w.mark("digital-source-type", MarkSays::synthetic);
     }},
    {"cleared",
     [](World1& w) {
       w.terms.mutable_allows()->set_synthetic(true);
       w.mark("digital-source-type", MarkSays::synthetic);
     }},
    {"clearance_unknown",
     [](World1& w) { w.terms.mutable_clearances()->set_music(Music::UNKNOWN); }},
    {"clearance_unknown", [](World1& w) { w.find("voice", "UNKNOWN"); }},
    {"clearance_unknown",
     [](World1& w) {  // a release of one reason is none of another
       w.find("talent", "UNKNOWN", true);
       w.find("music", "UNKNOWN");
     }},
    {"cleared", [](World1& w) { w.find("talent", "UNKNOWN", true); }},
    {"minors_visible", [](World1& w) { w.terms.mutable_clearances()->set_minors(true); }},
    {"minors_visible", [](World1& w) { w.find("minors", "true", true); }},  // nothing releases it
    {"talent_not_released",
     [](World1& w) { w.terms.mutable_clearances()->set_talent(Talent::RELEASED); }},
    {"talent_not_released", [](World1& w) { w.find("talent", "RELEASED"); }},
    {"cleared", [](World1& w) { w.find("talent", "RELEASED", true); }},
    {"talent_not_released", [](World1& w) { w.let_go(RELEASE_WEIGHTS); }},
    {"talent_not_released", [](World1& w) { w.let_go(SUBLICENSE); }},
    {"talent_not_released", [](World1& w) { w.let_go(GENERATE_INTERNAL); }},
    {"talent_not_released", [](World1& w) { w.let_go(GENERATE_COMMERCIAL); }},
    {"cleared",
     [](World1& w) {
       w.let_go(EVALUATE);
       w.act.release_territory = {};
     }},
    {"union_notice_missing", [](World1& w) { w.find("union", "SAG-AFTRA"); }},
    {"union_notice_missing",
     [](World1& w) {
       w.find("union", "SAG-AFTRA");
       w.terms.mutable_clearances()->set_union_notice("EQUITY:2024-01-01");
     }},
    {"cleared",
     [](World1& w) {
       w.find("union", "SAG-AFTRA");
       w.terms.mutable_clearances()->set_union_notice("SAG-AFTRA:2024-01-01");
     }},
    {"finding_unreviewed", [](World1& w) { w.find("speech", "in 3 s"); }},
    {"finding_unreviewed",
     [](World1& w) {
       w.terms.mutable_clearances()->set_talent(Talent::NONE_VISIBLE);
       w.find("face", "in 2 of 4 pictures");
     }},
    {"finding_unreviewed",
     [](World1& w) {  // that the talent was unknown, and is no longer, says nothing of this face
       w.terms.mutable_clearances()->set_talent(Talent::NONE_VISIBLE);
       w.find("talent", "UNKNOWN", true);
       w.find("face", "in 2 of 4 pictures");
     }},
    {"cleared", [](World1& w) { w.find("face", "in 2 of 4 pictures"); }},  // talent is licensed
    {"cleared", [](World1& w) { w.find("speech", "in 3 s", true); }},
    {"finding_unreviewed",
     [](World1& w) {  // a sidecar is not signed
       w.find("voice", "RELEASED_FOR_TRAINING");
       w.find("speech", "in 3 s");
     }},
};
struct Day {
  const char *day, *rule;  // "": time has no objection
};
constexpr Day kDays[] = {
    {"2023-12-31", "not_yet_valid"}, {"2024-01-01", ""}, {"2024-02-29", ""}, {"2099-12-31", ""},
    {"2100-01-01", "expired"},
};

TEST(TruthTable, EveryRuleInEveryStateAtEveryEdgeOfTime) {
  size_t rows = 0;
  std::set<std::string_view> decided;
  for (const Breaks& breaks : kBreaks) {
    for (const Day& day : kDays) {
      for (const char* revoked : {"", "asked for, at 2026-01-02T03:04:05Z"}) {
        World1 w;
        breaks.change(w);
        const CoveringLicence covering{&w.terms, revoked};
        const std::string_view timed = *day.rule == '\0' ? breaks.rule : day.rule;
        const std::string_view expected = *revoked == '\0' ? timed : "revoked";
        const Verdict verdict =
            judge_covering({&covering, 1}, w.act, day.day, {w.marks, w.findings});
        EXPECT_EQ(verdict.rule, expected) << breaks.rule << " " << day.day << " " << revoked;
        EXPECT_EQ(verdict.cleared, expected == "cleared");
        decided.insert(expected);
        ++rows;
      }
    }
  }
  EXPECT_EQ(rows, std::size(kBreaks) * std::size(kDays) * 2);
  for (const GateRule& rule : rules()) {
    if (rule.stage == RuleStage::terms) {
      EXPECT_TRUE(decided.contains(rule.name)) << rule.name << " has no row";
    }
  }
}

TEST(TruthTable, WhatAfterTermLeaves) {
  struct Case {
    Licence::AfterTerm after;
    Use use;
    bool cleared;
  };
  const Case cases[] = {
      {Licence::KEEP_WEIGHTS, TRAIN, false},
      {Licence::KEEP_WEIGHTS, INGEST, false},
      {Licence::KEEP_WEIGHTS, GENERATE_INTERNAL, true},
      {Licence::KEEP_WEIGHTS, RELEASE_WEIGHTS, true},
      {Licence::STOP_TRAINING, FINETUNE, false},
      {Licence::STOP_TRAINING, GENERATE_COMMERCIAL, true},
      {Licence::STOP_TRAINING, SUBLICENSE, true},
      {Licence::STOP_RELEASE, GENERATE_COMMERCIAL, true},
      {Licence::STOP_RELEASE, RELEASE_WEIGHTS, false},
      {Licence::STOP_RELEASE, SUBLICENSE, false},
      {Licence::WITHDRAW_MODEL, GENERATE_INTERNAL, false},
      {Licence::WITHDRAW_MODEL, RELEASE_WEIGHTS, false},
  };
  for (const Case& c : cases) {
    World1 w;
    w.terms.mutable_licence()->set_after_term(c.after);
    w.terms.mutable_allows()->clear_use();
    w.terms.mutable_allows()->add_use(c.use);
    Act act{c.use};
    act.release_territory = "US";
    EXPECT_TRUE(judge(w.terms, act, "2099-12-31").cleared) << Use_Name(c.use);
    EXPECT_EQ(judge(w.terms, act, "2100-01-01").rule, c.cleared ? "cleared" : "expired")
        << Use_Name(c.use) << " " << Licence::AfterTerm_Name(c.after);
    EXPECT_FALSE(judge(w.terms, act, "2023-12-31").cleared);
  }
}

TEST(TruthTable, TheStrictestOfSeveral) {
  World1 w, strict, rival;
  strict.terms.mutable_licence()->set_id("LIC-2");
  strict.terms.mutable_limits()->set_max_height_px(32);
  rival.terms.mutable_licence()->set_licensor("rival");
  const auto rule = [&](std::vector<CoveringLicence> covering) {
    return judge_covering(covering, w.act, "2026-06-01").rule;
  };
  const CoveringLicence loose{&w.terms, ""}, tight{&strict.terms, ""}, other{&rival.terms, ""};
  EXPECT_EQ(rule({}), "no_licence");
  EXPECT_EQ(rule({loose, loose}), "cleared");
  EXPECT_EQ(rule({loose, tight}), "height_above_limit");
  EXPECT_EQ(rule({tight, loose}), "height_above_limit");
  EXPECT_EQ(rule({loose, other}), "title_conflict");
  EXPECT_EQ(rule({other, loose}), "title_conflict");
  EXPECT_EQ(rule({loose, {&w.terms, "why"}}), "revoked");
  // What the table asks first decides, whichever licence it is of.
  World1 over;
  over.terms.mutable_licence()->set_valid_to("2025-12-31");
  EXPECT_EQ(rule({tight, {&over.terms, ""}}), "expired");
  EXPECT_EQ(rule({tight, {&over.terms, "why"}}), "revoked");
  EXPECT_EQ(rule({{&over.terms, "why"}, tight, other}), "title_conflict");
}

// --- oracle ---

// A licence as words: "allows.use" -> INGEST, TRAIN.
using Words = std::map<std::string, std::vector<std::string>>;

Words read_words(const std::string& text) {
  Words out;
  std::vector<std::string> path;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    line.erase(0, line.find_first_not_of(' '));
    if (line.ends_with(" {")) {
      path.push_back(line.substr(0, line.size() - 2));
    } else if (line == "}") {
      path.pop_back();
    } else {
      std::string key;
      for (const auto& name : path) key += name + ".";
      const size_t colon = line.find(": ");
      std::string value = line.substr(colon + 2);
      if (value.front() == '"') value = value.substr(1, value.size() - 2);
      out[key + line.substr(0, colon)].push_back(value);
    }
  }
  return out;
}

// Days from 1600 to a "2026-01-31", counted one month at a time.
int day_number(const std::string& day) {
  const int year = std::stoi(day.substr(0, 4)), month = std::stoi(day.substr(5, 2));
  int days = std::stoi(day.substr(8, 2));
  for (int y = 1600; y < year; ++y) {
    days += y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 366 : 365;
  }
  const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  for (int m = 1; m < month; ++m) days += lengths[m - 1];
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return days + (leap && month > 2 ? 1 : 0);
}

struct Ask {
  std::string use;
  int height = 0;
  bool with_purpose = false;
  std::string model, field, place, release;
  std::set<std::string> components, also;
  std::string day;
  std::vector<std::string> marks;  // "rsl no"
  std::vector<ClipFinding> findings;
};
struct Held {
  const Words* words;
  bool revoked;
};

bool is_one_word(const std::string& text) {
  size_t good = 0;
  for (const char c : text) {
    const bool letter = c >= 'a' && c <= 'z', digit = c >= '0' && c <= '9';
    good += letter || digit || c == '.' || c == '_' || c == '-' ? 1 : 0;
  }
  return good == text.size() && good >= 1 && good <= 100;
}
bool is_one_place(const std::string& text) {
  return text.size() == 2 && std::isupper(text[0]) != 0 && std::isupper(text[1]) != 0;
}

std::string oracle_one(const Words& w, const Ask& ask) {
  const auto one = [&](const std::string& key) { return w.contains(key) ? w.at(key)[0] : ""; };
  const auto has = [&](const std::string& key, const std::string& value) {
    if (!w.contains(key)) return false;
    const auto& list = w.at(key);
    return std::set<std::string>(list.begin(), list.end()).contains(value);
  };
  const auto named = [&](const std::string& key, const std::string& value) {
    return has(key, value) || has(key, "*");
  };
  std::string said = "cleared";
  const std::set<std::string> training = {"TRAIN", "FINETUNE", "DISTIL"};
  // The last question first: what is asked earlier overwrites what is asked later.
  const auto ask_that = [&](bool yes, const char* rule) {
    if (!yes) said = rule;
  };
  const auto found = [&](const std::string& reason, const std::string& value) {
    for (const ClipFinding& f : ask.findings) {
      if (f.reason == reason && !f.released && (value == "*" || f.value == value)) return true;
    }
    return false;
  };
  const bool no_talent = one("clearances.talent") == "NONE_VISIBLE";
  const bool no_voice = one("clearances.voice") == "NONE";
  ask_that(!(no_talent && found("face", "*")) && !(no_voice && found("speech", "*")),
           "finding_unreviewed");
  const std::string notice = one("clearances.union_notice");
  for (const ClipFinding& f : ask.findings) {
    const bool given = notice.starts_with(f.value + ":") &&
                       day_number(notice.substr(f.value.size() + 1)) <= day_number(ask.day);
    ask_that(f.reason != "union" || f.released || given, "union_notice_missing");
  }
  const bool knows_it = ask.use.starts_with("GENERATE_") || ask.use.ends_with("LICENSE") ||
                        ask.use.ends_with("_WEIGHTS") || training.contains(ask.use);
  ask_that(!knows_it || (one("clearances.talent") != "RELEASED" && !found("talent", "RELEASED")),
           "talent_not_released");
  ask_that(one("clearances.minors") == "false", "minors_visible");
  for (const ClipFinding& f : ask.findings) ask_that(f.reason != "minors", "minors_visible");
  for (const char* which : {"talent", "voice", "music"}) {
    ask_that(!found(which, "UNKNOWN"), "clearance_unknown");
  }
  for (const char* which : {"talent", "voice", "music"}) {
    ask_that(one(std::string("clearances.") + which) != "UNKNOWN", "clearance_unknown");
  }
  const std::set<std::string> overridable = {"c2pa.training-mining", "cawg.training-mining",
                                             "plus.data-mining", "tdm-reservation", "rsl"};
  const auto stands_against = [&](const std::string& mark) {
    const std::string name = mark.substr(0, mark.find(' '));
    return overridable.contains(name) && has("overrides.mark", name);
  };
  const auto nobody = [&](const char* says) {
    bool none = true;
    for (const std::string& mark : ask.marks) {
      if (mark.ends_with(says) && !stands_against(mark)) none = false;
    }
    return none;
  };
  for (const std::string& mark : ask.marks) {
    ask_that(!mark.ends_with(" synthetic") || one("allows.synthetic") == "true",
             "synthetic_not_licensed");
  }
  ask_that(nobody(" no"), "mark_says_no");
  ask_that(nobody(" unclear"), "mark_unclear");
  const std::string alike = one("limits.similarity_max");
  const bool makes_clips =
      ask.with_purpose && std::any_of(ask.also.begin(), ask.also.end(),
                                      [](const auto& use) { return use.starts_with("GENERATE_"); });
  ask_that(!makes_clips || alike.empty() || std::stod(alike) == 1, "similarity_unguarded");
  const std::string height = one("limits.max_height_px");
  ask_that(height.empty() || std::stoi(height) >= ask.height, "height_above_limit");
  ask_that(ask.release.empty() || named("allows.release_territory", ask.release),
           "release_not_allowed");
  ask_that(!makes_clips || named("allows.release_territory", ask.place), "release_not_allowed");
  if (ask.with_purpose) {
    ask_that(ask.use == "RELEASE_WEIGHTS" || ask.use == "SUBLICENSE" ||
                 named("allows.compute_territory", ask.place),
             "territory_not_allowed");
    ask_that(named("allows.field_of_use", ask.field), "field_not_allowed");
    ask_that(!has("allows.excluded_field", ask.field), "field_excluded");
    if (w.contains("allows.excluded_field")) {
      for (const auto& field : w.at("allows.excluded_field")) {
        ask_that(is_one_word(field), "field_excluded");
      }
    }
    for (const std::string& component : ask.components) {
      ask_that(has("allows.component", component), "component_not_allowed");
    }
    ask_that(named("allows.model", ask.model), "model_not_allowed");
  }
  static const std::set<std::string> kHandsOut = {"RELEASE_WEIGHTS", "SUBLICENSE"};
  const bool goes = kHandsOut.contains(ask.use) || ask.use.starts_with("GENERATE_");
  ask_that(is_one_place(ask.release) || (ask.release.empty() && !goes), "word_unclear");
  if (ask.with_purpose) {
    ask_that(is_one_word(ask.model) && is_one_word(ask.field), "word_unclear");
    ask_that(kHandsOut.contains(ask.use) || is_one_place(ask.place), "word_unclear");
  }
  for (const std::string& use : ask.also) {
    ask_that(!ask.with_purpose || has("allows.use", use), "use_not_allowed");
  }
  ask_that(has("allows.use", ask.use), "use_not_allowed");
  static const std::map<std::string, std::set<std::string>> kAfter = {
      {"KEEP_WEIGHTS",
       {"GENERATE_INTERNAL", "GENERATE_COMMERCIAL", "RELEASE_WEIGHTS", "SUBLICENSE"}},
      {"STOP_TRAINING",
       {"GENERATE_INTERNAL", "GENERATE_COMMERCIAL", "RELEASE_WEIGHTS", "SUBLICENSE"}},
      {"STOP_RELEASE", {"GENERATE_INTERNAL", "GENERATE_COMMERCIAL"}},
      {"WITHDRAW_MODEL", {}}};
  const int day = day_number(ask.day);
  ask_that(day_number(one("licence.valid_to")) - day >= 0 ||
               kAfter.at(one("licence.after_term")).contains(ask.use),
           "expired");
  ask_that(day - day_number(one("licence.valid_from")) >= 0, "not_yet_valid");
  return said;
}

std::string oracle(const std::vector<Held>& held, const Ask& ask) {
  if (held.empty()) return "no_licence";
  std::set<std::string> said;
  for (const Held& one : held) {
    said.insert(oracle_one(*one.words, ask));
    if (one.revoked) said.insert("revoked");
    if (one.words->at("licence.licensor") != held.front().words->at("licence.licensor")) {
      said.insert("title_conflict");
    }
  }
  for (const char* first : {"title_conflict",         "revoked",
                            "not_yet_valid",          "expired",
                            "use_not_allowed",        "word_unclear",
                            "model_not_allowed",      "component_not_allowed",
                            "field_excluded",         "field_not_allowed",
                            "territory_not_allowed",  "release_not_allowed",
                            "height_above_limit",     "similarity_unguarded",
                            "mark_unclear",           "mark_says_no",
                            "synthetic_not_licensed", "clearance_unknown",
                            "minors_visible",         "talent_not_released",
                            "union_notice_missing",   "finding_unreviewed"}) {
    if (said.contains(first)) return first;
  }
  return said == std::set<std::string>{"cleared"} ? "cleared" : "unknown rule";
}

class Chance {
 public:
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random_() % n); }
  bool seldom() { return below(10) == 0; }  // so that later rules are reached
  std::string word() {
    constexpr const char* kWords[] = {"film", "games",        "political", "*",     "US", "EU",
                                      "FR",   "cleared-base", "FILM",      "film ", "",   "eu"};
    return kWords[below(std::size(kWords))];
  }
  std::string day() {
    constexpr const char* kEdges[] = {"2023-12-31", "2024-01-01", "2024-02-29", "2026-06-01",
                                      "2026-12-31", "2027-01-01", "2099-12-31", "2100-01-01"};
    return kEdges[seldom() ? below(std::size(kEdges)) : 1 + below(4)];
  }

 private:
  std::mt19937 random_{20260601};
};

LicenceText random_terms(Chance& chance) {
  LicenceText t = parse_licence(full_licence_text(), "a");
  Licence& l = *t.mutable_licence();
  Allows& a = *t.mutable_allows();
  Clearances& c = *t.mutable_clearances();
  if (chance.seldom()) l.set_licensor("rival");
  l.set_valid_to(chance.below(2) == 0 ? "2026-12-31" : "2099-12-31");
  l.set_after_term(static_cast<Licence::AfterTerm>(1 + chance.below(4)));
  if (chance.seldom()) a.clear_use();
  for (uint32_t more = chance.below(6); more > 0; --more) {
    a.add_use(static_cast<Use>(1 + chance.below(12)));
  }
  if (chance.seldom()) a.set_model(0, chance.word());
  if (chance.seldom()) a.set_component(0, static_cast<Component>(1 + chance.below(3)));
  if (chance.seldom()) a.add_excluded_field(chance.below(2) == 0 ? "games" : chance.word());
  if (chance.seldom()) a.add_field_of_use(chance.word());
  if (chance.seldom()) a.set_compute_territory(1, chance.word());
  if (chance.seldom()) a.set_release_territory(0, chance.word());
  if (chance.seldom()) t.mutable_limits()->set_max_height_px(chance.below(100));
  if (chance.seldom()) t.mutable_limits()->set_similarity_max(chance.below(3) / 2.0);
  if (chance.seldom()) t.clear_limits();
  if (chance.seldom()) c.set_talent(static_cast<Talent::Value>(1 + chance.below(4)));
  if (chance.seldom()) c.set_voice(static_cast<Voice::Value>(1 + chance.below(3)));
  if (chance.seldom()) c.set_music(static_cast<Music::Value>(1 + chance.below(4)));
  if (chance.seldom()) c.set_minors(true);
  constexpr const char* kNotices[] = {"EQUITY:2024-02-29", "SAG-AFTRA:2026-06-01"};
  if (chance.below(2) == 0) c.set_union_notice(kNotices[chance.below(2)]);
  if (chance.seldom()) a.set_synthetic(chance.below(2) == 0);
  if (chance.below(2) == 0) t.clear_overrides();
  for (uint32_t more = chance.below(4); more > 0; --more) {
    t.mutable_overrides()->add_mark(std::string(mark_names()[chance.below(8)].name));
  }
  return t;
}

Ask random_ask(Chance& chance) {
  const auto or_word = [&](const char* usual) { return chance.seldom() ? chance.word() : usual; };
  Ask out;
  out.use = Use_Name(chance.below(2) == 0 ? TRAIN : static_cast<Use>(1 + chance.below(12)));
  if (chance.seldom()) out.also.insert(Use_Name(static_cast<Use>(1 + chance.below(12))));
  out.height = static_cast<int>(chance.below(100));
  out.with_purpose = !chance.seldom();
  out.model = or_word("cleared-base");
  out.field = or_word("film");
  out.place = or_word("EU");
  if (chance.below(4) != 0) out.release = or_word(chance.below(2) == 0 ? "US" : "FR");
  if (chance.seldom()) out.components.insert("TEXT_ENCODER");
  if (!chance.seldom()) out.components.insert("VAE");
  if (chance.seldom()) out.also.insert("EVALUATE");
  if (chance.below(4) == 0) out.also.insert("GENERATE_INTERNAL");
  out.day = chance.day();
  for (uint32_t more = chance.seldom() ? chance.below(4) : 0; more > 0; --more) {
    constexpr const char* kSays[] = {" allowed", " no", " unclear", " synthetic"};
    out.marks.push_back(std::string(mark_names()[chance.below(8)].name) + kSays[chance.below(4)]);
  }
  constexpr const char* kFindings[][2] = {
      {"talent", "UNKNOWN"},      {"talent", "RELEASED"},
      {"talent", "NONE_VISIBLE"}, {"talent", "RELEASED_FOR_TRAINING"},
      {"voice", "UNKNOWN"},       {"voice", "RELEASED_FOR_TRAINING"},
      {"music", "UNKNOWN"},       {"music", "MUTED"},
      {"minors", "true"},         {"union", "SAG-AFTRA"},
      {"union", "EQUITY"},        {"face", "in 1 of 4 pictures"},
      {"speech", "in 2 s"},       {"face", "in 3 of 4 pictures"}};
  for (uint32_t more = chance.below(3) == 0 ? chance.below(4) : 0; more > 0; --more) {
    const auto& finding = kFindings[chance.below(std::size(kFindings))];
    out.findings.push_back({finding[0], finding[1], "here", chance.below(2) == 0});
  }
  return out;
}

std::string asked_of_the_gate(const std::vector<CoveringLicence>& covering, const Ask& ask) {
  Purpose purpose;
  purpose.set_model(ask.model);
  purpose.set_field_of_use(ask.field);
  purpose.set_compute_territory(ask.place);
  for (const std::string& name : ask.components) {
    Component component = GENERATOR;
    EXPECT_TRUE(Component_Parse(name, &component));
    purpose.add_component(component);
  }
  for (const std::string& name : ask.also) {
    Use use = INGEST;
    EXPECT_TRUE(Use_Parse(name, &use));
    purpose.add_also(use);
  }
  Act act{INGEST, static_cast<uint32_t>(ask.height), ask.with_purpose ? &purpose : nullptr,
          ask.release};
  EXPECT_TRUE(Use_Parse(ask.use, &act.use));
  std::vector<Mark> marks;
  for (const std::string& mark : ask.marks) {
    const size_t space = mark.find(' ');
    const auto says = parse_says(mark.substr(space + 1));
    EXPECT_TRUE(says.has_value());
    marks.push_back({mark.substr(0, space), says.value_or(MarkSays::no), "", "here"});
  }
  return judge_covering(covering, act, ask.day, {marks, ask.findings}).rule;
}

TEST(Oracle, AgreesOnRandomCases) {
  const char* more = std::getenv("CLEARED_ORACLE_CASES");
#ifdef __OPTIMIZE__
  constexpr uint64_t kCases = 1'000'000;
#else
  constexpr uint64_t kCases = 100'000;  // several times slower, under sanitizers most of all
#endif
  const uint64_t cases = more != nullptr ? std::stoull(more) : kCases;
  Chance chance;
  std::vector<LicenceText> terms;
  std::vector<Words> words;
  for (int i = 0; i < 400; ++i) {
    terms.push_back(random_terms(chance));
    words.push_back(read_words(format_textproto(terms.back())));
  }
  std::map<std::string, uint64_t> seen;
  for (uint64_t i = 0; i < cases; ++i) {
    std::vector<CoveringLicence> covering;
    std::vector<Held> held;
    uint32_t count = chance.seldom() ? chance.below(4) : 1;
    for (; count > 0; --count) {
      const uint32_t which = chance.below(static_cast<uint32_t>(terms.size()));
      const bool revoked = chance.seldom();
      covering.push_back({&terms[which], revoked ? "a reason" : ""});
      held.push_back({&words[which], revoked});
    }
    const Ask ask = random_ask(chance);
    const std::string rule = asked_of_the_gate(covering, ask);
    ASSERT_EQ(rule, oracle(held, ask)) << "case " << i << " " << ask.use << " " << ask.day;
    ++seen[rule];
    // What is found, or said by a file, never turns a no into a yes; what is left out of it, by the
    // same token, never turns a yes into a no.
    Ask bare = ask;
    bare.marks.clear();
    bare.findings.clear();
    if (rule == "cleared") {
      ASSERT_EQ(asked_of_the_gate(covering, bare), "cleared") << "case " << i;
    }
    for (const ClipFinding& finding : ask.findings) {
      Ask with = bare;
      with.findings = {finding};
      if (asked_of_the_gate(covering, with) != "cleared") {
        ASSERT_NE(rule, "cleared") << "case " << i << " " << finding.reason << finding.value;
      }
    }
  }
  EXPECT_EQ(seen.size(), 24U) << "a rule was never reached";
}

}  // namespace
}  // namespace cleared::ledger
