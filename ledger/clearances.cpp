#include "ledger/clearances.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace {

bool is_plain_text(std::string_view text) {
  return !text.empty() && text.size() <= 300 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// Each entry is a finding, and a record, of every clip that it overlaps.
void require_few_at_once(const ClearancesText& said, std::string_view where) {
  constexpr int kMostAtOnce = 32;
  std::vector<std::pair<double, int>> changes;  // in how many there are; at one time ends first
  for (const ClipClearances& clip : said.clip()) {
    changes.emplace_back(clip.from_s(), 1);
    if (clip.has_to_s()) changes.emplace_back(clip.to_s(), -1);
  }
  std::sort(changes.begin(), changes.end());
  int now = 0;
  for (const auto& [at_s, change] : changes) {
    now += change;
    if (now > kMostAtOnce) {
      throw Error(Errc::corrupt, where, ": more than ", kMostAtOnce, " entries at ", at_s,
                  " s: say what they say in fewer");
    }
  }
}

}  // namespace

bool is_finding(std::string_view reason, std::string_view value) {
  Talent::Value talent{};
  Voice::Value voice{};
  Music::Value music{};
  const std::string word(value);
  if (reason == "talent") return Talent::Value_Parse(word, &talent);
  if (reason == "voice") return Voice::Value_Parse(word, &voice);
  if (reason == "music") return Music::Value_Parse(word, &music);
  if (reason == "minors") return value == "true";
  return (reason == "union" || reason == "face" || reason == "speech") && is_plain_text(value);
}

bool is_releasable(std::string_view reason) {
  return parse_reason(reason).has_value();
}

std::string reason_word(Reason::Value reason) {
  std::string out = Reason::Value_Name(reason);
  for (char& c : out) c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::optional<Reason::Value> parse_reason(std::string_view word) {
  for (int i = Reason::Value_MIN; i <= Reason::Value_MAX; ++i) {
    if (Reason::Value_IsValid(i) && reason_word(static_cast<Reason::Value>(i)) == word)
      return static_cast<Reason::Value>(i);
  }
  return std::nullopt;
}

ClearancesText parse_clearances(std::string_view text, std::string_view where) {
  ClearancesText out;
  parse_textproto(text, where, out);
  for (const ClipClearances& clip : out.clip()) {
    const auto require = [&](bool ok, std::string_view what) {
      if (!ok) throw Error(Errc::corrupt, where, ": ", what);
    };
    const bool times = std::isfinite(clip.from_s()) && std::isfinite(clip.to_s());
    require(times && clip.from_s() >= 0 && (!clip.has_to_s() || clip.to_s() > clip.from_s()),
            "clip.from_s and clip.to_s must be seconds, from 0, one after the other");
    require(!clip.has_union_notice() || is_plain_text(clip.union_notice()),
            "clip.union_notice must name a union in plain ASCII");
    require(!clip.has_minors() || clip.minors(),
            "clip.minors can only be true: a clip may only be stricter than its licence");
  }
  require_few_at_once(out, where);
  return out;
}

std::vector<ClipFinding> findings_of(const ClearancesText& said, uint64_t start_us, uint64_t end_us,
                                     const std::string& origin) {
  std::vector<ClipFinding> out;
  for (const ClipClearances& clip : said.clip()) {
    if (clip.from_s() * 1e6 >= double(end_us)) continue;
    if (clip.has_to_s() && clip.to_s() * 1e6 <= double(start_us)) continue;
    if (clip.has_talent()) out.push_back({"talent", Talent::Value_Name(clip.talent()), origin});
    if (clip.minors()) out.push_back({"minors", "true", origin});
    if (clip.has_voice()) out.push_back({"voice", Voice::Value_Name(clip.voice()), origin});
    if (clip.has_music()) out.push_back({"music", Music::Value_Name(clip.music()), origin});
    if (clip.has_union_notice()) out.push_back({"union", clip.union_notice(), origin});
  }
  return out;
}

void check_review(const Review& review) {
  const auto require = [](bool ok, const std::string& what) {
    if (!ok) throw Error(Errc::corrupt, "review: ", what);
  };
  require(parse_time(review.at()).has_value(),
          "at must be a time like 2026-01-31T23:59:59Z, not \"" + review.at() + "\"");
  require(review.decision_size() > 0, "it decides nothing");
  std::set<std::string> clips;
  for (const Review::Decision& decision : review.decision()) {
    const std::string& clip = decision.clip();
    require(parse_digest_name(clip).has_value(), "clip must be sha256: and 64 hex digits");
    require(clips.insert(clip).second, clip + " is decided twice");
    require(decision.release_size() + decision.keep_out_size() > 0,
            clip + ": no reason is released or kept out");
    std::set<int> reasons;
    for (const int reason : decision.release()) reasons.insert(reason);
    for (const int reason : decision.keep_out()) reasons.insert(reason);
    require(static_cast<int>(reasons.size()) == decision.release_size() + decision.keep_out_size(),
            clip + ": a reason is named twice");
  }
}

}  // namespace cleared::ledger
