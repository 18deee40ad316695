#include "ledger/rights.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <tuple>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/parallel.h"
#include "ledger/coverage.h"
#include "ledger/digest.h"
#include "ledger/extraction.h"
#include "ledger/licence.h"
#include "ledger/line.h"
#include "ledger/projection.h"
#include "ledger/retention.h"
#include "ledger/schema.h"
#include "ledger/similarity.h"
#include "ledger/titles.h"
#include "ledger/verify.h"

namespace cleared::ledger {

Rights::Rights(const Store& store, std::string_view day)
    : day_(std::max(date_of(judging_time_us(store)), std::string(day))) {
  const VerifyReport report = verify_ledger(store.path(), {});
  if (!report.findings.empty()) {
    throw Error(Errc::corrupt, store.path().string(), ": ", report.findings[0].where, ": ",
                report.findings[0].what, "; run ledger verify");
  }
  Statement select(
      store.db(),
      "SELECT l.ref, l.id, d.note, (SELECT r.reason || ', at ' || r.at FROM revocation r "
      "WHERE r.licence = l.id LIMIT 1) FROM licence l "
      "LEFT JOIN document d ON d.digest = l.document_digest "
      "WHERE NOT EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND n.version > l.version) "
      "ORDER BY l.ref");
  while (select.next()) {
    Entry entry;
    entry.ref = select.text(0);
    entry.revoked = select.text(3);
    entry.readable = select.type(2) != ValueType::null;
    if (entry.readable) {
      entry.terms = parse_licence(parse_note(select.text(2)).text, "licence " + entry.ref,
                                  LicenceAge::recorded);
    }
    licences_.push_back(std::move(entry));
  }
  lacks_documents_ = store.db().integer(
                         "SELECT EXISTS (SELECT 1 FROM licence n WHERE n.document_digest NOT IN "
                         "(SELECT digest FROM document))") != 0;
  read_findings(store);
  read_paths(store);
  read_copies(store);
  Statement marks(store.db(), "SELECT source, name, says, value, place FROM mark ORDER BY seq");
  while (marks.next()) {
    marks_[marks.text(0)].push_back({marks.text(1),
                                     parse_says(marks.text(2)).value_or(MarkSays::unclear),
                                     marks.text(3), marks.text(4)});
  }
}

// A review is about what was on record before it, and when it was decided, to the second: what is
// found later waits again. Of several the one decided last counts.
void Rights::read_findings(const Store& store) {
  Statement select(store.db(),
                   "SELECT c.id, f.reason, f.value, f.origin, COALESCE((SELECT "
                   "instr(', ' || r.released || ',', ', ' || f.reason || ',') > 0 FROM" +
                       deciding_review("f.clip", "f.seq", "f.reason") +
                       "), 0) FROM clearance f JOIN clip c ON c.seq = f.clip ORDER BY f.seq");
  while (select.next()) {
    findings_[select.text(0)].push_back({select.text(1), select.text(2), select.text(3),
                                         is_releasable(select.text(1)) && select.integer(4) != 0});
  }
}

void Rights::read_paths(const Store& store) {
  each_other_path(store, [&](const OtherPath& other) {
    Paths& paths = paths_[other.digest];
    paths.of_source = other.of_source;
    paths.others.push_back({other.path, other.is_claim});
  });
}

void Rights::read_copies(const Store& store) {
  Statement select(
      store.db(),
      "SELECT a.digest, n.start_us, n.end_us, b.seq, b.path, b.digest FROM near_copy n "
      "JOIN source a ON a.seq = n.of JOIN source b ON b.seq = n.source");
  while (select.next()) {
    const uint64_t seq = select.unsigned_integer(3);
    const NearCopy copy{seq, select.text(4), parse_digest(select.view(5)).value_or(Digest{})};
    copied_[parse_digest(select.view(0)).value_or(Digest{})].push_back(
        {select.unsigned_integer(1), select.unsigned_integer(2),
         &copies_.try_emplace(seq, copy).first->second});
  }
}

std::vector<const NearCopy*> Rights::copies_of(const Digest& source, uint64_t start_us,
                                               uint64_t end_us) const {
  std::vector<const NearCopy*> out;
  if (copied_.empty()) return out;
  const auto found = copied_.find(source);
  if (found == copied_.end()) return out;
  for (const CopiedSpan& span : found->second) {
    if (start_us < span.end_us && span.start_us < end_us) out.push_back(span.copy);
  }
  std::sort(out.begin(), out.end(), [](const auto* a, const auto* b) { return a->seq < b->seq; });
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

RefusedFile refused_file(const std::string& subject) {
  const size_t at = subject.rfind(kDigestMark);
  if (at == std::string::npos) return {subject, ""};
  const std::string digest = subject.substr(at + kDigestMark.size());
  if (!parse_digest(digest)) return {subject, ""};
  return {subject.substr(0, at), digest};
}

std::span<const ClipFinding> Rights::findings_of(std::string_view id) const {
  const auto found = findings_.find(id);
  return found == findings_.end() ? std::span<const ClipFinding>() : found->second;
}

const std::string& Rights::licensor_at(std::string_view path, const Digest& digest) const {
  static const std::string kNobody;
  const auto first = std::find_if(licences_.begin(), licences_.end(), [&](const Entry& entry) {
    return entry.readable && covers(entry.terms, path, digest);
  });
  return first == licences_.end() ? kNobody : first->terms.licence().licensor();
}

std::vector<std::string> Rights::licences_at(std::string_view path, const Digest& digest) const {
  std::vector<std::string> out;
  for (const Entry& entry : licences_) {
    if (entry.readable && covers(entry.terms, path, digest)) out.push_back(entry.ref);
  }
  return out;
}

SourceVerdict Rights::judge_source(std::string_view path, const Digest& digest, const Act& act,
                                   std::span<const Mark> marks,
                                   std::span<const ClipFinding> findings,
                                   std::span<const NearCopy* const> copies) const {
  if (!copies.empty()) {  // they can only object to what may be used without them
    SourceVerdict alone = judge_source(path, digest, act, marks, findings);
    if (!alone.verdict.cleared) return alone;
  }
  SourceVerdict out;
  std::vector<CoveringLicence> covering;
  struct Place {
    std::string_view path;
    const Digest* digest;
    bool is_claim = false;
  };
  std::vector<Place> places{{path, &digest}};
  std::string_view other_path;
  const std::string* licensor = nullptr;  // of its own path; asked where it has others
  const auto add_other_paths = [&](std::string_view of, const Digest& bytes) {
    const auto* others = other_paths(of, bytes);
    if (others == nullptr) return;
    if (licensor == nullptr) licensor = &licensor_at(path, digest);
    for (const auto& [other, is_claim] : *others) {
      places.push_back({other, &bytes, is_claim});
      if (!is_claim) other_path = other;
    }
  };
  add_other_paths(path, digest);
  for (const NearCopy* copy : copies) {
    places.push_back({copy->path, &copy->digest});
    add_other_paths(copy->path, copy->digest);
  }
  for (const Entry& entry : licences_) {
    const bool covered =
        entry.readable && std::any_of(places.begin(), places.end(), [&](const Place& at) {
          if (at.is_claim && entry.terms.licence().licensor() != *licensor) return false;
          return covers(entry.terms, at.path, *at.digest);
        });
    if (!covered) continue;
    out.licences.push_back(entry.ref);
    if (out.licensor.empty()) out.licensor = entry.terms.licence().licensor();
    covering.push_back({&entry.terms, entry.revoked});
  }
  std::vector<Mark> all(marks.begin(), marks.end());
  const auto add_recorded_marks = [&](const Digest& bytes) {
    if (marks_.empty()) return;
    const auto recorded = marks_.find(to_hex(bytes));
    if (recorded == marks_.end()) return;
    all.insert(all.end(), recorded->second.begin(), recorded->second.end());
  };
  add_recorded_marks(digest);
  for (const NearCopy* copy : copies) add_recorded_marks(copy->digest);
  out.verdict = judge_covering(covering, act, day_, {all, findings});
  if (!copies.empty() && !out.verdict.cleared) {
    out.verdict = no_about(copies.front()->path + " shows the same: ", out.verdict);
  }
  if (other_path.empty() || !out.verdict.cleared) return out;
  const auto erased = std::find_if(licences_.begin(), licences_.end(),
                                   [](const Entry& entry) { return !entry.readable; });
  if (erased != licences_.end()) {
    out.verdict = no("no_licence", "the document of licence " + erased->ref +
                                       " is no longer kept, and it may cover the same bytes as " +
                                       std::string(other_path));
  }
  return out;
}

// Others can only add objections: a path that somebody noted for bytes cannot give them a licence
// that they have not where they lie.
const std::vector<Rights::Paths::Other>* Rights::other_paths(std::string_view path,
                                                             const Digest& digest) const {
  if (paths_.empty()) return nullptr;
  const auto known = paths_.find(digest);
  if (known == paths_.end() || known->second.of_source != path) return nullptr;
  return licensor_at(path, digest).empty() ? nullptr : &known->second.others;
}

const LicenceText* Rights::terms_of(std::string_view ref) const {
  for (const Entry& entry : licences_) {
    if (entry.ref == ref && entry.readable) return &entry.terms;
  }
  return nullptr;
}

Manifest recorded_samples(const Store& store, uint64_t shard) {
  Manifest manifest;
  Statement select(store.db(),
                   "SELECT p.key, p.digest, c.id, p.duration_us, p.size_bytes FROM sample p "
                   "JOIN clip c ON c.seq = p.clip WHERE p.shard = ? ORDER BY p.position");
  select.with(shard);
  while (select.next()) {
    manifest.samples.push_back({select.text(0), 0, select.unsigned_integer(4),
                                parse_digest(select.text(1)).value_or(Digest{}),
                                parse_digest(select.text(2)).value_or(Digest{}),
                                select.unsigned_integer(3)});
  }
  return manifest;
}

namespace {

// A licence whose document was erased can say nothing, and so clears nothing that is or may be
// under it: else erasing the strictest of several would lift its terms. Of a source that came while
// the document was there the record says so. Of one that came before the licence, or after the
// erasure, only the document could; in the latter case footage of another licensor is left alone,
// or one erasure would stop all that is ever delivered (docs/not-proven.md).
class ErasedLicences {
 public:
  ErasedLicences(const Store& store, const Rights& rights)
      : under_(store.db(),
               "SELECT 1 FROM source_licence sl JOIN licence l ON l.seq = sl.licence "
               "WHERE sl.seq = ? AND l.id = ?") {
    if (!rights.lacks_documents()) return;
    Statement select(
        store.db(),
        "SELECT n.seq, n.ref, n.id, n.licensor, "
        "(SELECT MIN(e.seq) FROM erasure e WHERE e.licence = n.seq) FROM licence n "
        "WHERE n.document_digest NOT IN (SELECT digest FROM document) "
        "AND n.version = (SELECT MAX(version) FROM licence WHERE id = n.id) ORDER BY n.seq");
    while (select.next()) {
      all_.push_back(
          {select.integer(0), select.text(1), select.text(2), select.text(3), select.integer(4)});
    }
  }

  void judge(int64_t source, SourceVerdict& of) {
    if (!of.verdict.cleared) return;
    for (const Erased& one : all_) {
      const bool later = one.licensor == of.licensor && source > one.erased_seq;
      if (one.seq < source && !later && !under_.with(source, one.id).next()) continue;
      of.verdict = no("no_licence", "the document of licence " + one.ref +
                                        ", which it is or may be under, is no longer kept");
      return;
    }
  }

 private:
  struct Erased {
    int64_t seq;
    std::string ref, id, licensor;
    int64_t erased_seq;
  };
  Statement under_;
  std::vector<Erased> all_;
};

}  // namespace

uint64_t shard_record(const Store& store, const std::string& root) {
  const auto digest = parse_digest(root);
  const auto found =
      digest ? store.find(subject_key_of("shard", digest->text())) : std::vector<uint64_t>();
  if (found.empty()) throw Error(Errc::not_found, "shard ", root, ": is not in the ledger");
  return found.front();
}

namespace {

// The lines of a shard's samples (ledger/shard.h), as the ledger records them.
class RecordedLines {
 public:
  void add(std::string_view key, std::string_view digest, std::string_view clip,
           std::string_view duration_us, std::string_view size_bytes) {
    append_sample_line(text_, key, digest, clip, duration_us, size_bytes);
    ends_.push_back(text_.size());
  }
  size_t size() const { return ends_.size(); }
  Digest root() const {
    std::vector<std::string_view> lines;
    lines.reserve(size());
    size_t begin = 0;
    for (const size_t end : ends_) {
      lines.push_back(std::string_view(text_).substr(begin, end - 1 - begin));
      begin = end;
    }
    return lines_root(lines);
  }

 private:
  std::string text_;
  std::vector<size_t> ends_;
};

using Copies = std::vector<const NearCopy*>;

// Clips of a source that others show, too: what an erased licence of one of these would say, nobody
// knows.
SourceVerdict judge_with_copies(const Rights& rights, ErasedLicences& erased,
                                const std::string& path, const Digest& digest, const Act& act,
                                const Copies& copies) {
  SourceVerdict out = rights.judge_source(path, digest, act, {}, {}, copies);
  for (const NearCopy* copy : copies) erased.judge(static_cast<int64_t>(copy->seq), out);
  return out;
}

// Sources of a shard, each judged once: a shard has many samples of one, mostly side by side, and a
// ledger may have thousands of licences.
class JudgedSources {
 public:
  struct Source {
    std::string path;
    Digest digest;
    std::string status;
    SourceVerdict judged;
  };
  JudgedSources(const Store& store, const Rights& rights, const Act& act)
      : rights_(rights),
        act_(act),
        erased_(store, rights),
        select_(store.db(), "SELECT path, digest, status FROM source WHERE seq = ?") {}

  // Null where there is no such source.
  const Source* find(int64_t seq) {
    if (last_ != nullptr && seq == last_seq_) return last_;
    last_seq_ = seq;
    const auto [at, first] = sources_.try_emplace(seq);
    last_ = &at->second;
    if (!first) return last_;
    if (!select_.with(seq).next()) {
      sources_.erase(at);
      return last_ = nullptr;
    }
    at->second = {
        select_.text(0), parse_digest(select_.view(1)).value_or(Digest{}), select_.text(2), {}};
    at->second.judged = rights_.judge_source(at->second.path, at->second.digest, act_);
    erased_.judge(seq, at->second.judged);
    return last_;
  }
  const std::map<int64_t, Source>& all() const { return sources_; }

  // Clips of the source, which is `seq`, that these show, too.
  const SourceVerdict& with_copies(int64_t seq, const Source& source, const Copies& copies) {
    const auto [at, first] = with_copies_.try_emplace({seq, copies});
    if (first)
      at->second = judge_with_copies(rights_, erased_, source.path, source.digest, act_, copies);
    return at->second;
  }
  const std::map<std::pair<int64_t, Copies>, SourceVerdict>& all_with_copies() const {
    return with_copies_;
  }

 private:
  const Rights& rights_;
  const Act& act_;
  ErasedLicences erased_;
  Statement select_;
  std::map<int64_t, Source> sources_;
  std::map<std::pair<int64_t, Copies>, SourceVerdict> with_copies_;
  int64_t last_seq_ = 0;
  const Source* last_ = nullptr;
};

}  // namespace

ShardStanding judge_shard(const Store& store, const Rights& rights, const std::string& root,
                          const Act& act) {
  ShardStanding out;
  out.verdict = yes();
  out.root = root;
  const uint64_t seq = out.seq = shard_record(store, root);
  Statement shard(store.db(),
                  "SELECT samples, (SELECT r.reason || ', at ' || r.at FROM revocation r "
                  "WHERE r.shard = h.seq LIMIT 1) FROM shard h WHERE h.seq = ?");
  CLEARED_CHECK(shard.with(seq).next());
  out.samples = static_cast<uint32_t>(shard.integer(0));
  const auto refuse = [&](const Verdict& verdict) {
    if (out.verdict.cleared) out.verdict = verdict;
  };
  Verdict taken_back = yes();
  Statement deleted(store.db(),
                    "SELECT reason || ', at ' || at FROM deletion WHERE shard = ? LIMIT 1");
  if (shard.type(1) != ValueType::null) {
    taken_back = no("revoked", "shard " + root + " was revoked (" + shard.text(1) + ")");
  } else if (deleted.with(seq).next()) {
    taken_back = no("deleted", "shard " + root + " was deleted (" + deleted.text(0) + ")");
  }
  Statement samples(store.db(),
                    "SELECT p.key, p.digest, c.id, p.duration_us, p.size_bytes, c.source, "
                    "c.verdict, c.start_us, c.end_us, " +
                        std::string(kTitleOfClip) +
                        " FROM sample p JOIN clip c ON c.seq = p.clip "
                        "WHERE p.shard = ? ORDER BY p.position");
  RecordedLines lines;
  JudgedSources sources(store, rights, act);
  uint32_t judged = 0;
  for (samples.with(seq); samples.next();) {
    lines.add(samples.view(0), samples.view(1), samples.view(2), samples.view(3), samples.view(4));
    const JudgedSources::Source* source = sources.find(samples.integer(5));
    if (source == nullptr) continue;
    ++judged;
    const SourceVerdict& of_source = source->judged;
    if (out.parts.empty() || out.parts.back().first != of_source.licensor) {
      out.parts.emplace_back(of_source.licensor, 0);
    }
    ++out.parts.back().second;
    const auto refuse_sample = [&](const Verdict& verdict) {
      refuse(
          no_about("sample " + samples.text(0) + " of shard " + root + " (" + source->path + "): ",
                   verdict));
    };
    const auto findings = rights.findings_of(samples.view(2));
    const auto copies =
        rights.copies_of(source->digest, samples.unsigned_integer(7), samples.unsigned_integer(8));
    if (!of_source.verdict.cleared) {
      refuse_sample(of_source.verdict);
    } else if (!findings.empty()) {
      const Verdict verdict =
          rights.judge_source(source->path, source->digest, act, {}, findings).verdict;
      if (!verdict.cleared) refuse_sample(verdict);
    }
    if (!copies.empty()) {
      const Verdict& verdict = sources.with_copies(samples.integer(5), *source, copies).verdict;
      if (!verdict.cleared) refuse_sample(verdict);
    }
    const auto title = static_cast<Title>(samples.integer(9));
    if (title == Title::clear && source->status == "kept" && samples.view(6) == "kept") continue;
    const std::string standing = standing_of(samples.view(6), source->status, title);
    if (standing == "conflict") {
      refuse_sample(no("title_conflict", "two licensors claim this footage"));
    } else if (standing != "kept") {
      refuse_sample(no("superseded_clip", "clip " + samples.text(2) + " is not kept"));
    }
  }
  // Only whether there is a licence, and whose the footage is, are asked before (ledger/rules.h).
  const std::string& first = out.verdict.rule;
  if (!taken_back.cleared && first != "no_licence" && first != "title_conflict") {
    out.verdict = std::move(taken_back);
  }
  for (const auto& [source, its] : sources.all()) {
    out.licences.insert(its.judged.licences.begin(), its.judged.licences.end());
  }
  for (const auto& [copied, its] : sources.all_with_copies()) {
    out.licences.insert(its.licences.begin(), its.licences.end());
  }
  // The samples as the ledger records them must add up to the root that names the shard.
  if (lines.size() != out.samples || to_hex(lines.root()) != root) {
    refuse(
        no("shard_incomplete", "the samples recorded for shard " + root + " do not add up to it"));
  }
  if (judged != out.samples) {
    refuse(no("shard_incomplete", std::to_string(judged) + " of the " +
                                      std::to_string(out.samples) + " samples of shard " + root +
                                      " lead to a source"));
  }
  for (const std::string& ref : out.licences) {
    const LicenceText* terms = rights.terms_of(ref);
    if (terms == nullptr) continue;
    const Licence& licence = terms->licence();
    out.valid_from = std::max(out.valid_from, licence.valid_from());
    out.valid_to =
        out.valid_to.empty() ? licence.valid_to() : std::min(out.valid_to, licence.valid_to());
    if (!terms->derived().has_latent()) continue;
    const std::string last = last_day_kept(time_of_record(store, seq), *terms);
    out.valid_to = std::min(out.valid_to, last);
    if (rights.day() > last) {
      refuse(no("kept_too_long",
                "shard " + root + " was to be deleted after " + last + ", by licence " + ref,
                "shard " + root + " was to be deleted, by a term of licence " + ref));
    }
  }
  return out;
}

std::vector<ShardStanding> judge_shards(const Store& store, const Rights& rights,
                                        std::span<const std::string> roots, const Act& act) {
  std::vector<ShardStanding> out(roots.size());
  const size_t parts = std::min(core_count(), roots.size());
  const auto judge = [&](const Store& from, size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) out[i] = judge_shard(from, rights, roots[i], act);
  };
  if (parts <= 1) {
    judge(store, 0, roots.size());
    return out;
  }
  parallel_for(parts, [&](size_t part) {
    const Store own(store.path(), Access::read);  // a connection serves one thread
    judge(own, roots.size() * part / parts, roots.size() * (part + 1) / parts);
  });
  return out;
}

namespace {

// The samples that a checkpoint, those before it in its line and those of its autoencoder's line
// consumed, with the permit of each.
const std::string kEaten =
    std::string(kLine) +
    ", eaten(sample, permit) AS (SELECT DISTINCT u.sample, n.permit FROM line l "
    "JOIN receipt t ON t.run = l.run AND t.end_step <= l.step "
    "JOIN run n ON n.seq = l.run JOIN consumption u ON u.receipt = t.seq) ";

// A sample may lie in several shards; that of the permit is the one that was read.
Verdict judge_shards_of(const Store& store, uint64_t checkpoint) {
  Statement revoked(store.db(),
                    kEaten +
                        "SELECT h.root, r.reason || ', at ' || r.at FROM revocation r "
                        "JOIN shard h ON h.seq = r.shard WHERE EXISTS (SELECT 1 FROM eaten e "
                        "JOIN permitted_shard m ON m.permit = e.permit AND m.shard = h.seq "
                        "JOIN sample p ON p.shard = h.seq AND p.first = e.sample) ORDER BY r.seq");
  if (!revoked.with(checkpoint, kAllRecords).next()) return yes();
  return no("revoked", "shard " + revoked.text(0) + ", which the weights consumed, was revoked (" +
                           revoked.text(1) + ")");
}

Verdict judge_line_of(const Store& store, uint64_t checkpoint) {
  const std::string missing = missing_in_line(store.db(), checkpoint);
  return missing.empty() ? judge_shards_of(store, checkpoint) : no("no_licence", missing);
}

// Weights from elsewhere, each once, by digest.
std::vector<Foreign> foreign_of(const Store& store, uint64_t checkpoint) {
  Statement permits(store.db(), kEaten +
                                    "SELECT DISTINCT p.seq, p.note FROM line l "
                                    "JOIN run n ON n.seq = l.run JOIN permit p ON p.seq = n.permit "
                                    "ORDER BY p.seq");
  std::map<std::string, Foreign> found;
  for (permits.with(checkpoint, kAllRecords); permits.next();) {
    const auto permit = parse_noted<PermitText>(parse_note(permits.text(1)), "permit");
    for (const Foreign& weights : permit.permit().foreign()) {
      found.emplace(weights.weights(), weights);
    }
  }
  std::vector<Foreign> out;
  for (auto& [digest, weights] : found) out.push_back(std::move(weights));
  return out;
}

// Their digest, and how many clips they consumed.
std::pair<std::string, uint64_t> weights_of(const Store& store, uint64_t checkpoint) {
  Statement digest(store.db(), "SELECT digest FROM checkpoint WHERE seq = ?");
  CLEARED_CHECK(digest.with(checkpoint).next());
  Statement clips(store.db(), kEaten +
                                  "SELECT COUNT(DISTINCT p.clip) FROM eaten e "
                                  "JOIN sample p ON p.seq = e.sample");
  CLEARED_CHECK(clips.with(checkpoint, kAllRecords).next());
  return {digest.text(0), clips.unsigned_integer(0)};
}

// Weights are of the model line that their run was permitted for, whatever whoever releases them
// calls it.
Verdict judge_model_of(const Store& store, uint64_t checkpoint, const std::string& model) {
  Statement permit(store.db(),
                   "SELECT r.name, p.model FROM checkpoint k JOIN run r ON r.seq = k.run "
                   "JOIN permit p ON p.seq = r.permit WHERE k.seq = ?");
  if (!permit.with(checkpoint).next() || permit.text(1) == model) return yes();
  return no("model_not_allowed", "the weights are of model line " + permit.text(1) +
                                     ", which run " + permit.text(0) +
                                     " was permitted for, not of " + model);
}

// By permit of the line, the components that it was given for.
std::map<uint64_t, std::set<int>> components_of(const Store& store, uint64_t checkpoint) {
  std::map<uint64_t, std::set<int>> out;
  Statement permits(store.db(), kEaten +
                                    "SELECT DISTINCT p.seq, p.note FROM eaten e "
                                    "JOIN permit p ON p.seq = e.permit");
  for (permits.with(checkpoint, kAllRecords); permits.next();) {
    const auto permit = parse_noted<PermitText>(parse_note(permits.text(1)), "permit");
    const auto& components = permit.permit().purpose().component();
    out[permits.unsigned_integer(0)].insert(components.begin(), components.end());
  }
  return out;
}

}  // namespace

CheckpointStanding judge_checkpoint(const Store& store, const Rights& rights, uint64_t seq,
                                    const Act& declared, uint32_t worst_foreign,
                                    const std::optional<ExtractionTest>& extraction) {
  CheckpointStanding out;
  Statement taken_back(store.db(),
                       "SELECT DISTINCT h.root FROM revocation r JOIN shard h ON h.seq = r.shard "
                       "ORDER BY h.root");
  while (taken_back.next()) out.revoked_shards.push_back("sha256:" + taken_back.text(0));
  out.verdict = judge_line_of(store, seq);
  const auto refuse = [&](const Verdict& verdict) {
    if (out.verdict.cleared) out.verdict = verdict;
  };
  Act act = declared;
  Purpose purpose;
  if (declared.purpose != nullptr) {
    refuse(judge_model_of(store, seq, declared.purpose->model()));
    purpose = *declared.purpose;
    act.purpose = &purpose;
  }
  const auto components = components_of(store, seq);
  out.foreign = foreign_of(store, seq);
  for (const Foreign& weights : out.foreign) {
    const Verdict verdict = judge_foreign(weights, worst_foreign, "the release");
    if (!verdict.cleared) refuse(verdict);
  }
  // What footage was consumed for is asked of it, not what other footage of the line was.
  const auto consumed_under = [&](const std::string& permits) {
    std::set<int> consumed_for;
    std::istringstream all(permits);
    for (std::string permit; std::getline(all, permit, ',');) {
      const auto& its = components.at(std::stoull(permit));
      consumed_for.insert(its.begin(), its.end());
    }
    purpose.mutable_component()->Assign(consumed_for.begin(), consumed_for.end());
  };
  Statement sources(
      store.db(),
      kEaten +
          "SELECT s.path, s.digest, s.seq, MAX(c.seq IN (SELECT clip FROM conflicted_clip)), "
          "group_concat(DISTINCT e.permit) "
          "FROM eaten e JOIN sample p ON p.seq = e.sample JOIN clip c ON c.seq = p.clip "
          "JOIN source s ON s.seq = c.source GROUP BY s.seq ORDER BY s.seq");
  ErasedLicences erased(store, rights);
  for (sources.with(seq, kAllRecords); sources.next(); ++out.sources) {
    const std::string path = sources.text(0);
    consumed_under(sources.text(4));
    SourceVerdict source =
        rights.judge_source(path, parse_digest(sources.text(1)).value_or(Digest{}), act);
    erased.judge(sources.integer(2), source);
    if (!source.verdict.cleared) {
      refuse(no_about(path + ", which the weights consumed: ", source.verdict));
    }
    if (sources.integer(3) != 0) {
      refuse(no("title_conflict",
                path + ", which the weights consumed: two licensors claim this footage"));
    }
    out.licences.insert(source.licences.begin(), source.licences.end());
    out.consumed.push_back(sources.unsigned_integer(2));
  }
  Statement copied(store.db(),
                   kEaten +
                       "SELECT s.path, s.digest, c.start_us, c.end_us, "
                       "group_concat(DISTINCT e.permit) FROM eaten e "
                       "JOIN sample p ON p.seq = e.sample JOIN clip c ON c.seq = p.clip "
                       "JOIN source s ON s.seq = c.source "
                       "WHERE s.seq IN (SELECT of FROM near_copy) GROUP BY c.seq ORDER BY c.seq");
  std::set<std::tuple<std::string, Copies, std::string>> asked;
  const bool any = store.db().integer("SELECT EXISTS (SELECT 1 FROM near_copy)") != 0;
  for (copied.with(seq, kAllRecords); any && copied.next();) {
    const Digest digest = parse_digest(copied.text(1)).value_or(Digest{});
    const Copies copies =
        rights.copies_of(digest, copied.unsigned_integer(2), copied.unsigned_integer(3));
    if (copies.empty() || !asked.emplace(copied.text(0), copies, copied.text(4)).second) continue;
    consumed_under(copied.text(4));
    const SourceVerdict source =
        judge_with_copies(rights, erased, copied.text(0), digest, act, copies);
    if (!source.verdict.cleared) {
      refuse(no_about(copied.text(0) + ", which the weights consumed: ", source.verdict));
    }
    out.licences.insert(source.licences.begin(), source.licences.end());
  }
  purpose.clear_component();
  Statement clips(store.db(), kEaten +
                                  "SELECT DISTINCT c.id, s.path, s.digest FROM eaten e "
                                  "JOIN sample p ON p.seq = e.sample JOIN clip c ON c.seq = p.clip "
                                  "JOIN source s ON s.seq = c.source "
                                  "WHERE c.seq IN (SELECT clip FROM clearance) ORDER BY c.seq");
  for (clips.with(seq, kAllRecords); clips.next();) {
    const Verdict verdict =
        rights
            .judge_source(clips.text(1), parse_digest(clips.text(2)).value_or(Digest{}), act, {},
                          rights.findings_of(clips.text(0)))
            .verdict;
    if (!verdict.cleared) {
      refuse(no_about("clip " + clips.text(0) + ", which the weights consumed: ", verdict));
    }
  }
  std::optional<std::pair<std::string, uint64_t>> weights;  // once, where a licence asks
  for (const std::string& ref : out.licences) {
    const LicenceText* terms = rights.terms_of(ref);
    if (terms != nullptr && limits_memorisation(*terms, act.use)) {
      if (!weights) weights = weights_of(store, seq);
      const Verdict verdict = judge_extraction(*terms, weights->first, weights->second, extraction);
      if (!verdict.cleared) refuse(verdict);
    }
    if (terms != nullptr && limits_similarity(*terms, act.use)) {
      out.similarity_max =
          std::min(out.similarity_max.value_or(1), terms->limits().similarity_max());
    }
    const std::string last = terms == nullptr ? "" : last_day_of(*terms, act.use);
    if (!last.empty() && (out.last_day.empty() || last < out.last_day)) out.last_day = last;
  }
  if (out.similarity_max) {
    const Verdict verdict = judge_fingerprints(store, out.consumed);
    if (!verdict.cleared) refuse(verdict);
  }
  if (out.sources == 0) {
    refuse(no("no_licence", "nothing on record says what the weights consumed"));
  }
  return out;
}

}  // namespace cleared::ledger
