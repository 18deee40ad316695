#include "ledger/coverage.h"

#include <algorithm>

#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/projection.h"
#include "ledger/rights.h"

namespace cleared::ledger {
namespace {

struct KeptVersion {
  uint64_t seq = 0;
  LicenceText terms;
};

// Those whose document is kept, rising.
std::vector<KeptVersion> kept_versions(const Store& store, std::string_view where,
                                       std::string_view id = {}) {
  Statement select(store.db(),
                   "SELECT l.seq, d.note, l.ref FROM licence l JOIN document d ON "
                   "d.digest = l.document_digest WHERE " +
                       std::string(where) + " ORDER BY l.seq");
  if (!id.empty()) select.with(std::string(id));
  std::vector<KeptVersion> out;
  while (select.next()) {
    out.push_back({select.unsigned_integer(0),
                   parse_licence(parse_note(select.text(1)).text, "licence " + select.text(2),
                                 LicenceAge::recorded)});
  }
  return out;
}

// `versions` rise.
std::vector<LateCoverage> late_coverage(const Store& store,
                                        const std::vector<KeptVersion>& versions) {
  std::vector<LateCoverage> out;
  if (!versions.empty()) {
    each_other_path(store, [&](uint64_t source, const std::string& path) {
      for (const KeptVersion& version : versions) {
        if (covers(version.terms, path, Digest{})) out.push_back({source, version.seq});
      }
    });
  }
  std::vector<const KeptVersion*> by_path;
  for (const KeptVersion& version : versions) {
    const auto& digests = version.terms.covers().source_digest();
    if (digests.empty()) by_path.push_back(&version);
    for (const std::string& name : digests) {
      const Digest digest = require_digest_name(name, "covers.source_digest");
      for (const uint64_t source : store.find(subject_key_of("source", digest.text()))) {
        if (source < version.seq) out.push_back({source, version.seq});
      }
    }
  }
  if (by_path.empty()) return out;
  Statement sources(store.db(), "SELECT seq, path, digest FROM source WHERE seq < ? ORDER BY seq");
  for (sources.with(by_path.back()->seq); sources.next();) {
    const uint64_t source = sources.unsigned_integer(0);
    const auto late = std::upper_bound(by_path.begin(), by_path.end(), source,
                                       [](uint64_t s, const KeptVersion* v) { return s < v->seq; });
    for (auto version = late; version != by_path.end(); ++version) {
      if (covers((*version)->terms, sources.view(1), Digest{}))
        out.push_back({source, (*version)->seq});
    }
  }
  return out;
}

}  // namespace

void each_other_path(const Store& store,
                     const std::function<void(uint64_t, const std::string&)>& each) {
  Statement refusals(store.db(),
                     "SELECT subject FROM refusal WHERE act = 'ingest' OR "
                     "(act = 'curate' AND rule IN ('other_licence', 'other_path')) ORDER BY seq");
  while (refusals.next()) {
    const RefusedFile file = refused_file(refusals.text(0));
    const auto digest = parse_digest(file.digest);
    if (!digest) continue;
    const auto found = store.find(subject_key_of("source", digest->text()));
    if (!found.empty()) each(found.front(), file.path);
  }
}

std::set<uint64_t> sources_under(const Store& store, std::string_view id) {
  std::set<uint64_t> out;
  Statement recorded(store.db(),
                     "SELECT sl.seq FROM licence l JOIN source_licence sl ON sl.licence = l.seq "
                     "WHERE l.id = ?");
  for (recorded.with(std::string(id)); recorded.next();) out.insert(recorded.unsigned_integer(0));
  for (const LateCoverage& late : late_coverage(store, kept_versions(store, "l.id = ?", id))) {
    out.insert(late.source);
  }
  return out;
}

std::vector<LateCoverage> late_coverage(const Store& store,
                                        const std::function<bool(const LicenceText&)>& counts) {
  auto versions = kept_versions(store,
                                "NOT EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id "
                                "AND n.version > l.version)");
  std::erase_if(versions, [&](const KeptVersion& version) { return !counts(version.terms); });
  return late_coverage(store, versions);
}

}  // namespace cleared::ledger
