// judge() of ledger/gate.h: each rule about terms is a function here, and ledger/rules.h says in
// which order they are asked.
#include <algorithm>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/gate.h"
#include "ledger/licence.h"
#include "ledger/rules.h"

namespace cleared::ledger {
namespace {

struct Question {
  const LicenceText& terms;
  const Act& act;
  std::string_view day;
  const FootageFacts& footage;
};
// What decided, to follow "licence ID@VERSION "; nothing when the rule has no objection.
using Objection = std::optional<std::string>;

template <class List, class Value>
bool lists(const List& list, const Value& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// True when the list names the value or everything.
template <class List>
bool grants(const List& list, std::string_view value) {
  return lists(list, "*") || lists(list, value);
}

bool releases(Use use) {
  return use == RELEASE_WEIGHTS || use == SUBLICENSE;
}
bool generates(Use use) {
  return use == GENERATE_COMMERCIAL || use == GENERATE_INTERNAL;
}

// What is done with weights after the last day of the terms that they were trained under.
bool outlives_term(Licence::AfterTerm after, Use use) {
  switch (after) {
    case Licence::KEEP_WEIGHTS:
    case Licence::STOP_TRAINING:
      return generates(use) || releases(use);
    case Licence::STOP_RELEASE:
      return generates(use);
    case Licence::WITHDRAW_MODEL:
      return false;
  }
  return false;
}

Objection not_yet_valid(const Question& q) {
  if (q.day >= q.terms.licence().valid_from()) return {};
  return "begins on " + q.terms.licence().valid_from();
}
Objection expired(const Question& q) {
  const Licence& licence = q.terms.licence();
  if (q.day <= licence.valid_to() || outlives_term(licence.after_term(), q.act.use)) return {};
  return "ended on " + licence.valid_to();
}
Objection use_not_allowed(const Question& q) {
  const auto& listed = q.terms.allows().use();
  if (!lists(listed, q.act.use)) return "does not list " + Use_Name(q.act.use);
  if (q.act.purpose == nullptr) return {};
  for (const int also : q.act.purpose->also()) {
    if (!lists(listed, also))
      return "does not list " + Use_Name(static_cast<Use>(also)) + ", which the run also declares";
  }
  return {};
}
// What is declared is compared with what is listed, byte by byte. So it must be one of the words
// that can be listed: "*" is none, and nothing is cleared for "nowhere".
Objection word_unclear(const Question& q) {
  const auto objection = [](const char* what, std::string_view said, const char* rule) {
    return "is asked about the " + std::string(what) + " \"" + std::string(said) +
           "\", which is not " + rule;
  };
  constexpr const char* kWord = "1 to 100 of a-z 0-9 . _ -";
  constexpr const char* kPlace = "two capitals";
  if (const Purpose* purpose = q.act.purpose; purpose != nullptr) {
    if (!is_word(purpose->model())) return objection("model line", purpose->model(), kWord);
    if (!is_word(purpose->field_of_use()))
      return objection("field of use", purpose->field_of_use(), kWord);
    if (!releases(q.act.use) && !is_place(purpose->compute_territory()))
      return objection("place of computing", purpose->compute_territory(), kPlace);
  }
  const bool goes = releases(q.act.use) || generates(q.act.use);
  if ((goes || !q.act.release_territory.empty()) && !is_place(q.act.release_territory))
    return objection("place of release", q.act.release_territory, kPlace);
  return {};
}
Objection model_not_allowed(const Question& q) {
  if (q.act.purpose == nullptr || grants(q.terms.allows().model(), q.act.purpose->model()))
    return {};
  return "does not list model line " + q.act.purpose->model();
}
Objection component_not_allowed(const Question& q) {
  if (q.act.purpose == nullptr) return {};
  for (const int component : q.act.purpose->component()) {
    if (!lists(q.terms.allows().component(), component))
      return "does not list " + Component_Name(static_cast<Component>(component));
  }
  return {};
}
// A word that nobody can declare, in a licence of before such words were refused, excludes all.
Objection field_excluded(const Question& q) {
  if (q.act.purpose == nullptr) return {};
  for (const std::string& excluded : q.terms.allows().excluded_field()) {
    if (excluded == q.act.purpose->field_of_use() || !is_word(excluded))
      return "excludes " + excluded;
  }
  return {};
}
Objection field_not_allowed(const Question& q) {
  if (q.act.purpose == nullptr ||
      grants(q.terms.allows().field_of_use(), q.act.purpose->field_of_use()))
    return {};
  return "does not list " + q.act.purpose->field_of_use();
}
// Handing out weights computes nothing.
Objection territory_not_allowed(const Question& q) {
  if (q.act.purpose == nullptr || releases(q.act.use) ||
      grants(q.terms.allows().compute_territory(), q.act.purpose->compute_territory()))
    return {};
  return "does not allow computing in " + q.act.purpose->compute_territory();
}
// Clips that a run makes to look at are there where it computes.
Objection release_not_allowed(const Question& q) {
  const auto& listed = q.terms.allows().release_territory();
  if (!q.act.release_territory.empty() && !grants(listed, q.act.release_territory))
    return "does not allow release in " + std::string(q.act.release_territory);
  if (q.act.purpose == nullptr) return {};
  const auto& also = q.act.purpose->also();
  const bool makes_clips = std::any_of(also.begin(), also.end(),
                                       [](int use) { return generates(static_cast<Use>(use)); });
  if (!makes_clips || grants(listed, q.act.purpose->compute_territory())) return {};
  return "does not allow release in " + q.act.purpose->compute_territory() +
         ", where the run computes and makes clips";
}
Objection height_above_limit(const Question& q) {
  const Limits& limits = q.terms.limits();
  if (!limits.has_max_height_px() || q.act.height_px <= limits.max_height_px()) return {};
  return "allows at most " + std::to_string(limits.max_height_px()) +
         " pixels of height, asked for " + std::to_string(q.act.height_px);
}
// A licence names marks; what cannot be read has no name that it could stand against.
bool overrides(const LicenceText& terms, const Mark& mark) {
  const MarkName* known = find_mark_name(mark.name);
  return known != nullptr && known->overridable && lists(terms.overrides().mark(), mark.name);
}
Objection mark_unclear(const Question& q) {
  for (const Mark& mark : q.footage.marks) {
    if (mark.says == MarkSays::unclear && !overrides(q.terms, mark))
      return "cannot be weighed against a mark that is not understood: " + describe(mark);
  }
  return {};
}
Objection mark_says_no(const Question& q) {
  for (const Mark& mark : q.footage.marks) {
    if (mark.says == MarkSays::no && !overrides(q.terms, mark))
      return "has no override for a do-not-train mark: " + describe(mark);
  }
  return {};
}
Objection synthetic_not_licensed(const Question& q) {
  if (q.terms.allows().synthetic()) return {};
  for (const Mark& mark : q.footage.marks) {
    if (mark.says == MarkSays::synthetic)
      return "does not license synthetic footage: " + describe(mark);
  }
  return {};
}
// What waits for a person, or waits no longer.
bool counts(const ClipFinding& finding, std::string_view reason) {
  return finding.reason == reason && !finding.released;
}
std::string of_clip(const ClipFinding& finding) {
  return finding.reason + " " + finding.value + " (" + finding.origin + ")";
}

Objection clearance_unknown(const Question& q) {
  const Clearances& c = q.terms.clearances();
  if (c.talent() == Talent::UNKNOWN || c.voice() == Voice::UNKNOWN || c.music() == Music::UNKNOWN)
    return "does not say whether talent, voice and music are cleared";
  for (const ClipFinding& finding : q.footage.findings) {
    for (const std::string_view reason : {"talent", "voice", "music"}) {
      if (counts(finding, reason) && finding.value == "UNKNOWN")
        return "cannot clear what is unknown of the clip: " + of_clip(finding);
    }
  }
  return {};
}
Objection minors_visible(const Question& q) {
  if (q.terms.clearances().minors()) return "says that minors are visible";
  for (const ClipFinding& finding : q.footage.findings) {
    if (finding.reason == "minors")
      return "clears nothing with minors, who are visible in the clip (" + finding.origin + ")";
  }
  return {};
}
// Weights that go out or generate have trained on it.
Objection talent_not_released(const Question& q) {
  if (!trains(q.act.use) && !releases(q.act.use) && !generates(q.act.use)) return {};
  if (q.terms.clearances().talent() == Talent::RELEASED)
    return "has talent released, but not for training";
  for (const ClipFinding& finding : q.footage.findings) {
    if (counts(finding, "talent") && finding.value == "RELEASED")
      return "does not release for training the talent of the clip: " + of_clip(finding);
  }
  return {};
}
// "SAG-AFTRA:2026-07-14" is notice to that union on that day.
Objection union_notice_missing(const Question& q) {
  const std::string& notice = q.terms.clearances().union_notice();
  const size_t colon = notice.rfind(':');
  for (const ClipFinding& finding : q.footage.findings) {
    if (!counts(finding, "union")) continue;
    const bool given = colon != std::string::npos && notice.substr(0, colon) == finding.value &&
                       is_date(notice.substr(colon + 1)) && notice.substr(colon + 1) <= q.day;
    if (!given)
      return "has no notice to " + finding.value + " up to today, as the clip asks for (" +
             finding.origin + ")";
  }
  return {};
}
// A face where the licence has talent is no surprise. What a sidecar says is not signed, so it
// cannot make one expected.
Objection finding_unreviewed(const Question& q) {
  const Clearances& c = q.terms.clearances();
  const bool faces = c.talent() != Talent::NONE_VISIBLE;
  const bool speech = c.voice() != Voice::NONE;
  for (const ClipFinding& finding : q.footage.findings) {
    if ((counts(finding, "face") && !faces) || (counts(finding, "speech") && !speech))
      return "says that there is none, and nobody has looked at what was found in the clip: " +
             of_clip(finding);
  }
  return {};
}

struct Asked {
  std::string_view rule;
  Objection (*objection)(const Question&);
};
constexpr Asked kAsked[] = {
    {"not_yet_valid", not_yet_valid},
    {"expired", expired},
    {"use_not_allowed", use_not_allowed},
    {"word_unclear", word_unclear},
    {"model_not_allowed", model_not_allowed},
    {"component_not_allowed", component_not_allowed},
    {"field_excluded", field_excluded},
    {"field_not_allowed", field_not_allowed},
    {"territory_not_allowed", territory_not_allowed},
    {"release_not_allowed", release_not_allowed},
    {"height_above_limit", height_above_limit},
    {"mark_unclear", mark_unclear},
    {"mark_says_no", mark_says_no},
    {"synthetic_not_licensed", synthetic_not_licensed},
    {"clearance_unknown", clearance_unknown},
    {"minors_visible", minors_visible},
    {"talent_not_released", talent_not_released},
    {"union_notice_missing", union_notice_missing},
    {"finding_unreviewed", finding_unreviewed},
};

// The table that is printed and the functions that are called are the same rules in one order.
bool is_table_of_rules() {
  const Asked* next = std::begin(kAsked);
  for (const GateRule& rule : rules()) {
    if (rule.stage != RuleStage::terms) continue;
    if (next == std::end(kAsked) || next->rule != rule.name) return false;
    ++next;
  }
  return next == std::end(kAsked);
}

}  // namespace

bool trains(Use use) {
  return use == TRAIN || use == FINETUNE || use == DISTIL;
}

std::string last_day_of(const LicenceText& terms, Use use) {
  const Licence& licence = terms.licence();
  return outlives_term(licence.after_term(), use) ? "" : licence.valid_to();
}

Verdict judge(const LicenceText& terms, const Act& act, std::string_view day,
              const FootageFacts& footage) {
  const CoveringLicence one{&terms, {}};
  return judge_covering({&one, 1}, act, day, footage);
}

// Question by question, as the table has them, and of each licence in turn.
Verdict judge_covering(std::span<const CoveringLicence> licences, const Act& act,
                       std::string_view day, const FootageFacts& footage) {
  static const bool kInOrder = is_table_of_rules();
  CLEARED_CHECK(kInOrder);
  if (licences.empty()) return no("no_licence", "no licence in the ledger covers it");
  const LicenceText& first = *licences.front().terms;
  for (const CoveringLicence& covering : licences) {
    if (covering.terms->licence().licensor() == first.licence().licensor()) continue;
    return no("title_conflict", "licences " + licence_ref(first) + " and " +
                                    licence_ref(*covering.terms) +
                                    " come from two licensors and both cover it");
  }
  for (const CoveringLicence& covering : licences) {
    if (covering.revoked.empty()) continue;
    return no("revoked", "licence " + licence_ref(*covering.terms) + " was revoked (" +
                             std::string(covering.revoked) + ")");
  }
  for (const auto& [rule, objection] : kAsked) {
    for (const CoveringLicence& covering : licences) {
      if (auto why = objection({*covering.terms, act, day, footage}))
        return no(std::string(rule), "licence " + licence_ref(*covering.terms) + " " + *why);
    }
  }
  return yes();
}

}  // namespace cleared::ledger
