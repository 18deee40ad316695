#include "ledger/review.h"

#include <algorithm>
#include <optional>
#include <sstream>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/html.h"
#include "ledger/digest.h"
#include "ledger/projection.h"
#include "ledger/textproto.h"

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

std::vector<WaitingClip> quarantine(const Store& store, const Rights& rights) {
  std::vector<WaitingClip> out;
  Statement select(
      store.db(),
      "SELECT c.id, s.digest, s.path, c.start_us, c.end_us, "
      "EXISTS (SELECT 1 FROM sample p WHERE p.clip = c.seq), "
      "COALESCE((SELECT f.pictures FROM clearance f WHERE f.clip = c.seq AND f.pictures <> '' "
      "ORDER BY f.seq DESC LIMIT 1), '') FROM clip c JOIN source s ON s.seq = c.source "
      "WHERE c.seq IN (SELECT clip FROM clearance) AND c.verdict = 'kept' AND s.status = 'kept' "
      "ORDER BY s.path, s.digest, c.start_us");
  while (select.next()) {
    WaitingClip clip;
    clip.id = select.text(0);
    clip.source = select.text(1);
    clip.path = select.text(2);
    clip.start_us = select.unsigned_integer(3);
    clip.end_us = select.unsigned_integer(4);
    clip.packed = select.integer(5) != 0;
    clip.pictures = select.text(6);
    const Digest source = parse_digest(clip.source).value_or(Digest{});
    const auto use = training_use(rights, clip.path, source);
    if (!use) continue;
    const auto findings = rights.findings_of(clip.id);
    clip.verdict = rights.judge_source(clip.path, source, Act{*use}, {}, findings).verdict;
    if (clip.verdict.cleared) continue;
    clip.findings = that_object(rights, clip.path, source, *use, findings);
    out.push_back(std::move(clip));
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
  for (const WaitingClip& clip : clips) {
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

Fact review_fact(const Store& store, const std::string& note) {
  const Review review = parse_noted<ReviewText>(parse_note(note), "review").review();
  check_review(review);
  Statement known(store.db(),
                  "SELECT 1 FROM clearance f JOIN clip c ON c.seq = f.clip "
                  "WHERE c.id = ? AND f.reason = ? AND ? >= (SELECT m.at FROM moment m "
                  "WHERE m.seq <= f.seq ORDER BY m.seq DESC LIMIT 1)");
  for (const Review::Decision& decision : review.decision()) {
    const std::string id = to_hex(require_digest_name(decision.clip(), "review.decision.clip"));
    const auto require = [&](int reason) {
      const std::string word = reason_word(static_cast<Reason::Value>(reason));
      if (!known.with(id, word, review.at()).next()) {
        throw Error(Errc::corrupt, "review: clip ", decision.clip(), ": no ", word,
                    " is on record for it, or was at ", review.at());
      }
    };
    for (const int reason : decision.release()) require(reason);
    for (const int reason : decision.keep_out()) require(reason);
  }
  Fact fact;
  fact.mutable_review()->set_note(note);
  return fact;
}

}  // namespace cleared::ledger
