#include "ledger/coverage.h"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ledger/base/error.h"
#include "ledger/base/utf8.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/projection.h"
#include "ledger/rights.h"
#include "ledger/titles.h"

namespace cleared::ledger {
namespace {

// The sources on record by what licences name them by, sorted.
class KnownSources {
 public:
  explicit KnownSources(const Database& db) {
    Statement select(db, "SELECT path, digest, seq FROM source");
    while (select.next()) {
      by_path_.emplace_back(select.text(0), select.unsigned_integer(2));
      by_digest_.emplace_back(select.text(1), select.unsigned_integer(2));
    }
    std::sort(by_path_.begin(), by_path_.end());
    std::sort(by_digest_.begin(), by_digest_.end());
  }

  // Those before record `licence` that its terms cover, as covers() (ledger/licence.h) says,
  // rising.
  std::vector<uint64_t> covered(const LicenceText& terms, uint64_t licence) const {
    std::vector<uint64_t> out;
    const auto take = [&](const Names& names, const std::string& begin, const auto& fits) {
      auto at = std::lower_bound(names.begin(), names.end(), std::pair(begin, uint64_t{0}));
      for (; at != names.end() && at->first.starts_with(begin); ++at) {
        if (at->second < licence && fits(at->first)) out.push_back(at->second);
      }
    };
    const Covers& covers = terms.covers();
    for (const std::string& name : covers.source_digest()) {
      take(by_digest_, to_hex(require_digest_name(name, "covers.source_digest")),
           [](const std::string&) { return true; });
    }
    if (covers.source_digest().empty()) {
      for (const std::string& pattern : covers.delivery()) {
        std::string begin = pattern.substr(0, pattern.find('*'));
        if (begin.ends_with('/')) begin.pop_back();  // "a/**" covers a file a, too
        take(by_path_, begin,
             [&](const std::string& path) { return matches_pattern(pattern, path); });
      }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

 private:
  using Names = std::vector<std::pair<std::string, uint64_t>>;
  Names by_path_, by_digest_;
};

std::optional<LicenceText> terms_in(const std::string& note, const std::string& ref) {
  try {
    return parse_licence(parse_note(note).text, "licence " + ref, LicenceAge::recorded);
  } catch (const Error&) {  // it was changed: ledger verify names it
    return std::nullopt;
  }
}

}  // namespace

void each_file_refusal(const Store& store, const std::function<void(const FileRefusal&)>& each) {
  // Words that were left out had the bare path for a subject, so that a name could hold a digest:
  // such a subject is the path of a source.
  std::optional<std::set<std::string>> paths;
  const auto is_about_words = [&](const FileRefusal& refusal) {
    if (refusal.rule != "unreadable" || !refusal.fact.starts_with("caption ") ||
        refusal.fact.find(" left out: ") == std::string::npos)
      return false;
    if (!paths) {
      paths.emplace();
      Statement sources(store.db(), "SELECT path FROM source");
      while (sources.next()) paths->insert(with_escapes(sources.view(0)));
    }
    return paths->contains(refusal.subject);
  };
  Statement row(store.db(),
                "SELECT subject, rule, fact FROM refusal WHERE act IN ('ingest', 'curate') "
                "ORDER BY seq");
  while (row.next()) {
    FileRefusal refusal{.subject = row.text(0), .path = {}, .digest = {}, .rule = {}, .fact = {}};
    RefusedFile file = refused_file(refusal.subject);
    const auto digest = parse_digest(file.digest);
    if (!digest) continue;
    refusal.path = std::move(file.path);
    refusal.digest = *digest;
    refusal.rule = row.text(1);
    refusal.fact = row.text(2);
    if (!is_about_words(refusal)) each(refusal);
  }
}

void each_other_path(const Store& store, const std::function<void(const OtherPath&)>& each) {
  const std::map<std::string, uint64_t> claims = claims_to_same_bytes(store);
  Statement source(store.db(), "SELECT path FROM source WHERE seq = ?");
  each_file_refusal(store, [&](const FileRefusal& refusal) {
    const bool is_claim = claims.contains(refusal.subject);
    if (refusal.rule == "conflict" && !is_claim) return;  // its path is that of a source
    const auto found = store.find(subject_key_of("source", refusal.digest.text()));
    if (found.empty() || !source.with(found.front()).next()) return;
    const std::string path = source.text(0);
    if (with_escapes(path) == refusal.path) return;
    each({.source = found.front(),
          .digest = refusal.digest,
          .of_source = path,
          .path = refusal.path,
          .is_claim = is_claim});
  });
}

std::string json_list(const std::set<uint64_t>& seqs) {
  std::string out = "[";
  for (const uint64_t seq : seqs) out += (out.size() == 1 ? "" : ",") + std::to_string(seq);
  return out + "]";
}

std::set<uint64_t> sources_under(const Store& store, std::string_view id) {
  std::set<uint64_t> out;
  Statement select(store.db(),
                   "SELECT v.source FROM licence l JOIN source_cover v ON v.licence = l.seq "
                   "WHERE l.id = ?");
  for (select.with(std::string(id)); select.next();) out.insert(select.unsigned_integer(0));
  std::vector<LicenceText> versions;
  Statement kept(store.db(),
                 "SELECT l.ref, d.note FROM licence l JOIN document d "
                 "ON d.digest = l.document_digest WHERE l.id = ?");
  for (kept.with(std::string(id)); kept.next();) {
    if (auto terms = terms_in(kept.text(1), kept.text(0))) versions.push_back(std::move(*terms));
  }
  if (versions.empty()) return out;
  each_other_path(store, [&](const OtherPath& other) {
    const bool covered = std::any_of(versions.begin(), versions.end(), [&](const auto& terms) {
      return covers(terms, other.path, Digest{});
    });
    if (covered && !other.is_claim) out.insert(other.source);
  });
  return out;
}

std::set<uint64_t> sources_covered_by(const Store& store, const LicenceText& terms) {
  const auto known = KnownSources(store.db()).covered(terms, std::numeric_limits<uint64_t>::max());
  std::set<uint64_t> out(known.begin(), known.end());
  each_other_path(store, [&](const OtherPath& other) {
    if (!other.is_claim && covers(terms, other.path, Digest{})) out.insert(other.source);
  });
  return out;
}

void each_coverage(const Database& db, const std::function<void(uint64_t, uint64_t)>& each,
                   uint64_t from) {
  Statement late(db,
                 "SELECT l.seq, l.ref, d.note FROM licence l JOIN document d "
                 "ON d.digest = l.document_digest "
                 "WHERE l.seq >= ? AND l.seq > (SELECT MIN(seq) FROM source) ORDER BY l.seq");
  std::optional<KnownSources> sources;
  for (late.with(from); late.next();) {
    const auto terms = terms_in(late.text(2), late.text(1));
    if (!terms) continue;
    if (!sources) sources.emplace(db);
    const uint64_t licence = late.unsigned_integer(0);
    for (const uint64_t source : sources->covered(*terms, licence)) each(licence, source);
  }
}

void keep_coverage(const Database& db, uint64_t from) {
  Statement insert(db, "INSERT INTO licence_source VALUES(?, ?)");
  each_coverage(
      db, [&](uint64_t licence, uint64_t source) { insert.with(licence, source).run(); }, from);
}

}  // namespace cleared::ledger
