#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <tuple>
#include <variant>

#include "curate/captions.h"
#include "curate/clips.h"
#include "curate/dedup.h"
#include "curate/facts.h"
#include "curate/findings.h"
#include "curate/look_files.h"
#include "curate/mark_files.h"
#include "curate/parallel.h"
#include "curate/pipeline.h"
#include "curate/protect.h"
#include "curate/worker.pb.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/utf8.h"
#include "ledger/coverage.h"
#include "ledger/projection.h"
#include "ledger/titles.h"

namespace cleared::curate {
namespace {

// What one worker thread finds out about a file, before the one writer looks at it.
struct Examined {
  JudgedSource source;
  std::vector<ledger::Mark> marks;  // in and beside the file
  bool known = false;               // its bytes were in the ledger at the start
  std::optional<MeasuredSource> measured;
  std::string problem, rule;  // why it was not measured
  bool failed_before = false;
};

// A source on record without looks.
struct Lost {
  size_t number = 0;  // of the source
  std::string path;
  bool deleted = false;  // its files, as is on record
};
using LostLooks = std::map<Digest, Lost>;

struct SourceLooksFile {
  Digest digest;
  std::string file;  // looks_file()
};

// The refusals of bytes that curate could not use, wherever they lie.
bool is_failure(std::string_view rule) {
  return rule == "unreadable" || rule == "unsupported" || rule == "no_video";
}

const char* rule_of(Errc code) {
  switch (code) {
    case Errc::not_found:
      return "no_video";
    case Errc::unsupported:
      return "unsupported";
    default:
      return "unreadable";
  }
}

class Ingest {
 public:
  Ingest(const IngestOptions& options, const Config& config)
      : options_(options),
        config_(config),
        files_(list_delivery(options.delivery, &summary_.not_looked_at)),
        captions_(options.delivery),
        store_(options.ledger, options.dry_run ? ledger::Access::read : ledger::Access::append),
        rights_(store_) {
    ledger::Statement sources(store_.db(), "SELECT digest FROM source");
    while (sources.next()) known_.insert(sources.text(0));
    ledger::Statement waiting(store_.db(),
                              "SELECT DISTINCT s.digest FROM conflicted_clip x JOIN clip c "
                              "ON c.seq = x.clip JOIN source s ON s.seq = c.source");
    while (waiting.next()) quarantined_.insert(waiting.text(0));
    read_refused();
    claims_ = ledger::claims_to_same_bytes(store_);
    std::set<std::string> paths;
    for (const DeliveredFile& file : files_) paths.insert(file.path);
    summary_.for_no_film = captions_.for_none_of(paths);
    if (!options.dry_run) cascades_ = read_cascades(options.worker.cascades);
  }

  IngestSummary run(const std::function<void(const FileReport&)>& report) {
    if (!options_.dry_run) make_lost_looks();
    keep_to_limit();
    const std::set<std::string> known_at_start = known_;
    in_order(
        files_.size(), options_.jobs, [&](size_t i) { return examine(files_[i], known_at_start); },
        [&](size_t i, Examined examined) {
          FileReport file = record(std::move(examined));
          file.index = i;
          file.total = files_.size();
          count(file);
          report(file);
        },
        [&] {  // nothing is recorded before all that refuses is known
          if (!options_.dry_run) open_indexes();
          if (!captions_.problem().empty()) report_caption_table(report);
        });
    if (options_.dry_run) return summary_;
    index_.save(index_folder(options_.ledger));
    if (!protected_->is_current()) open_works();
    sign_if_keyed(store_, options_.log_key);
    return summary_;
  }

 private:
  // What refusals say of bytes that are in no source: where they came, and why curate could not use
  // them.
  void read_refused() {
    ledger::each_file_refusal(store_, [&](const ledger::FileRefusal& refusal) {
      const std::string digest = to_hex(refusal.digest);
      if (!known_.contains(digest)) refused_at_[digest].insert(refusal.path);
      if (!is_failure(refusal.rule)) return;
      failed_[digest] = {refusal.rule, refusal.fact};
      failed_subjects_.insert(refusal.subject);
    });
  }

  void open_indexes() {
    open_works();
    index_ = read_index(store_, Runs::write);
  }

  // Whoever protects a work while this holds the ledger leaves its file in the folder.
  void open_works() {
    protected_ = std::make_unique<ProtectedWorks>(protected_works(store_));
    summary_.records += record_works(store_, *protected_);
  }

  // Of sources on record whose looks are gone, as far as they are delivered again and cleared
  // still: before anything new is compared with them.
  void make_lost_looks() {
    const auto folder = index_folder(options_.ledger);
    LostLooks lost;
    std::set<uint64_t> sizes;  // files of other sizes need not be read
    ledger::Statement sources(store_.db(),
                              "SELECT digest, size_bytes, path, EXISTS (SELECT 1 FROM deletion d "
                              "WHERE d.source = s.seq) FROM source s ORDER BY seq");
    for (size_t number = 0; sources.next(); ++number) {
      const auto digest = parse_digest(sources.text(0));
      CLEARED_CHECK(digest.has_value());
      if (has_looks(folder, *digest)) continue;
      lost.emplace(*digest, Lost{number, sources.text(2), sources.integer(3) != 0});
      sizes.insert(sources.unsigned_integer(1));
    }
    if (lost.empty()) return;
    std::vector<DeliveredFile> files = files_;
    std::erase_if(files, [&](const DeliveredFile& file) {
      std::error_code none;
      return !sizes.contains(std::filesystem::file_size(file.file, none));
    });
    in_order(
        files.size(), options_.jobs, [&](size_t i) { return looks_again(files[i], lost); },
        [&](size_t, const std::optional<SourceLooksFile>& looks) {
          if (!looks || !seen_again_.insert(to_hex(looks->digest)).second) return;
          LookIndex::forget(folder, lost.at(looks->digest).number);
          write_looks(folder, looks->digest, looks->file);
        });
    for (const auto& [digest, source] : lost) {
      const bool waits =
          !source.deleted && !seen_again_.contains(to_hex(digest)) &&
          rights_.judge_source(source.path, digest, ledger::Act{ledger::INGEST}).verdict.cleared;
      if (waits) lost_.insert(printable(source.path));
    }
  }

  // A mirrored or cropped copy of what has no looks would be taken for something new.
  void require_looks() const {
    if (lost_.empty()) return;
    throw Error(
        Errc::busy, index_folder(options_.ledger).string(), ": lacks the looks of ", *lost_.begin(),
        lost_.size() > 1 ? " and others" : "",
        ", and nothing new is compared without: ingest the delivery that has them again, or "
        "record with ledger deleted that they are gone");
  }

  // On any thread. Nothing for another file, and for one that cannot be used any more.
  std::optional<SourceLooksFile> looks_again(const DeliveredFile& file,
                                             const LostLooks& lost) const {
    try {
      const OpenedSource opened = open_delivered(file);
      if (!lost.contains(opened.digest)) return std::nullopt;
      if (!judge(file.path, opened.digest, {}).verdict.cleared) return std::nullopt;
      return SourceLooksFile{
          opened.digest,
          looks_file(opened.digest, analyse_in_worker(opened, config_.limits(), options_.worker))};
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;  // the machine, not the file
      return std::nullopt;
    }
  }

  // Files by whose path nothing is recorded, in order, as many as the limit says. Where nothing but
  // a sidecar was in the way, and is not now, nothing is recorded of the film.
  void keep_to_limit() {
    if (options_.limit == SIZE_MAX) return;
    std::set<std::string> paths, with_sidecar;
    ledger::Statement sources(store_.db(), "SELECT path FROM source");
    while (sources.next()) paths.insert(printable(sources.text(0)));
    ledger::each_file_refusal(store_, [&](const ledger::FileRefusal& refusal) {
      if (refusal.rule == "clearances") {
        with_sidecar.insert(refusal.path);
      } else if (!options_.retry_failed || !is_failure(refusal.rule)) {
        paths.insert(refusal.path);
      }
    });
    std::erase_if(files_, [&](const DeliveredFile& file) {
      const std::string path = printable(file.path);
      if (paths.contains(path)) return true;
      JudgedSource none;
      return with_sidecar.contains(path) && !options_.retry_failed &&
             !read_sidecar(file, none).empty();
    });
    if (files_.size() <= options_.limit) return;
    summary_.later = files_.size() - options_.limit;
    files_.resize(options_.limit);
  }

  // On any thread.
  Examined examine(const DeliveredFile& file, const std::set<std::string>& known) const {
    Examined out;
    out.source.path = file.path;
    try {
      const OpenedSource opened = open_delivered(file);
      out.source.digest = opened.digest;
      out.source.size_bytes = opened.size_bytes;
      out.source.rights = judge(file.path, opened.digest, {});
      out.known = known.contains(to_hex(opened.digest));
      // What is said beside a copy counts for its bytes, wherever they are taken in; of a file that
      // is not, nothing is parsed.
      const bool closed = !out.source.rights.verdict.cleared && !out.known;
      const std::string unclear = read_sidecar(file, out.source);
      out.marks = read_marks(file, options_.delivery, opened.fd, config_.limits(), options_.worker,
                             folders_, closed ? LookFor::beside_alone : LookFor::all);
      if (!out.marks.empty()) out.source.rights = judge(file.path, opened.digest, out.marks);
      if (!out.source.rights.verdict.cleared) return out;
      if (!is_utf8(file.path)) {
        out.rule = "name";
        out.problem = "its name is not UTF-8: rename it";
      } else if (!unclear.empty()) {
        out.rule = "clearances";
        out.problem = unclear;
      }
      if (out.known || !out.problem.empty()) return out;
      const auto before = failed_.find(to_hex(opened.digest));
      if (before != failed_.end() && !options_.retry_failed) {
        std::tie(out.rule, out.problem) = before->second;
        out.failed_before = true;
        return out;
      }
      if (options_.dry_run) return out;
      out.source.caption = captions_.of(file);
      out.measured = measure_source(
          out.source, analyse_in_worker(opened, config_.limits(), options_.worker, {}, &cascades_),
          config_);
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;  // the machine, not the file
      out.rule = rule_of(error.code());
      out.problem = error.what();
    } catch (const std::system_error&) {
      throw;
    } catch (const std::exception& error) {  // of a library: one file stops no delivery
      out.rule = "unreadable";
      out.problem = error.what();
    }
    return out;
  }

  ledger::SourceVerdict judge(const std::string& path, const Digest& digest,
                              const std::vector<ledger::Mark>& marks) const {
    const std::lock_guard lock(rights_mutex_);
    return rights_.judge_source(path, digest, ledger::Act{ledger::INGEST}, marks);
  }

  // Why nobody can tell what is said of the people in it; mostly empty. Once the sidecar is mended
  // the file is tried again; what is on record already waits for a person.
  std::string read_sidecar(const DeliveredFile& file, JudgedSource& out) const {
    try {
      out.clearances = read_clearances(file, folders_);
      return "";
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;
      out.clearances = {unknown_clearances()};
      return error.what();
    }
  }

  FileReport record(Examined examined) {
    JudgedSource& source = examined.source;
    // First of all, whatever becomes of the file: every later decision sees them.
    std::vector<ledger::Fact> marks;
    for (const ledger::Mark& mark : examined.marks) {
      marks.push_back(mark_fact(source.digest, mark));
    }
    const std::string digest = to_hex(source.digest);
    if (!marks.empty()) append(marks);
    // It was judged on its thread, maybe before what lies beside another copy was known.
    std::vector<ledger::Mark>& all = marks_[digest];
    all.insert(all.end(), examined.marks.begin(), examined.marks.end());
    if (source.rights.verdict.cleared && all.size() > examined.marks.size()) {
      source.rights = judge(source.path, source.digest, all);
    }
    FileReport file;
    file.path = printable(source.path);
    std::vector<SaidClearances>& said = said_[digest];
    said.insert(said.end(), source.clearances.begin(), source.clearances.end());
    const bool known = known_.contains(digest);
    if (known) append(said_again(source.clearances, digest));
    const ledger::Verdict& verdict = source.rights.verdict;
    if (examined.failed_before) {
      // By each path that has the bytes, once: what has no record is what --limit takes next.
      const ledger::Fact again =
          refusal_fact("curate", source.path, source.digest, examined.rule, examined.problem);
      if (failed_subjects_.insert(again.refusal().subject()).second) append({again});
      file.outcome = Outcome::failed;
      file.detail =
          examined.rule + ": " + examined.problem + " (as before; --retry failed tries it again)";
    } else if (!examined.problem.empty()) {
      append({refusal_fact("curate", source.path, source.digest, examined.rule, examined.problem)});
      file.outcome = Outcome::failed;
      file.detail = examined.rule + ": " + examined.problem;
    } else if (!verdict.cleared) {
      append(
          {refusal_fact("ingest", source.path, source.digest, verdict.rule, verdict.recorded())});
      file.outcome = Outcome::refused;
      file.detail = verdict.rule + ": " + verdict.fact;
    } else if (known) {
      record_again(source, file);
    } else if (options_.dry_run) {
      file.outcome = Outcome::cleared;
      file.detail = claim_of(source.rights);
    } else {
      CLEARED_CHECK(examined.measured.has_value());
      record_new(source, std::move(*examined.measured), file);
    }
    // By a path of no licence nobody claims anything; who claims one of two licensors is one.
    const bool is_claim =
        known && !source.rights.licensor.empty() && verdict.rule != "title_conflict";
    if (is_claim && claimed_by_others(source, digest)) record_claim(source, file);
    if (!known_.contains(digest)) refused_at_[digest].insert(file.path);
    return file;
  }

  // The very same bytes: nothing new to say, but by which path they came, too.
  void record_again(const JudgedSource& source, FileReport& file) {
    const std::string digest = to_hex(source.digest);
    file.outcome = Outcome::already;
    ledger::Statement row(store_.db(), "SELECT path FROM source WHERE seq = ?");
    CLEARED_CHECK(row.with(source_record(digest)).next());
    const std::string path = row.text(0);
    file.detail = path == source.path ? "its bytes are in the ledger"
                                      : "its bytes are in the ledger as " + printable(path);
    if (quarantined_.contains(digest)) {
      file.outcome = Outcome::conflict;
      file.detail += "; two licensors claim it, both sides are quarantined: curate duplicates";
    }
    file.detail += other_length(digest);
    if (seen_again_.contains(digest)) file.detail += "; its looks were lost and are made again";
    if (!claimed_by_others(source, digest)) note_other_licences(source, path, file);
  }

  // Of a source on record whose clips a config of other lengths made: no shard of this one's has
  // them.
  std::string other_length(const std::string& digest) const {
    ledger::Statement clips(store_.db(),
                            "SELECT DISTINCT end_us - start_us FROM source_clip WHERE source = ?");
    for (clips.with(source_record(digest)); clips.next();) {
      if (has_length(config_.clips(), clips.unsigned_integer(0))) continue;
      char text[120];
      std::snprintf(
          text, sizeof text,
          ", in clips of %.2f s, which is no length of this config: they stay as they are",
          double(clips.integer(0)) / 1e6);
      return text;
    }
    return "";
  }

  // Another licensor delivers the bytes of a source, be it in a file that cannot be used there:
  // whose they are a review decides, once for each path.
  void record_claim(const JudgedSource& source, FileReport& file) {
    const std::string digest = to_hex(source.digest);
    ledger::Statement row(store_.db(), "SELECT path, duration_us FROM source WHERE seq = ?");
    CLEARED_CHECK(row.with(source_record(digest)).next());
    const ledger::SourceVerdict recorded = recorded_rights(digest);
    std::string said = two_claims(source.rights, recorded, row.text(0));
    const auto known = claims_.find(file.path + std::string(ledger::kDigestMark) + digest);
    const uint64_t review = known == claims_.end() ? 0 : review_of(known->second);
    if (known == claims_.end()) {
      append(claim_facts(source.digest, file.path, row.unsigned_integer(1), said));
    }
    said += review == 0
                ? kQuarantined
                : "; record " + std::to_string(review) + " decided for " + recorded.licensor;
    if (file.outcome != Outcome::already && file.outcome != Outcome::conflict) {
      file.detail += "; " + said;
      return;
    }
    if (review == 0) file.outcome = Outcome::conflict;
    file.detail = said;
  }

  // Of bytes that another licensor delivered before, and that were not taken in there.
  void add_earlier_claims(const JudgedSource& source, const ledger::SourceRecord& recorded,
                          std::vector<ledger::Fact>& facts, FileReport& file) {
    for (const std::string& path : refused_at_[to_hex(source.digest)]) {
      const ledger::SourceVerdict rights = judge(path, source.digest, {});
      if (rights.licensor.empty() || rights.licensor == source.rights.licensor) continue;
      const std::string said =
          two_claims(rights, source.rights, source.path) + ", by the path " + path;
      const auto claim = claim_facts(source.digest, path, recorded.duration_us(), said);
      facts.insert(facts.end(), claim.begin(), claim.end());
      file.outcome = Outcome::conflict;
      file.detail += "; " + said + kQuarantined;
    }
  }

  // The claim, and behind it the refusal that names the path: ledger::claims_to_same_bytes().
  std::vector<ledger::Fact> claim_facts(const Digest& digest, const std::string& path,
                                        uint64_t duration_us, const std::string& said) {
    ledger::Fact claim;
    ledger::DuplicateRecord& twice = *claim.mutable_duplicate();
    twice.set_source(std::string(digest.text()));
    twice.set_of(std::string(digest.text()));
    twice.set_end_us(duration_us);
    twice.set_of_end_us(duration_us);
    twice.set_audio_match(-1);
    twice.set_verdict("conflict");
    twice.set_path(path);
    const ledger::Fact refusal = refusal_fact("curate", path, digest, "conflict", said);
    claims_.emplace(refusal.refusal().subject(), store_.size());
    return {claim, refusal};
  }

  static constexpr const char* kQuarantined = "; both are quarantined";
  static std::string two_claims(const ledger::SourceVerdict& rights,
                                const ledger::SourceVerdict& recorded, const std::string& path) {
    return "two licensors deliver the same bytes: " + claim_of(rights) + " here, " +
           claim_of(recorded) + " as " + printable(path);
  }

  // The review that released the clips of a source from this claim; 0: they wait.
  uint64_t review_of(uint64_t claim) const {
    ledger::Statement row(store_.db(),
                          "SELECT MIN(released), MAX(review) FROM title_claim WHERE duplicate = ?");
    return row.with(claim).next() && row.integer(0) != 0 ? row.unsigned_integer(1) : 0;
  }

  // The bytes are held to the licences of every path that they came by, those that are signed
  // later, too: this refusal is what Rights knows the path by.
  void note_other_licences(const JudgedSource& source, const std::string& path, FileReport& file) {
    if (source.path == path) return;
    const auto first = [&] {
      const std::lock_guard lock(rights_mutex_);
      return rights_.licences_at(path, source.digest);
    }();
    std::string others;
    for (const std::string& ref : source.rights.licences) {
      if (std::find(first.begin(), first.end(), ref) == first.end())
        others += (others.empty() ? "" : ", ") + ref;
    }
    if (others.empty()) {
      return append({refusal_fact("curate", source.path, source.digest, "other_path",
                                  "its bytes are in the ledger as " + printable(path))});
    }
    const std::string fact = "its bytes are in the ledger as " + printable(path) +
                             ", and here they are under " + others +
                             ", too: they may be used where all agree";
    append({refusal_fact("curate", source.path, source.digest, "other_licence", fact)});
    file.outcome = Outcome::refused;
    file.detail = "other_licence: " + fact;
  }

  // What sidecars say of the clips of a source that is recorded: one may have come later, or lie
  // beside another copy.
  std::vector<ledger::Fact> said_again(const std::vector<SaidClearances>& said,
                                       const std::string& digest) const {
    std::vector<ledger::Fact> facts;
    if (said.empty()) return facts;
    ledger::Statement clips(store_.db(),
                            "SELECT c.id, v.start_us, v.end_us FROM source_clip v "
                            "JOIN clip c ON c.seq = v.clip WHERE v.source = ? ORDER BY c.seq");
    for (clips.with(source_record(digest)); clips.next();) {
      const auto id = parse_digest(clips.text(0));
      CLEARED_CHECK(id.has_value());
      for (const auto& finding :
           findings_of(said, clips.unsigned_integer(1), clips.unsigned_integer(2))) {
        facts.push_back(clearance_fact(*id, finding, ""));
      }
    }
    return facts;
  }

  void record_new(const JudgedSource& source, MeasuredSource measured, FileReport& file) {
    require_looks();
    Footage& footage = measured.footage;
    if (!protected_->is_current()) open_works();
    const auto works = protected_->find(footage, config_.duplicates());
    if (!works.empty() && !works.front().match.sound_alone()) {
      file.outcome = Outcome::refused;
      file.detail = "protected: " + describe(works.front().match, works.front().name);
      return append({refusal_fact("curate", source.path, source.digest, "protected",
                                  describe(works.front().match, works.front().name))});
    }
    std::vector<FoundMatch> matches;
    std::vector<FoundSound> sounds;
    std::vector<ledger::Fact> of_others;  // a sound is asked about on both sides
    for (const ProtectedMatch& one : works) {
      sounds.push_back({one.match, "the protected work " + one.name});
    }
    find_known(source, footage, matches, sounds, of_others);
    const auto facts = source_facts(measured, matches, sounds);
    const std::string summary = summary_of(source, measured, matches, facts);
    // What lies beside the ledger comes first: a source on record is not measured again.
    write_looks(index_folder(options_.ledger), source.digest, measured.looks);
    write_pictures(source.digest, measured.pictures);
    std::vector<ledger::Fact> all = facts;
    all.insert(all.end(), of_others.begin(), of_others.end());
    if (facts.front().source().status() == "conflict") {
      all.push_back(refusal_fact("curate", source.path, source.digest, "conflict",
                                 copies_text(source, matches).substr(2)));
    }
    FileReport claimed;
    add_earlier_claims(source, facts.front().source(), all, claimed);
    append(all);
    append(said_again(said_.at(to_hex(source.digest)), to_hex(source.digest)));
    if (!source.caption.problem.empty()) {
      append(
          {refusal_fact("curate", source.path, source.digest, "caption", source.caption.problem)});
    }
    known_.insert(to_hex(source.digest));
    index_.add(std::move(footage));

    for (const ledger::Fact& fact : facts) {
      file.clips += fact.has_clip();
      file.kept_clips += fact.has_clip() && fact.clip().verdict() == "kept";
    }
    const ledger::SourceRecord& recorded = facts.front().source();
    file.frames = recorded.frames();
    file.duration_us = recorded.duration_us();
    file.notes = measured.notes;
    file.outcome = recorded.status() == "kept"        ? Outcome::kept
                   : recorded.status() == "duplicate" ? Outcome::duplicate
                                                      : Outcome::conflict;
    if (file.outcome != Outcome::kept) file.kept_clips = 0;
    file.detail = summary;
    for (const FoundSound& sound : sounds) file.detail += "; " + describe(sound.match, sound.of);
    if (!of_others.empty()) {
      file.detail += "; of what was there before, " + waiting_text(of_others.size());
    }
    if (file.clips == 0) file.detail += no_clip();
    if (claimed.outcome != Outcome::conflict) return;
    file.outcome = Outcome::conflict;
    file.kept_clips = 0;
    file.detail += claimed.detail;
  }

  // The config's rules are for the licensor's own footage; where others claim it, they are no
  // looser than the defaults. Where only the sound is the same: of the licensor's own it is no
  // question.
  void find_known(const JudgedSource& source, const Footage& footage,
                  std::vector<FoundMatch>& matches, std::vector<FoundSound>& sounds,
                  std::vector<ledger::Fact>& of_others) const {
    const Duplicates& own = config_.duplicates();
    const Duplicates strict = no_looser(own);
    for (const Match& match : index_.find(footage, strict)) {
      const Digest& of = index_.footage(match.of).digest;
      const bool conflict = claimed_by_others(source, to_hex(of));
      ledger::Statement row(store_.db(), "SELECT path, duration_us FROM source WHERE seq = ?");
      CLEARED_CHECK(row.with(source_record(to_hex(of))).next());
      if (!match.sound_alone()) {
        matches.push_back({match, of, row.text(0), conflict, row.unsigned_integer(1)});
      } else if (conflict) {
        sounds.push_back(
            {match, printable(row.text(0)) + ", " + claim_of(recorded_rights(to_hex(of)))});
        ask_of_recorded(of,
                        {match.reversed(), printable(source.path) + ", " + claim_of(source.rights)},
                        of_others);
      }
    }
    if (strict.SerializeAsString() == own.SerializeAsString()) return;
    std::set<size_t> by_own;
    for (const Match& match : index_.find(footage, own)) {
      if (!match.sound_alone()) by_own.insert(match.of);
    }
    std::erase_if(matches, [&](const FoundMatch& found) {
      return !found.conflict && !by_own.contains(found.match.of);
    });
  }

  // Of the clips of a source that was there before: their sound is that of a later one.
  void ask_of_recorded(const Digest& source, const FoundSound& sound,
                       std::vector<ledger::Fact>& facts) const {
    ledger::Statement clips(
        store_.db(),
        "SELECT c.id FROM source_clip v JOIN clip c ON c.seq = v.clip "
        "WHERE v.source = ? AND v.start_us < ? AND ? < v.end_us ORDER BY c.seq");
    clips.with(source_record(to_hex(source)), sound.match.end_us, sound.match.start_us);
    while (clips.next()) {
      const auto id = parse_digest(clips.text(0));
      CLEARED_CHECK(id.has_value());
      facts.push_back(clearance_fact(*id, sound_finding(sound), ""));
    }
  }

  void write_pictures(const Digest& digest, const std::string& pictures) const {
    if (pictures.empty()) return;
    make_folders(index_folder(options_.ledger));
    write_file(index_folder(options_.ledger) / (to_hex(digest) + ".pictures"), pictures);
  }

  // "; the same footage as a.mp4", and whose else it is. Of each kind the longest stretch is named;
  // the ledger and the report have them all. A record has an end, and who delivers a film in a
  // hundred files names them as he likes.
  std::string copies_text(const JudgedSource& source,
                          const std::vector<FoundMatch>& matches) const {
    std::string text;
    const auto say = [&](bool conflict, size_t most, const std::string& begin) {
      std::set<Digest> others;
      for (const FoundMatch& found : matches) {
        if (found.conflict != conflict || !others.insert(found.of).second) continue;
        if (others.size() > most) continue;
        text += begin;
        if (conflict) text += claim_of(recorded_rights(to_hex(found.of))) + " for ";
        text += printable(found.of_path);
      }
      if (others.size() > most) text += " and " + std::to_string(others.size() - most) + " more";
    };
    say(true, 3, "; two licensors claim it: " + claim_of(source.rights) + " here, ");
    say(false, 1, "; the same footage as ");
    return text;
  }

  std::string summary_of(const JudgedSource& source, const MeasuredSource& measured,
                         const std::vector<FoundMatch>& matches,
                         const std::vector<ledger::Fact>& facts) const {
    const ledger::SourceRecord& recorded = facts.front().source();
    std::string text =
        std::to_string(recorded.shots()) + (recorded.shots() == 1 ? " shot" : " shots");
    text += copies_text(source, matches);
    text += left_out_of(facts);
    text += waiting_of(source, facts);
    if (!measured.notes.empty()) text += "; " + measured.notes;
    if (!measured.problem.empty()) text += "; " + measured.problem;
    if (!source.caption.problem.empty()) text += "; " + source.caption.problem;
    return text;
  }

  // Why clips of a source that is kept are not, where it is not what the source is.
  static std::string left_out_of(const std::vector<ledger::Fact>& facts) {
    std::map<std::string, size_t> clips;
    for (const ledger::Fact& fact : facts) {
      const bool out = fact.has_clip() && fact.clip().verdict() != "kept" &&
                       fact.clip().verdict() != facts.front().source().status();
      if (out) ++clips[fact.clip().verdict()];
    }
    std::string text;
    for (const auto& [verdict, count] : clips) {
      text += (text.empty() ? "; left out: " : ", ") + std::to_string(count) + " " + verdict;
    }
    return text;
  }

  // Words that are left out are on record, like footage that is. Nothing hangs on the bytes of a
  // table, so there is no digest of them.
  void report_caption_table(const std::function<void(const FileReport&)>& report) {
    ledger::Fact refusal;
    refusal.mutable_refusal()->set_act("curate");
    refusal.mutable_refusal()->set_subject(kCaptionTable);
    refusal.mutable_refusal()->set_rule("caption");
    refusal.mutable_refusal()->set_fact(captions_.problem());
    append({refusal});
    FileReport file;
    file.path = kCaptionTable;
    file.outcome = Outcome::failed;
    file.detail = captions_.problem();
    file.total = files_.size();
    count(file);
    report(file);
  }

  // Of its clips, those that a person has to look at before they may be used.
  std::string waiting_of(const JudgedSource& source, const std::vector<ledger::Fact>& facts) const {
    std::map<std::string, std::vector<ledger::ClipFinding>> findings;
    for (const ledger::Fact& fact : facts) {
      if (!fact.has_clearance()) continue;
      const ledger::ClearanceRecord& c = fact.clearance();
      findings[c.clip()].push_back({c.reason(), c.value(), c.origin()});
    }
    size_t waiting = 0;
    for (const auto& [clip, found] : findings) {
      const std::lock_guard lock(rights_mutex_);
      waiting +=
          !rights_.judge_source(source.path, source.digest, ledger::Act{ledger::INGEST}, {}, found)
               .verdict.cleared;
    }
    return waiting == 0 ? "" : "; " + waiting_text(waiting);
  }

  static std::string waiting_text(size_t clips) {
    return std::to_string(clips) + (clips == 1 ? " clip waits" : " clips wait") +
           " for a person: ledger review";
  }

  // Too short for a clip: say so where no clip is counted.
  std::string no_clip() const {
    char text[80];
    std::snprintf(text, sizeof text, "; no shot lasts the %.2f s of a clip without a gap",
                  double(config_.clips().frames()) / config_.clips().fps());
    return text;
  }

  uint64_t source_record(const std::string& digest) const {
    const auto raw = parse_digest(digest);
    CLEARED_CHECK(raw.has_value());
    const auto found = store_.find(ledger::subject_key_of("source", raw->text()));
    CLEARED_CHECK(!found.empty());
    return found.front();
  }
  // "LICENSOR under LICENCE, LICENCE", for people.
  static std::string claim_of(const ledger::SourceVerdict& rights) {
    std::string text = rights.licensor + " under";
    for (const std::string& ref : rights.licences) {
      text += (&ref == &rights.licences.front() ? " " : ", ") + ref;
    }
    return text;
  }
  // Of a recorded source: its licensor and licences.
  ledger::SourceVerdict recorded_rights(const std::string& digest) const {
    ledger::SourceVerdict rights{};
    ledger::Statement row(store_.db(),
                          "SELECT l.licensor, l.ref FROM source_licence s JOIN licence l "
                          "ON l.seq = s.licence WHERE s.seq = ? ORDER BY l.ref");
    for (row.with(source_record(digest)); row.next();) {
      if (rights.licences.empty()) rights.licensor = row.text(0);
      rights.licences.push_back(row.text(1));
    }
    return rights;
  }
  bool claimed_by_others(const JudgedSource& source, const std::string& earlier) const {
    return recorded_rights(earlier).licensor != source.rights.licensor;
  }

  void append(const std::vector<ledger::Fact>& facts) {
    if (!options_.dry_run) summary_.records += store_.append(facts).added;
  }

  void count(const FileReport& file) {
    ++summary_.files;
    summary_.kept += file.outcome == Outcome::kept;
    summary_.already += file.outcome == Outcome::already;
    summary_.duplicate += file.outcome == Outcome::duplicate;
    summary_.conflict += file.outcome == Outcome::conflict;
    summary_.refused += file.outcome == Outcome::refused;
    summary_.failed += file.outcome == Outcome::failed;
    summary_.cleared += file.outcome == Outcome::cleared;
    summary_.frames += file.frames;
    summary_.kept_clips += file.kept_clips;
  }

  const IngestOptions& options_;
  const Config& config_;
  IngestSummary summary_;
  std::vector<DeliveredFile> files_;
  const Captions captions_;
  const Folders folders_;
  ledger::Store store_;
  mutable std::mutex rights_mutex_;
  ledger::Rights rights_;
  std::set<std::string> known_;                              // digests of recorded sources, hex
  std::set<std::string> quarantined_;                        // of these, at the start of the run
  std::map<std::string, std::vector<SaidClearances>> said_;  // beside any copy, by digest
  std::map<std::string, std::vector<ledger::Mark>> marks_;   // in this run, by digest
  std::set<std::string> seen_again_;                         // those whose looks were made again
  std::set<std::string> lost_;  // paths of those whose looks have to be made again
  std::map<std::string, std::pair<std::string, std::string>> failed_;  // by digest: rule, fact
  std::set<std::string> failed_subjects_;  // path and digest, as refusals have them
  std::map<std::string, std::set<std::string>> refused_at_;  // by digest of no source: paths
  std::map<std::string, uint64_t> claims_;                   // claims_to_same_bytes()
  FaceCascades cascades_;
  DuplicateIndex index_;
  std::unique_ptr<ProtectedWorks> protected_;
};

}  // namespace

IngestSummary ingest(const IngestOptions& options, const Config& config,
                     const std::function<void(const FileReport&)>& report) {
  return Ingest(options, config).run(report);
}

const char* outcome_name(Outcome outcome) {
  switch (outcome) {
    case Outcome::kept:
      return "kept";
    case Outcome::already:
      return "already";
    case Outcome::duplicate:
      return "duplicate";
    case Outcome::conflict:
      return "conflict";
    case Outcome::refused:
      return "refused";
    case Outcome::failed:
      return "failed";
    case Outcome::cleared:
      return "cleared";
  }
  return "";
}

}  // namespace cleared::curate
