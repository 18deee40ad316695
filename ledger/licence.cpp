#include "ledger/licence.h"

#include <algorithm>
#include <functional>
#include <set>
#include <utility>
#include <vector>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/marks.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace {

bool is_plain_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// Names of keys, which are compared byte by byte, so that two that look alike are one.
bool is_plain(const std::string& name) {
  return !name.empty() && name.size() <= 200 && is_plain_ascii(name) &&
         name.find(' ') == std::string::npos;
}

bool are_capitals(std::string_view text, size_t count) {
  return text.size() == count &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

using Require = std::function<void(bool ok, std::string_view what)>;

// "SAG-AFTRA:2026-07-14", or "none".
bool is_union_notice(std::string_view notice) {
  const size_t colon = notice.rfind(':');
  if (colon == std::string_view::npos) return notice == "none";
  const std::string_view name = notice.substr(0, colon);
  return is_plain_ascii(name) && !name.empty() && name.front() != ' ' && name.back() != ' ' &&
         is_date(notice.substr(colon + 1));
}

// `what` begins with the path of the field.
void check_names(const LicenceText& terms, const Require& require) {
  require(is_plain(terms.licence().licensor()), "licence.licensor must be plain ASCII, no spaces");
  require(is_plain(terms.licence().licensee()), "licence.licensee must be plain ASCII, no spaces");
  const Allows& allows = terms.allows();
  const auto words = [&](const auto& list, const std::string& path, bool all) {
    for (const std::string& word : list)
      require(
          is_word(word) || (all && word == "*"),
          "allows." + path + " must be " + (all ? "\"*\" or " : "") + "1 to 100 of a-z 0-9 . _ -");
  };
  words(allows.model(), "model", true);
  words(allows.field_of_use(), "field_of_use", true);
  words(allows.excluded_field(), "excluded_field", false);
  const auto places = [&](const auto& list, const std::string& path) {
    for (const std::string& place : list)
      require(place == "*" || is_place(place),
              "allows." + path + " must be \"*\" or two capitals, as \"DE\" or \"EU\"");
  };
  places(allows.compute_territory(), "compute_territory");
  places(allows.release_territory(), "release_territory");
}

void check_splits(const LicenceText& terms, const Require& require) {
  for (const Pay& pay : terms.pay()) {
    uint64_t shares = 0;
    for (const auto& split : pay.split()) shares += split.share_bps();
    require(pay.split_size() == 0 || shares == 10000, "pay.split must add up to 10000 share_bps");
    require(pay.pool_bps() <= 10000, "pay.pool_bps is above 10000");
  }
}

constexpr uint64_t kMaxRateMicros = 1'000'000'000'000'000'000;  // a million millions

// What a licence must keep to that is not on record yet.
void check_offer(const LicenceText& terms, const Require& require) {
  check_names(terms, require);
  // A delivered name may spell what is not ASCII in another way, and then nothing would match.
  for (const std::string& pattern : terms.covers().delivery()) {
    require(is_plain_ascii(pattern),
            "covers.delivery must be plain ASCII, with * for other characters: a letter with an "
            "accent, or of another script, can be written in two ways");
  }
  require(terms.licence().valid_from() >= "1990", "licence.valid_from must be 1990 or later");
  require(terms.licence().valid_to() < "2200", "licence.valid_to must be a real end, before 2200");
  const Clearances& c = terms.clearances();
  require(!c.has_union_notice() || is_union_notice(c.union_notice()),
          "clearances.union_notice must be UNION:YYYY-MM-DD, as \"SAG-AFTRA:2026-07-14\", or "
          "\"none\"");
  for (const std::string& name : terms.overrides().mark()) {
    const MarkName* known = find_mark_name(name);
    require(known != nullptr && known->overridable,
            "overrides.mark must be a do-not-train mark of docs/formats/marks.md, as "
            "\"cawg.training-mining\"");
  }
  std::set<std::pair<std::string, uint32_t>> pools;
  for (const Pay& pay : terms.pay()) {
    require(!pay.has_currency() || are_capitals(pay.currency(), 3),
            "pay.currency must be three capitals, as \"EUR\"");
    require(!pay.has_rate_micros() || pay.has_currency(),
            "pay.rate_micros has no unit: say which currency");
    require(!pay.has_pool_bps() || pay.has_currency(),
            "pay.pool_bps has no unit: say which currency");
    // Without it nothing would ever be owed, and no statement would show why.
    const bool shares = pay.basis() == Pay::REVENUE_SHARE, free = pay.basis() == Pay::NO_FEE;
    require(shares || free || pay.has_rate_micros(), "pay.basis needs a rate_micros");
    require(!shares || pay.has_pool_bps(), "pay.basis needs a pool_bps");
    require(pay.rate_micros() <= kMaxRateMicros, "pay.rate_micros is beyond all money");
    require(!shares || pools.emplace(pay.currency(), pay.pool_bps()).second,
            "pay.pool_bps is of a pool that the licence shares already");
    for (const auto& split : pay.split()) {
      require(is_plain(split.party()), "pay.split.party must be plain ASCII, no spaces");
    }
  }
}

// What the schema cannot say. Each check names the field, as the parser does, and its place.
void check_values(const LicenceText& terms, std::string_view text, std::string_view where,
                  LicenceAge age) {
  const auto require = [&](bool ok, std::string_view what) {
    if (ok) return;
    const std::string place = place_of(text, terms, what.substr(0, what.find(' ')));
    throw Error(Errc::corrupt, where, place.empty() ? "" : ":" + place, ": ", what);
  };
  const Licence& licence = terms.licence();
  require(is_licence_id(licence.id()), "licence.id must be 1 to 100 of A-Z a-z 0-9 . _ -");
  require(licence.version() >= 1, "licence.version counts from 1");
  if (licence.version() > 1 || licence.has_supersedes()) {
    const std::string before = licence.id() + "@" + std::to_string(licence.version() - 1);
    require(licence.supersedes() == before,
            "licence.supersedes must be \"" + before + "\", the version before this one");
  }
  require(!licence.has_agreement_digest() || parse_digest_name(licence.agreement_digest()),
          "licence.agreement_digest must be sha256: and 64 hex digits");
  require(!licence.licensor().empty() && !licence.licensee().empty(),
          "licence.licensor and licence.licensee must name the parties");
  require(licence.licensor() != licence.licensee(),
          "licence.licensor and licence.licensee must be two parties");
  require(is_date(licence.valid_from()), "licence.valid_from must be a day, YYYY-MM-DD");
  require(is_date(licence.valid_to()), "licence.valid_to must be a day, YYYY-MM-DD");
  require(licence.valid_from() <= licence.valid_to(), "licence.valid_to is before valid_from");
  require(terms.covers().delivery_size() + terms.covers().source_digest_size() > 0,
          "covers must list a delivery pattern or a source_digest");
  for (const std::string& pattern : terms.covers().delivery()) {
    require(!pattern.empty() && pattern.front() != '/', "covers.delivery must be a relative path");
  }
  for (const std::string& digest : terms.covers().source_digest()) {
    require(parse_digest_name(digest).has_value(),
            "covers.source_digest must be sha256: and 64 hex digits");
  }
  require(terms.allows().use_size() > 0, "allows.use lists nothing, so nothing is allowed");
  const Limits& limits = terms.limits();
  const auto in_unit = [](double v) { return v >= 0 && v <= 1; };
  require(!limits.has_max_passes() || limits.max_passes() > 0, "limits.max_passes must be above 0");
  require(!limits.has_max_share() || (limits.max_share() > 0 && limits.max_share() <= 1),
          "limits.max_share must be in (0, 1]");
  require(in_unit(limits.memorisation_max()), "limits.memorisation_max must be in [0, 1]");
  require(in_unit(limits.similarity_max()), "limits.similarity_max must be in [0, 1]");
  check_splits(terms, require);
  if (age == LicenceAge::offered) check_offer(terms, require);
}

// Matches a sequence against a pattern in which is_star(element) stands for any run, the empty one
// included. Goes back to the last star only, so a hostile pattern costs no more than n * m.
template <class Pattern, class Text, class IsStar, class Same>
bool matches_sequence(const Pattern& pattern, const Text& text, IsStar is_star, Same same) {
  size_t p = 0;
  size_t t = 0;
  size_t star = pattern.size();
  size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && is_star(pattern[p])) {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && same(pattern[p], text[t])) {
      ++p;
      ++t;
    } else if (star < pattern.size()) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && is_star(pattern[p])) ++p;
  return p == pattern.size();
}

bool matches_name(std::string_view pattern, std::string_view name) {
  return matches_sequence(
      pattern, name, [](char c) { return c == '*'; }, [](char a, char b) { return a == b; });
}

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> names;
  for (size_t end = path.find('/'); end != std::string_view::npos; end = path.find('/')) {
    names.push_back(path.substr(0, end));
    path.remove_prefix(end + 1);
  }
  names.push_back(path);
  return names;
}

}  // namespace

LicenceText parse_licence(std::string_view text, std::string_view where, LicenceAge age) {
  LicenceText terms;
  parse_textproto(text, where, terms);
  if (age == LicenceAge::offered) require_plain_values(text, where, terms);
  check_values(terms, text, where, age);
  return terms;
}

// Words are compared byte by byte, so each must have one spelling: "Political" would else not be
// the field that is excluded, and "cleared-base" with a Cyrillic e another model line.
bool is_word(std::string_view text) {
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyz0123456789._-";
  return !text.empty() && text.size() <= 100 &&
         text.find_first_not_of(kLetters) == std::string_view::npos;
}

bool is_licence_id(std::string_view text) {
  constexpr std::string_view kLetters =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
  return !text.empty() && text.size() <= 100 &&
         text.find_first_not_of(kLetters) == std::string_view::npos;
}

bool is_place(std::string_view text) {
  return are_capitals(text, 2);
}

std::string licence_ref(const LicenceText& terms) {
  return terms.licence().id() + "@" + std::to_string(terms.licence().version());
}

bool covers(const LicenceText& terms, std::string_view path, const Digest& digest) {
  const Covers& c = terms.covers();
  if (c.source_digest_size() > 0) {
    return std::find(c.source_digest().begin(), c.source_digest().end(), digest_name(digest)) !=
           c.source_digest().end();
  }
  return std::any_of(c.delivery().begin(), c.delivery().end(),
                     [&](const std::string& pattern) { return matches_pattern(pattern, path); });
}

// A path that does not begin as the pattern does, before its first star, is turned away at once:
// one of thousands of licences covers a file, and all are asked.
bool matches_pattern(std::string_view pattern, std::string_view path) {
  std::string_view begin = pattern.substr(0, pattern.find('*'));
  if (begin.ends_with('/')) begin.remove_suffix(1);
  if (!path.starts_with(begin)) return false;
  const auto names = split_path(path);
  // "a/../b" would pass as something below a.
  if (std::any_of(names.begin(), names.end(),
                  [](std::string_view name) { return name == "." || name == ".."; })) {
    return false;
  }
  return matches_sequence(
      split_path(pattern), names, [](std::string_view name) { return name == "**"; }, matches_name);
}

}  // namespace cleared::ledger
