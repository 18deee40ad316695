#include "ledger/terms.h"

#include <algorithm>
#include <map>
#include <set>

#include "ledger/base/clock.h"
#include "ledger/base/words.h"
#include "ledger/disclosure.h"
#include "ledger/licence.h"

namespace cleared::ledger {
namespace {

template <class List>
std::string words_of(const List& list, std::string_view what, std::string_view everything) {
  if (list.empty()) return "no " + std::string(what);
  if (std::find(list.begin(), list.end(), "*") != list.end()) return std::string(everything);
  return std::string(what) + " " + listed(list, " and ");
}

std::string uses_of(const Allows& allows) {
  std::vector<std::string> words;
  for (const int use : allows.use()) words.push_back(Use_Name(static_cast<Use>(use)));
  return listed(words, " and ");
}

std::string components_of(const Allows& allows) {
  std::vector<std::string> words;
  for (const int c : allows.component()) words.push_back(Component_Name(static_cast<Component>(c)));
  return words.empty() ? "no component" : listed(words, " and ");
}

bool may_use(const Allows& allows, Use use) {
  return std::find(allows.use().begin(), allows.use().end(), use) != allows.use().end();
}

// Is there a path that it covers?
bool can_match(const std::string& pattern) {
  const std::string inside = "/" + pattern + "/";
  return inside.find("//") == std::string::npos && inside.find("/./") == std::string::npos &&
         inside.find("/../") == std::string::npos;
}

void explain_limits(const Limits& limits, std::vector<std::string>& out) {
  if (limits.has_max_passes())
    out.push_back("Each sample may be consumed at most " + std::to_string(limits.max_passes()) +
                  " times, by all runs of a model line together.");
  if (limits.has_max_share())
    out.push_back("The licensor's footage may be at most " +
                  short_number(limits.max_share() * 100) + " % of a run's sample-seconds.");
  if (limits.has_max_height_px())
    out.push_back("Frames may be at most " + std::to_string(limits.max_height_px()) +
                  " pixels high.");
  if (limits.has_memorisation_max())
    out.push_back(
        "Weights may be released, or generate for sale, only where a signed test of them "
        "gave back the footage in at most " +
        short_number(limits.memorisation_max() * 100) + " % of clips.");
  if (limits.has_similarity_max())
    out.push_back(
        "A generated clip may be written only where each of its frames is alike to every "
        "frame of the footage by at most " +
        short_number(limits.similarity_max()) + " of 1; runs make none to look at.");
}

void explain_clearances(const Clearances& c, std::vector<std::string>& out) {
  out.push_back("Clearances: talent " + Talent::Value_Name(c.talent()) + ", voice " +
                Voice::Value_Name(c.voice()) + ", music " + Music::Value_Name(c.music()) +
                (c.minors() ? ", and minors are visible." : ", no minors."));
  const size_t colon = c.union_notice().rfind(':');
  if (colon != std::string::npos)
    out.push_back("Notice was given to the union " + c.union_notice().substr(0, colon) + ", on " +
                  c.union_notice().substr(colon + 1) +
                  "; where a clip asks for notice to another, it is refused.");
}

void explain_derived(const Derived& derived, std::vector<std::string>& out) {
  if (derived.has_latent())
    out.push_back("Latents must be deleted after " +
                  std::to_string(derived.latent().delete_after_days()) + " days.");
  const auto kept = [&](bool said, const char* what, Retention::Value value) {
    if (!said) return;
    const char* words = value == Retention::NEVER  ? " are not to be kept."
                        : value == Retention::TERM ? " must be deleted after the last day."
                                                   : " may be kept for good.";
    out.push_back(std::string(what) + words);
  };
  kept(derived.has_caption(), "Captions", derived.caption());
  kept(derived.has_embedding(), "Embeddings", derived.embedding());
  kept(derived.has_fingerprint(), "Fingerprints", derived.fingerprint());
}

std::string millionths(uint64_t micros) {
  std::string cents = std::to_string(1'000'000 + micros % 1'000'000).substr(1);
  return std::to_string(micros / 1'000'000) + "." + cents;
}

std::string fee_words(const Pay& pay) {
  const std::string rate = millionths(pay.rate_micros()) + " " + pay.currency();
  switch (pay.basis()) {
    case Pay::PER_SAMPLE_SECOND:
      return rate + " for each second of footage, each time it is consumed";
    case Pay::PER_MINUTE_INGESTED:
      return rate + " for each minute that is taken in";
    case Pay::FIXED:
      return rate + ", once";
    case Pay::REVENUE_SHARE:
      return "a part, by the footage consumed, of " + short_number(pay.pool_bps() / 100.0) +
             " % of the revenue in " + pay.currency();
    case Pay::NO_FEE:
      return "no fee";
  }
  return "something that nobody knows";
}

void explain_pay(const LicenceText& terms, std::vector<std::string>& out) {
  for (const Pay& pay : terms.pay()) {
    std::vector<std::string> parties;
    for (const auto& split : pay.split()) {
      parties.push_back(split.party() + " " + short_number(split.share_bps() / 100.0) + " %");
    }
    out.push_back("It pays " + fee_words(pay) +
                  (parties.empty() ? "." : "; of that " + listed(parties, " and ") + "."));
  }
}

// What RETRAIN asks of a run, and of the others nothing (docs/formats/licence.md).
void explain_removal(const Removal& removal, std::vector<std::string>& out) {
  std::vector<std::string> tiers;
  for (const int tier : removal.tier()) {
    tiers.push_back(Removal::Tier_Name(static_cast<Removal::Tier>(tier)));
  }
  if (tiers.empty()) return;
  const bool retrain = std::find(tiers.begin(), tiers.end(), "RETRAIN") != tiers.end();
  out.push_back(
      "When it is taken back the parties want: " + listed(tiers, " and ") +
      (retrain ? "; runs may be asked to consume it last (sequence: REVOCABLE_LAST)." : "."));
}

std::string after_term_words(Licence::AfterTerm after) {
  switch (after) {
    case Licence::KEEP_WEIGHTS:
    case Licence::STOP_TRAINING:
      return "training stops; finished weights may still generate and be released";
    case Licence::STOP_RELEASE:
      return "training and release stop; finished weights may still generate";
    case Licence::WITHDRAW_MODEL:
      return "everything stops, and the model is withdrawn";
  }
  return "nothing is said";
}

// What the parties agree on and the ledger keeps, and no rule of the gate ever asks
// (docs/formats/licence.md says so of each).
std::vector<std::string> only_recorded(const LicenceText& terms) {
  std::vector<std::string> out;
  const auto add = [&](bool there, std::string_view term) {
    if (there) out.emplace_back(term);
  };
  const Output& output = terms.output();
  const Removal& removal = terms.removal();
  add(may_use(terms.allows(), CAPTION), "allows.use CAPTION");
  add(may_use(terms.allows(), EMBED), "allows.use EMBED");
  add(terms.allows().has_successors(), "allows.successors");
  add(output.has_likeness(), "output.likeness");
  add(output.has_scene_recreation(), "output.scene_recreation");
  add(output.has_style_by_name(), "output.style_by_name");
  add(output.has_credentials(), "output.credentials");
  add(terms.has_removal(), "removal.notice_days");
  add(removal.has_retrain_deadline_days(), "removal.retrain_deadline_days");
  add(terms.has_audit(), "audit");
  return out;
}

// "2026-01-31" as days since 1970.
int64_t days_of(std::string_view day) {
  return static_cast<int64_t>(parse_time(std::string(day) + "T00:00:00Z").value_or(0) /
                              86'400'000'000U);
}

// A field's path without the places in lists: "pay[0].split[1].party" is "pay[0].split[1].party",
// and "allows.use[2]" is "allows.use".
std::string list_of(const std::string& path) {
  return path.ends_with(']') ? path.substr(0, path.rfind('[')) : path;
}

using Lists = std::map<std::string, std::vector<std::string>>;
Lists lists_of(const LicenceText& terms) {
  Lists out;
  for (const LicenceField& field : licence_fields(terms)) {
    out[list_of(field.path)].push_back(field.value);
  }
  return out;
}

std::string joined_values(const std::vector<std::string>& values) {
  std::string out;
  for (const std::string& value : values) out += (out.empty() ? "" : ", ") + value;
  return out;
}

using Effect = TermChange::Effect;

Effect opposite(Effect effect) {
  if (effect == Effect::stricter) return Effect::looser;
  return effect == Effect::looser ? Effect::stricter : effect;
}

Effect effect_on_list(const std::vector<std::string>& before,
                      const std::vector<std::string>& after) {
  const std::set<std::string> a(before.begin(), before.end()), b(after.begin(), after.end());
  const bool gains = !std::includes(a.begin(), a.end(), b.begin(), b.end());
  const bool loses = !std::includes(b.begin(), b.end(), a.begin(), a.end());
  if (gains && b.contains("\"*\"")) return Effect::looser;
  if (loses && a.contains("\"*\"")) return Effect::stricter;
  if (gains && loses) return Effect::both;
  return gains ? Effect::looser : loses ? Effect::stricter : Effect::other;
}

// Of a limit from above: absent is no limit.
Effect effect_on_limit(const std::vector<std::string>& before,
                       const std::vector<std::string>& after) {
  if (before.empty()) return Effect::stricter;
  if (after.empty()) return Effect::looser;
  return std::stod(after[0]) < std::stod(before[0]) ? Effect::stricter : Effect::looser;
}

// Of words that the gate knows a strictest of: that first, and words that are as strict side by
// side. What is not set is not among them.
using Ranks = std::map<std::string, int>;
Effect effect_on_word(const Ranks& ranks, const std::vector<std::string>& before,
                      const std::vector<std::string>& after) {
  if (before.size() != 1 || after.size() != 1) return Effect::other;
  const auto a = ranks.find(before[0]), b = ranks.find(after[0]);
  if (a == ranks.end() || b == ranks.end() || a->second == b->second) return Effect::other;
  return b->second < a->second ? Effect::stricter : Effect::looser;
}

// Where a licence lists digests its patterns count for nothing.
Effect effect_on_digests(const std::vector<std::string>& before,
                         const std::vector<std::string>& after) {
  if (before.empty()) return Effect::stricter;
  if (after.empty()) return Effect::looser;
  return effect_on_list(before, after);
}

Effect effect_on(const std::string& path, const std::vector<std::string>& before,
                 const std::vector<std::string>& after) {
  static const std::map<std::string, Ranks> kRanks = {
      {"licence.after_term",
       {{"WITHDRAW_MODEL", 0}, {"STOP_RELEASE", 1}, {"STOP_TRAINING", 2}, {"KEEP_WEIGHTS", 2}}},
      {"derived.caption", {{"NEVER", 0}, {"TERM", 1}, {"PERPETUAL", 2}}},
      {"derived.embedding", {{"NEVER", 0}, {"TERM", 1}, {"PERPETUAL", 2}}},
      {"derived.fingerprint", {{"NEVER", 0}, {"TERM", 1}, {"PERPETUAL", 2}}},
      {"clearances.talent",
       {{"UNKNOWN", 0}, {"RELEASED", 1}, {"NONE_VISIBLE", 2}, {"RELEASED_FOR_TRAINING", 3}}},
      {"clearances.voice", {{"UNKNOWN", 0}, {"NONE", 1}, {"RELEASED_FOR_TRAINING", 2}}},
      {"clearances.music",
       {{"UNKNOWN", 0}, {"NONE", 1}, {"MUTED", 1}, {"SYNC_AND_MASTER_FOR_TRAINING", 1}}},
  };
  static const std::set<std::string> kGrants = {"allows.use",
                                                "allows.model",
                                                "allows.component",
                                                "allows.field_of_use",
                                                "covers.delivery",
                                                "allows.compute_territory",
                                                "allows.release_territory"};
  const auto later = [&] { return !after.empty() && (before.empty() || after[0] > before[0]); };
  if (kGrants.contains(path)) return effect_on_list(before, after);
  if (const auto ranks = kRanks.find(path); ranks != kRanks.end())
    return effect_on_word(ranks->second, before, after);
  if (path == "covers.source_digest") return effect_on_digests(before, after);
  if (path == "derived.latent.delete_after_days") return effect_on_limit(before, after);
  if (path == "overrides.mark") return effect_on_list(before, after);
  if (path == "allows.synthetic")
    return after == std::vector<std::string>{"true"} ? Effect::looser : Effect::stricter;
  if (path == "allows.excluded_field") return opposite(effect_on_list(before, after));
  if (path.starts_with("limits.")) return effect_on_limit(before, after);
  if (path == "licence.valid_to") return later() ? Effect::looser : Effect::stricter;
  if (path == "licence.valid_from") return later() ? Effect::stricter : Effect::looser;
  if (path == "clearances.minors")
    return after == std::vector<std::string>{"true"} ? Effect::stricter : Effect::looser;
  return Effect::other;
}

}  // namespace

std::string short_number(double value) {
  std::string text = std::to_string(value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

std::vector<std::string> explain_licence(const LicenceText& terms) {
  const Licence& l = terms.licence();
  const Allows& a = terms.allows();
  std::vector<std::string> out;
  out.push_back("Licence " + licence_ref(terms) + ", from " + l.licensor() + " to " + l.licensee() +
                ", holds from " + l.valid_from() + " to " + l.valid_to() +
                ", both days included, UTC.");
  out.push_back("It covers " + (terms.covers().source_digest_size() > 0
                                    ? std::to_string(terms.covers().source_digest_size()) +
                                          " files, listed by digest, and no others."
                                    : "files of a delivery whose path fits " +
                                          listed(terms.covers().delivery(), " and ") + "."));
  out.push_back("It allows " + uses_of(a) + ", and nothing else.");
  if (may_use(a, TRAIN) || may_use(a, FINETUNE) || may_use(a, DISTIL)) {
    out.push_back("It may train " + words_of(a.model(), "model line", "any model line") + " (" +
                  components_of(a) + ") in " +
                  words_of(a.compute_territory(), "territory", "any territory") + " until " +
                  l.valid_to() +
                  (terms.limits().has_max_passes()
                       ? ", at most " + std::to_string(terms.limits().max_passes()) + " passes"
                       : "") +
                  ".");
  }
  out.push_back("It is for " + words_of(a.field_of_use(), "field of use", "any field of use") +
                (a.excluded_field().empty()
                     ? "."
                     : ", never for " + listed(a.excluded_field(), " and ") + "."));
  out.push_back("What comes out may go to " +
                words_of(a.release_territory(), "territory", "any territory") + ".");
  if (a.synthetic()) out.push_back("Footage that a machine made is licensed as well.");
  explain_limits(terms.limits(), out);
  explain_clearances(terms.clearances(), out);
  explain_derived(terms.derived(), out);
  out.push_back("After the last day " + after_term_words(l.after_term()) + ".");
  if (terms.overrides().mark_size() > 0)
    out.push_back("It stands against these do-not-train marks: " +
                  listed(terms.overrides().mark(), " and ") + ".");
  explain_removal(terms.removal(), out);
  explain_pay(terms, out);
  return out;
}

std::vector<std::string> warn_of(const LicenceText& terms, std::string_view day) {
  constexpr int64_t kSoonDays = 90;
  std::vector<std::string> out;
  const Licence& l = terms.licence();
  const Allows& a = terms.allows();
  const Clearances& c = terms.clearances();
  const int64_t left = days_of(l.valid_to()) - days_of(day);
  if (left < 0) out.push_back("it ended on " + l.valid_to());
  if (left >= 0 && left <= kSoonDays) out.push_back("it ends in " + std::to_string(left) + " days");
  if (day < l.valid_from()) out.push_back("it begins only on " + l.valid_from());
  if (!may_use(a, INGEST)) out.push_back("it does not allow INGEST, so nothing can be taken in");
  if (may_use(a, TRAIN) && !may_use(a, ENCODE))
    out.push_back("it allows TRAIN and not ENCODE, so no shard can be made to train on");
  const auto none = [&](int size, const char* field) {
    if (size == 0)
      out.push_back(std::string("allows.") + field + " is empty: every run is refused");
  };
  none(a.model_size(), "model");
  none(a.component_size(), "component");
  none(a.field_of_use_size(), "field_of_use");
  none(a.compute_territory_size(), "compute_territory");
  for (const std::string& field : a.excluded_field()) {
    if (std::find(a.field_of_use().begin(), a.field_of_use().end(), field) !=
        a.field_of_use().end())
      out.push_back("field " + field + " is listed and excluded: it is excluded");
  }
  if (terms.covers().source_digest_size() > 0 && terms.covers().delivery_size() > 0)
    out.push_back("covers lists digests, so its delivery patterns count for nothing");
  for (const std::string& pattern : terms.covers().delivery()) {
    if (!can_match(pattern))
      out.push_back("covers.delivery \"" + pattern +
                    "\" covers nothing: no path has . or .. or an empty name in it");
  }
  if (c.talent() == Talent::UNKNOWN || c.voice() == Voice::UNKNOWN || c.music() == Music::UNKNOWN)
    out.push_back("a clearance is UNKNOWN: everything is refused until it is known");
  if (c.minors()) out.push_back("minors are visible: everything is refused");
  if (!l.has_agreement_digest())
    out.push_back("no agreement_digest ties it to the executed contract");
  for (const std::string& term : only_recorded(terms))
    out.push_back(term + " is only recorded: no rule asks it, so somebody must see to it");
  return out;
}

std::vector<TermChange> compare_terms(const LicenceText& before, const LicenceText& after) {
  const Lists a = lists_of(before), b = lists_of(after);
  std::set<std::string> paths;
  for (const auto& [path, values] : a) paths.insert(path);
  for (const auto& [path, values] : b) paths.insert(path);
  std::vector<TermChange> out;
  const std::vector<std::string> nothing;
  for (const std::string& path : paths) {
    const auto& old = a.contains(path) ? a.at(path) : nothing;
    const auto& now = b.contains(path) ? b.at(path) : nothing;
    if (old == now || path == "licence.version" || path == "licence.supersedes") continue;
    out.push_back({path, joined_values(old), joined_values(now), effect_on(path, old, now)});
  }
  return out;
}

std::string_view effect_word(TermChange::Effect effect) {
  switch (effect) {
    case Effect::stricter:
      return "stricter";
    case Effect::looser:
      return "looser";
    case Effect::both:
      return "stricter and looser";
    case Effect::other:
      break;
  }
  return "changed";
}

}  // namespace cleared::ledger
