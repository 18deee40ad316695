#include "curate/facts.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "curate/clips.h"
#include "curate/findings.h"
#include "curate/fingerprint.h"
#include "curate/look_files.h"
#include "curate/measure_facts.h"
#include "curate/protect.h"
#include "curate/shots.h"
#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/key.h"

namespace cleared::curate {
namespace {

constexpr size_t kFramesPerRecord = 1000;
constexpr size_t kMostFact = 20'000;  // bytes of a refusal's words: names are others' to choose
constexpr double kWholeShare = 0.9;   // of a source that is copied: nothing of its own is left

std::string raw(const Digest& digest) {
  return std::string(digest.text());
}

bool is_word(std::string_view text, size_t longest, std::string_view also) {
  return text.size() <= longest && std::all_of(text.begin(), text.end(), [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  also.find(c) != std::string_view::npos;
         });
}

bool overlap(const ledger::ClipRecord& clip, const Match& match) {
  return clip.start_us() < match.end_us && match.start_us < clip.end_us();
}

// "duplicate" beats what the pictures say. "conflict" is said of what would be kept but for it:
// once people have released it, it is (ledger/titles.h).
std::string clip_verdict(const ledger::ClipRecord& clip, const std::vector<FoundMatch>& matches) {
  std::string verdict = clip.verdict();
  for (const FoundMatch& found : matches) {
    if (!overlap(clip, found.match)) continue;
    if (!found.conflict) return "duplicate";
    if (verdict == "kept") verdict = "conflict";
  }
  return verdict;
}

std::string source_status(const std::vector<FoundMatch>& matches, uint64_t duration_us) {
  if (std::any_of(matches.begin(), matches.end(), [](const auto& m) { return m.conflict; })) {
    return "conflict";
  }
  Seconds copied;
  for (const FoundMatch& found : matches) copied.add(found.match.start_us, found.match.end_us);
  const bool whole = double(copied.length_us()) >= kWholeShare * double(duration_us);
  return !matches.empty() && whole ? "duplicate" : "kept";
}

uint64_t little_endian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
  return value;
}

}  // namespace

Analysis analyse_in_worker(const OpenedSource& source, const Limits& limits,
                           const WorkerOptions& options, std::optional<uint64_t> keyframes_every_us,
                           const FaceCascades* faces) try {
  Request request;
  *request.mutable_limits() = limits;
  request.mutable_analyse();
  if (keyframes_every_us) {
    request.mutable_analyse()->set_keyframes_every_us(*keyframes_every_us);
  }
  if (faces != nullptr) {
    request.mutable_analyse()->set_quick_faces(faces->quick);
    request.mutable_analyse()->set_sure_faces(faces->sure);
  }
  Reply reply = run_worker(request, source.fd, options);
  if (!reply.has_analysis()) throw Error(Errc::corrupt, "its worker answered another question");
  check_analysis(reply.analysis());
  require_unchanged(source);
  return std::move(*reply.mutable_analysis());
} catch (const Error&) {
  require_unchanged(source);  // a better reason, where it is one
  throw;
}

void check_prints(const Analysis& a, std::string_view what) {
  const auto fail = [&](const char* why) { throw Error(Errc::corrupt, what, why); };
  const auto frames = static_cast<size_t>(a.pts_us_size());
  if (frames == 0 || a.pdq().size() != 32 * frames || a.pdq_quality().size() != frames) {
    fail(": lists differ in length");
  }
  if (std::adjacent_find(a.pts_us().begin(), a.pts_us().end(), std::greater_equal<>()) !=
          a.pts_us().end() ||
      a.pts_us(0) != 0)
    fail(": times go back");
  if (a.pts_us(a.pts_us_size() - 1) > uint64_t{1} << 50) fail(": no times or no size");
  for (const char quality : a.pdq_quality()) {
    if (static_cast<uint8_t>(quality) > 100) fail(": quality");
  }
  if (!looks_are_whole(a)) fail(": the looks");
  if (!is_word(a.chromaprint(), 60'000, "_-")) fail(": a name has odd characters");
}

void check_analysis(const Analysis& a) {
  const auto fail = [](const char* what) {
    throw Error(Errc::corrupt, "its worker gave an answer that contradicts itself: ", what);
  };
  const auto frames = static_cast<size_t>(a.pts_us_size());
  const auto lists = {a.luma_size(), a.sharpness_size(), a.motion_size(), a.histogram_size()};
  if (frames == 0 || a.pdq().size() != 32 * frames || a.pdq_quality().size() != frames ||
      a.thumb().size() != 256 * frames ||
      std::any_of(lists.begin(), lists.end(), [&](int n) { return n != a.pts_us_size(); })) {
    fail("lists differ in length");
  }
  for (int i = 0; i < a.pts_us_size(); ++i) {
    if (i > 0 && a.pts_us(i) <= a.pts_us(i - 1)) fail("times go back");
    for (const float value : {a.luma(i), a.sharpness(i), a.motion(i), a.histogram(i)}) {
      if (!std::isfinite(value) || value < 0) fail("a measure is out of range");
    }
    if (static_cast<uint8_t>(a.pdq_quality()[static_cast<size_t>(i)]) > 100) fail("quality");
  }
  if (a.pts_us(0) != 0 || a.pts_us(a.pts_us_size() - 1) > uint64_t{1} << 50 || a.frame_us() == 0 ||
      a.frame_us() > uint64_t{1} << 40 || a.width() == 0 || a.height() == 0) {
    fail("no times or no size");
  }
  if (!looks_are_whole(a)) fail("the looks");
  if (const char* fault = fault_of_measures(a)) fail(fault);
  check_findings(a);
  if (!is_word(a.container(), 32, "_-") || !is_word(a.video_codec(), 32, "_-") ||
      !is_word(a.audio_codec(), 32, "_-") || !is_word(a.chromaprint(), 60'000, "_-") ||
      !is_word(a.notes(), 200, " ,:;.()-") || !is_word(a.problem(), 500, " .,:;'()-_/%")) {
    fail("a name has odd characters");
  }
}

std::vector<Fingerprint> prints_of(const Analysis& analysis) {
  std::vector<Fingerprint> out;
  for (size_t i = 0; i < analysis.pdq_quality().size(); ++i) {
    out.push_back({.bits = pdq_at(analysis.pdq(), i),
                   .quality = static_cast<uint8_t>(analysis.pdq_quality()[i])});
  }
  return out;
}

Footage footage_of(const Digest& digest, const Analysis& analysis) {
  return {.digest = digest,
          .pts_us = {analysis.pts_us().begin(), analysis.pts_us().end()},
          .prints = prints_of(analysis),
          .sound = parse_chromaprint(analysis.chromaprint()),
          .kept = kept_looks(analysis),
          .asked = asked_looks(analysis),
          .squares = squares_of(analysis)};
}

MeasuredSource measure_source(const JudgedSource& source, const Analysis& analysis,
                              const Config& config) {
  MeasuredSource out{.footage = footage_of(source.digest, analysis),
                     .looks = looks_file(source.digest, analysis),
                     .pictures = review_pictures(analysis),
                     .notes = analysis.notes(),
                     .problem = analysis.problem(),
                     .facts = {},
                     .findings = {}};
  const auto frames = static_cast<size_t>(analysis.pts_us_size());
  ledger::SourceRecord& record = *out.facts.emplace_back().mutable_source();
  record.set_digest(raw(source.digest));
  record.set_path(source.path);
  record.set_size_bytes(source.size_bytes);
  for (const std::string& licence : source.rights.licences) record.add_licence(licence);
  record.set_container(analysis.container());
  record.set_video_codec(analysis.video_codec());
  record.set_audio_codec(analysis.audio_codec());
  record.set_width(analysis.width());
  record.set_height(analysis.height());
  record.set_duration_us(analysis.pts_us(analysis.pts_us_size() - 1) + analysis.frame_us());
  record.set_frames(frames);
  const std::vector<Shot> shots = find_shots(analysis);
  record.set_shots(static_cast<uint32_t>(shots.size()));
  record.set_caption(source.caption.text);
  record.set_caption_origin(source.caption.origin);
  record.set_chromaprint(analysis.chromaprint());
  record.set_problem(analysis.problem());
  record.set_variable_frame_rate(analysis.variable_frame_rate());

  for (size_t first = 0; first < frames; first += kFramesPerRecord) {
    const size_t count = std::min(kFramesPerRecord, frames - first);
    ledger::FingerprintRecord& print = *out.facts.emplace_back().mutable_fingerprint();
    print.set_source(raw(source.digest));
    print.set_first_frame(first);
    for (size_t i = first; i < first + count; ++i) {
      print.add_pts_us(analysis.pts_us(static_cast<int>(i)));
    }
    print.set_pdq(analysis.pdq().substr(32 * first, 32 * count));
    print.set_quality(analysis.pdq_quality().substr(first, count));
  }
  for (ledger::MeasureRecord& measure : measures_of(source.digest, analysis, shots)) {
    *out.facts.emplace_back().mutable_measure() = std::move(measure);
  }
  const std::string pictures = out.pictures.empty() ? "" : raw(ledger::sha256(out.pictures));
  for (const Clip& clip : choose_clips(analysis, shots, config.clips(), config.quality())) {
    const Digest id = clip_id(source.digest, clip);
    ledger::ClipRecord& fact = *out.facts.emplace_back().mutable_clip();
    fact.set_id(raw(id));
    fact.set_source(raw(source.digest));
    fact.set_start_us(clip.start_us);
    fact.set_end_us(clip.end_us);
    fact.set_shot(clip.shot);
    fact.set_verdict(clip.verdict);
    fact.set_luma(clip.luma);
    fact.set_sharpness(clip.sharpness);
    fact.set_motion(clip.motion);
    fact.set_caption(clip_caption(source.caption, clip.start_us, clip.end_us));
    auto& findings = out.findings.emplace_back();
    for (const ledger::ClipFinding& finding :
         findings_of(source.clearances, clip.start_us, clip.end_us)) {
      findings.push_back(clearance_fact(id, finding, ""));
    }
    for (const ledger::ClipFinding& finding : findings_in(analysis, clip)) {
      findings.push_back(clearance_fact(id, finding, pictures));
    }
  }
  return out;
}

std::vector<ledger::Fact> source_facts(const MeasuredSource& measured,
                                       const std::vector<FoundMatch>& matches,
                                       const std::vector<FoundSound>& sounds) {
  std::vector<ledger::Fact> facts = measured.facts;
  ledger::SourceRecord& source = *facts.front().mutable_source();
  const uint64_t duration_us = source.duration_us();
  source.set_status(source_status(matches, duration_us));
  std::vector<ledger::Fact> findings;  // after all clips: those follow one another (source_clip)
  auto of_clip = measured.findings.begin();
  for (ledger::Fact& fact : facts) {
    if (!fact.has_clip()) continue;
    ledger::ClipRecord& clip = *fact.mutable_clip();
    clip.set_verdict(clip_verdict(clip, matches));
    findings.insert(findings.end(), of_clip->begin(), of_clip->end());
    ++of_clip;
    for (const FoundSound& sound : sounds) {
      if (!overlap(clip, sound.match)) continue;
      findings.push_back(clearance_fact(*digest_from_raw(clip.id()), sound_finding(sound), ""));
    }
  }
  facts.insert(facts.end(), findings.begin(), findings.end());
  for (const FoundMatch& found : matches) {
    ledger::DuplicateRecord& out = *facts.emplace_back().mutable_duplicate();
    out.set_source(raw(measured.footage.digest));
    out.set_of(raw(found.of));
    out.set_start_us(found.match.start_us);
    // A picture of a sampled track stands for more than its frame: no span ends after its film.
    out.set_end_us(std::min(found.match.end_us, duration_us));
    out.set_of_start_us(found.match.of_start_us);
    out.set_of_end_us(std::min(found.match.of_end_us, found.of_duration_us));
    out.set_distance(static_cast<float>(found.match.distance));
    out.set_audio_match(static_cast<float>(found.match.audio_match));
    out.set_verdict(found.conflict ? "conflict" : "duplicate");
  }
  return facts;
}

ledger::ClipFinding sound_finding(const FoundSound& sound) {
  return {"music", "UNKNOWN", describe(sound.match, sound.of)};
}

ledger::Fact clearance_fact(const Digest& clip, const ledger::ClipFinding& finding,
                            std::string_view pictures) {
  ledger::Fact out;
  ledger::ClearanceRecord& record = *out.mutable_clearance();
  record.set_clip(raw(clip));
  record.set_reason(finding.reason);
  record.set_value(finding.value);
  record.set_origin(finding.origin);
  if (finding.reason == "face") record.set_pictures(std::string(pictures));
  return out;
}

ledger::Fact refusal_fact(std::string_view act, std::string_view path, const Digest& digest,
                          std::string_view rule, std::string_view fact) {
  ledger::Fact out;
  ledger::RefusalRecord& refusal = *out.mutable_refusal();
  refusal.set_act(std::string(act));
  refusal.set_subject(printable(path) + std::string(ledger::kDigestMark) + to_hex(digest));
  refusal.set_rule(std::string(rule));
  refusal.set_fact(std::string(first_bytes(printable(fact), kMostFact)));
  return out;
}

void sign_if_keyed(ledger::Store& store, const std::filesystem::path& key) {
  const auto path = key.empty() ? ledger::default_log_key_path(store.path()) : key;
  if (key.empty() && !std::filesystem::exists(path)) return;
  store.sign_head(ledger::read_signer_keys(path));
}

std::filesystem::path index_folder(const std::filesystem::path& ledger) {
  return only_name(ledger).string() + ".index";
}

DuplicateIndex read_index(const ledger::Store& store, Runs runs) {
  const auto folder = index_folder(store.path());
  std::vector<Footage> all;
  size_t without_looks = 0;
  ledger::Statement sources(store.db(), "SELECT digest, chromaprint, seq FROM source ORDER BY seq");
  ledger::Statement prints(store.db(),
                           "SELECT pts_us, pdq, quality FROM fingerprint WHERE source = ? "
                           "ORDER BY first_frame");
  while (sources.next()) {
    const auto digest = parse_digest(sources.text(0));
    CLEARED_CHECK(digest.has_value());
    Footage footage{.digest = *digest,
                    .pts_us = {},
                    .prints = {},
                    .sound = parse_chromaprint(sources.text(1)),
                    .kept = {},
                    .asked = {},
                    .squares = {}};
    prints.with(sources.integer(2));
    while (prints.next()) {
      const std::string pts = prints.text(0), pdq = prints.text(1), quality = prints.text(2);
      CLEARED_CHECK(pts.size() == 8 * quality.size() && pdq.size() == 32 * quality.size());
      for (size_t i = 0; i < quality.size(); ++i) {
        footage.pts_us.push_back(little_endian(std::string_view(pts).substr(8 * i, 8)));
        footage.prints.push_back(
            {.bits = pdq_at(pdq, i), .quality = static_cast<uint8_t>(quality[i])});
      }
    }
    without_looks += has_looks(folder, footage.digest) ? 0 : 1;
    all.push_back(std::move(footage));
  }
  if (without_looks > 0) {  // cropped and mirrored copies of them may be missed: say so
    log(Level::warn, "curate.index",
        {{"folder", folder.string()}, {"sources_without_looks", without_looks}});
  }
  DuplicateIndex index;
  for (const std::string& problem : index.load(std::move(all), folder, runs)) {
    log(Level::warn, "curate.index", {{"rebuilt", problem}});
  }
  return index;
}

}  // namespace cleared::curate
