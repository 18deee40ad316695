#include "ledger/review.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/html.h"
#include "ledger/digest.h"
#include "ledger/projection.h"
#include "ledger/review_lists.h"
#include "ledger/textproto.h"
#include "ledger/titles.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kStyle =
    R"html(body{max-width:70rem}h2{font-size:1.05rem;margin:2rem 0 .3rem;overflow-wrap:anywhere}p{margin:.2rem 0}
code{overflow-wrap:anywhere}.why{color:#a11c1c}img{width:16rem;margin:.4rem .4rem 0 0;border:1px solid #d8dce0}
@media (prefers-color-scheme:dark){.why{color:#ff8a80}img{border-color:#3a4046}}
)html";
constexpr int kMostPictures = 6;  // of a clip

std::string what_of(const ClipFinding& finding) {
  return finding.reason + " " + finding.value + " (" + finding.origin + ")";
}

// The first training use that the licences of a file allow; nothing when they allow none.
std::optional<Use> training_use(const Rights& rights, const std::string& path,
                                const Digest& source) {
  for (const Use use : {TRAIN, FINETUNE, DISTIL}) {
    if (rights.judge_source(path, source, use).verdict.cleared) return use;
  }
  return std::nullopt;
}

// Those that alone are a no.
std::vector<ClipFinding> that_object(const Rights& rights, const std::string& path,
                                     const Digest& source, Use use,
                                     std::span<const ClipFinding> all) {
  std::vector<ClipFinding> out;
  for (const ClipFinding& finding : all) {
    if (finding.released) continue;
    if (!rights.judge_source(path, source, Act{use}, {}, {&finding, 1}).verdict.cleared)
      out.push_back(finding);
  }
  return out;
}

}  // namespace

namespace {

// By clip: what is claimed of it while neither side is released.
std::map<std::string, std::vector<ClipFinding>> waiting_titles(const Store& store) {
  std::map<std::string, std::vector<ClipFinding>> out;
  for (const TitleConflict& conflict : title_conflicts(store)) {
    if (!conflict.waits()) continue;
    const auto& [later, before] = conflict.claims;
    const std::string origin = "record " + std::to_string(conflict.record);
    for (const Claim* claim : {&later, &before}) {
      const Claim& other = claim == &later ? before : later;
      const bool same_bytes = later.source == before.source;
      if (same_bytes && claim == &before) continue;
      const std::string what =
          same_bytes ? conflict.said : describe(*claim) + ", is " + describe(other);
      for (const ClaimedClip& clip : claim->clips) out[clip.id].push_back({"title", what, origin});
    }
  }
  return out;
}

}  // namespace

bool waits_for_title_alone(const WaitingClip& clip) {
  return std::all_of(clip.findings.begin(), clip.findings.end(),
                     [](const ClipFinding& finding) { return finding.reason == "title"; });
}

std::vector<WaitingClip> quarantine(const Store& store, const Rights& rights) {
  std::vector<WaitingClip> out;
  const auto titles = waiting_titles(store);
  Statement select(
      store.db(),
      "SELECT c.id, s.digest, s.path, c.start_us, c.end_us, "
      "EXISTS (SELECT 1 FROM sample p WHERE p.clip = c.seq), "
      "COALESCE((SELECT f.pictures FROM clearance f WHERE f.clip = c.seq AND f.pictures <> '' "
      "ORDER BY f.seq DESC LIMIT 1), ''), " +
          standing_sql() +
          " FROM clip c JOIN source s ON s.seq = c.source "
          "WHERE c.seq IN (SELECT clip FROM clearance UNION SELECT clip FROM conflicted_clip) "
          "AND c.verdict IN ('kept', 'conflict') ORDER BY s.path, s.digest, c.start_us");
  while (select.next()) {
    WaitingClip clip;
    clip.id = select.text(0);
    clip.source = select.text(1);
    clip.path = select.text(2);
    clip.start_us = select.unsigned_integer(3);
    clip.end_us = select.unsigned_integer(4);
    clip.packed = select.integer(5) != 0;
    clip.pictures = select.text(6);
    const auto title = titles.find(clip.id);
    if (title == titles.end() && select.view(7) != "kept") continue;
    const Digest source = parse_digest(clip.source).value_or(Digest{});
    clip.verdict = yes();
    if (const auto use = training_use(rights, clip.path, source)) {
      const auto findings = rights.findings_of(clip.id);
      clip.verdict = rights.judge_source(clip.path, source, Act{*use}, {}, findings).verdict;
      if (!clip.verdict.cleared) {
        clip.findings = that_object(rights, clip.path, source, *use, findings);
      }
    }
    if (title != titles.end()) {
      clip.verdict = no("title_conflict", "two licensors claim this footage");
      clip.findings.insert(clip.findings.end(), title->second.begin(), title->second.end());
    }
    if (!clip.verdict.cleared) out.push_back(std::move(clip));
  }
  return out;
}

ReviewPictures pictures_of(const Store& store, const WaitingClip& clip) {
  ReviewPictures out;
  if (clip.pictures.empty()) return out;
  const std::filesystem::path file = store.path().string() + ".index/" + clip.source + ".pictures";
  std::error_code none;
  if (!std::filesystem::is_regular_file(file, none)) return out;
  const std::string bytes = read_file(file);
  if (to_hex(sha256(bytes)) != clip.pictures || !out.ParseFromString(bytes)) out.Clear();
  return out;
}

std::string review_html(const Store& store, const std::vector<WaitingClip>& clips) {
  std::ostringstream out;
  out << html_head("clips that wait for a person", kStyle)
      << "<h1>Clips that wait for a person: " << clips.size() << "</h1>\n"
      << "<p class=quiet>Ledger " << escape_html(store.path().filename().string()) << ", "
      << store.size() << " records. Nothing here is used before somebody decides. Detectors are "
      << "often wrong, both ways: they only ask.</p>\n";
  for (const TitleConflict& conflict : title_conflicts(store)) {
    if (!conflict.waits()) continue;
    out << "<h2>Two licensors claim it, record " << conflict.record << "</h2>\n";
    if (!conflict.said.empty()) out << "<p>" << escape_html(conflict.said) << "</p>\n";
    for (const Claim& claim : conflict.claims) {
      if (!conflict.said.empty() && &claim != conflict.claims) continue;
      out << "<p>" << escape_html(describe(claim)) << ": " << claim.clips.size() << " clips</p>\n";
    }
  }
  for (const WaitingClip& clip : clips) {
    if (waits_for_title_alone(clip)) continue;
    out << "<h2>" << escape_html(clip.path) << ", " << format_seconds(clip.start_us) << " to "
        << format_seconds(clip.end_us) << "</h2>\n<p><code>sha256:" << clip.id << "</code>"
        << (clip.packed ? " is in a shard already" : "") << "</p>\n<p class=why>"
        << escape_html(clip.verdict.rule) << ": " << escape_html(clip.verdict.fact) << "</p>\n";
    for (const ClipFinding& finding : clip.findings) {
      out << "<p>" << escape_html(what_of(finding))
          << (is_releasable(finding.reason) ? "" : ": no review releases it") << "</p>\n";
    }
    int shown = 0;
    const ReviewPictures pictures = pictures_of(store, clip);
    for (const auto& picture : pictures.picture()) {
      if (picture.pts_us() < clip.start_us || picture.pts_us() >= clip.end_us) continue;
      if (++shown > kMostPictures) break;
      out << "<img alt=\"at " << format_seconds(picture.pts_us())
          << "\" src=\"data:image/png;base64," << to_base64(as_bytes(picture.png())) << "\">\n";
    }
    if (shown == 0 && !clip.pictures.empty()) {
      out << "<p class=quiet>Its pictures are not kept any more: ingest into a new ledger makes "
             "them again.</p>\n";
    }
  }
  out << kHtmlEnd;
  return std::move(out).str();
}

std::string review_form(const std::vector<WaitingClip>& clips, uint64_t now_us) {
  ReviewText text;
  text.mutable_review()->set_at(format_time(now_us));
  for (const WaitingClip& clip : clips) {
    Review::Decision decision;
    decision.set_clip("sha256:" + clip.id);
    for (const ClipFinding& finding : clip.findings) {
      const auto reason = parse_reason(finding.reason);
      const auto& listed = decision.keep_out();
      if (reason && std::find(listed.begin(), listed.end(), *reason) == listed.end())
        decision.add_keep_out(*reason);
    }
    decision.set_says(clip.path + ", " + format_seconds(clip.start_us) + " to " +
                      format_seconds(clip.end_us));
    if (decision.keep_out_size() > 0) *text.mutable_review()->add_decision() = decision;
  }
  return format_textproto(text);
}

std::string title_form(const Store& store, const std::string& source, uint64_t now_us) {
  constexpr size_t kLeastDigits = 8;
  std::map<std::pair<std::string, uint64_t>, std::string> clips;  // by source and start
  std::set<std::string> sources;
  ReviewText text;
  text.mutable_review()->set_at(format_time(now_us));
  for (const TitleConflict& conflict : title_conflicts(store)) {
    for (const Claim& claim : conflict.claims) {
      const bool by_digest = source.size() >= kLeastDigits && claim.source.starts_with(source);
      if (claim.path != source && !by_digest) continue;
      sources.insert(claim.source);
      for (const ClaimedClip& clip : claim.clips) {
        if (clip.released || !clips.try_emplace({claim.source, clip.start_us}, clip.id).second) {
          continue;
        }
        Review::Decision& decision = *text.mutable_review()->add_decision();
        decision.set_clip("sha256:" + clip.id);
        decision.add_release(Reason::TITLE);
        decision.set_says(claim.path + ", " + format_seconds(clip.start_us) + " to " +
                          format_seconds(clip.end_us));
      }
    }
  }
  if (sources.size() > 1) {
    std::string all;
    for (const std::string& digest : sources) all += ' ' + digest.substr(0, 16);
    throw Error(Errc::usage, source, " names several files; say which:", all);
  }
  if (text.review().decision().empty()) {
    throw Error(Errc::not_found, store.path().string(), ": no clip of ", source,
                " waits because another licensor claims it");
  }
  return format_textproto(text);
}

std::vector<Fact> review_records(const Store& store, const std::string& note,
                                 std::span<const std::string> lists) {
  Review review = parse_noted<ReviewText>(parse_note(note), "review").review();
  if (review.has_lists()) join_lists(review, lists);
  check_review(review);
  Statement known(store.db(),
                  "SELECT 1 FROM clearance f JOIN clip c ON c.seq = f.clip "
                  "WHERE c.id = ? AND f.reason = ? AND ? >= (SELECT m.at FROM moment m "
                  "WHERE m.seq <= f.seq ORDER BY m.seq DESC LIMIT 1)");
  std::map<std::string, std::string> claimed;  // by clip: since when
  Statement claims(store.db(),
                   "SELECT c.id, (SELECT m.at FROM moment m WHERE m.seq <= t.first "
                   "ORDER BY m.seq DESC LIMIT 1) FROM (SELECT clip, MIN(duplicate) AS first "
                   "FROM title_claim GROUP BY clip) t JOIN clip c ON c.seq = t.clip");
  while (claims.next()) claimed[claims.text(0)] = claims.text(1);
  const auto is_known = [&](const std::string& id, int reason, const std::string& word) {
    if (reason != Reason::TITLE) return known.with(id, word, review.at()).next();
    const auto since = claimed.find(id);
    return since != claimed.end() && since->second <= review.at();
  };
  for (const Review::Decision& decision : review.decision()) {
    const std::string id = to_hex(require_digest_name(decision.clip(), "review.decision.clip"));
    const auto require = [&](int reason) {
      const std::string word = reason_word(static_cast<Reason::Value>(reason));
      if (!is_known(id, reason, word)) {
        throw Error(Errc::corrupt, "review: clip ", decision.clip(), ": no ", word,
                    " is on record for it, or was at ", review.at());
      }
    };
    for (const int reason : decision.release()) require(reason);
    for (const int reason : decision.keep_out()) require(reason);
  }
  return review_facts(note, lists);
}

}  // namespace cleared::ledger
