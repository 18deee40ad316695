#include "curate/look.h"

#include <algorithm>
#include <optional>

#include "curate/config.pb.h"
#include "curate/dedup.h"
#include "curate/delivery.h"
#include "curate/facts.h"
#include "curate/mark_files.h"
#include "curate/measure_facts.h"
#include "curate/pdq.h"
#include "curate/protect.h"
#include "curate/shots.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/utf8.h"
#include "ledger/rights.h"
#include "ledger/store.h"

namespace cleared::curate {
namespace {

constexpr int kOtherKeyframe = 64;  // bits of 256, as find_shots()

uint64_t keyframe_shots(const Analysis& analysis) {
  uint64_t shots = 1;
  for (size_t i = 1; i < static_cast<size_t>(analysis.pts_us_size()); ++i) {
    shots += distance(pdq_at(analysis.pdq(), i - 1), pdq_at(analysis.pdq(), i)) >= kOtherKeyframe;
  }
  return shots;
}

// What the ledger says; empty when there is none.
class Asked {
 public:
  explicit Asked(const std::filesystem::path& ledger)
      : store_(ledger, ledger::Access::read),
        rights_(store_),
        index_(read_index(store_)),
        protected_(protected_works(store_)) {
    ledger::Statement sources(store_.db(), "SELECT path FROM source ORDER BY seq");
    while (sources.next()) names_.push_back(printable(sources.text(0)));
  }

  void judge(const DeliveredFile& file, const Digest& digest,
             const std::vector<ledger::Mark>& marks, LookReport& out) const {
    const ledger::Verdict verdict =
        rights_.judge_source(file.path, digest, ledger::Act{ledger::INGEST}, marks).verdict;
    out.judged = true;
    out.cleared = verdict.cleared;
    out.verdict = verdict.cleared ? verdict.fact : verdict.rule + ": " + verdict.fact;
  }

  void compare(const Analysis& analysis, LookReport& out) const {
    const std::vector<Fingerprint> prints = prints_of(analysis);
    const auto known = index_.pictures_alike(prints), works = protected_.pictures_alike(prints);
    for (size_t i = 0; i < known.size(); ++i) add(names_[i], false, known[i], out);
    for (size_t i = 0; i < works.size(); ++i) add(protected_.name(i), true, works[i], out);
    std::stable_sort(out.like.begin(), out.like.end(),
                     [](const Likeness& a, const Likeness& b) { return a.pictures > b.pictures; });
  }

 private:
  static void add(const std::string& name, bool is_protected, uint64_t pictures, LookReport& out) {
    if (pictures == 0) return;
    out.like.push_back({.name = name, .is_protected = is_protected, .pictures = pictures});
  }

  ledger::Store store_;
  ledger::Rights rights_;
  DuplicateIndex index_;
  ProtectedWorks protected_;
  std::vector<std::string> names_;
};

void describe_analysis(const Analysis& analysis, bool keyframes, LookReport& out) {
  out.container = analysis.container();
  out.video_codec = analysis.video_codec();
  out.audio_codec = analysis.audio_codec();
  out.width = analysis.width();
  out.height = analysis.height();
  out.pictures = static_cast<uint64_t>(analysis.pts_us_size());
  // Keyframes are too far apart for shots: bars are those of the whole.
  const std::vector<Shot> shots =
      keyframes ? std::vector<Shot>{{.first = 0, .end = out.pictures}} : find_shots(analysis);
  out.shots = keyframes ? keyframe_shots(analysis) : shots.size();
  // Of keyframes the time of a frame is not known, and the last stands for what follows it.
  const uint64_t last_us = analysis.pts_us(analysis.pts_us_size() - 1);
  const uint64_t seen_us = last_us + analysis.frame_us(), promised_us = analysis.promised_us();
  out.duration_us = keyframes && promised_us > last_us ? promised_us : seen_us;
  for (ledger::MeasureRecord& measure : measures_of({}, analysis, shots)) {
    measure.clear_source();
    if (measure.end_us() == seen_us) measure.set_end_us(out.duration_us);
    if (!keyframes || measure.kind() != "shot") out.measures.push_back(std::move(measure));
  }
  out.problem = analysis.problem();
}

}  // namespace

void look(const LookOptions& options, const Config& config,
          const std::function<void(const LookReport&)>& report) {
  const std::vector<DeliveredFile> files = list_delivery(options.delivery);
  const Folders folders;
  std::optional<Asked> asked;
  if (!options.ledger.empty()) asked.emplace(options.ledger);
  for (const DeliveredFile& file : files) {
    LookReport out;
    out.path = printable(file.path);
    try {
      if (!is_utf8(file.path)) throw Error(Errc::corrupt, "its name is not UTF-8: rename it");
      const OpenedSource opened = open_delivered(file, asked ? Hashed::yes : Hashed::no);
      out.size_bytes = opened.size_bytes;
      if (asked) {
        asked->judge(
            file, opened.digest,
            read_marks(file, options.delivery, opened.fd, config.limits(), options.worker, folders),
            out);
      }
      const Analysis analysis =
          analyse_in_worker(opened, config.limits(), options.worker, options.keyframes_every_us);
      describe_analysis(analysis, options.keyframes_every_us.has_value(), out);
      if (asked) asked->compare(analysis, out);
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;  // the machine, not the file
      out.problem = error.what();
    }
    report(out);
  }
}

}  // namespace cleared::curate
