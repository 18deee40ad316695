#include "ledger/retention.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "ledger/base/clock.h"
#include "ledger/coverage.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kDayUs = 86'400'000'000;

// The newest version of each licence of a thing.
constexpr std::string_view kNewest =
    "JOIN licence l ON l.seq = v.licence JOIN licence n ON n.id = l.id AND n.version = "
    "(SELECT MAX(version) FROM licence WHERE id = l.id) ";

class Due {
 public:
  Due(const Store& store, const Rights& rights) : store_(store), rights_(rights) {
    table_.columns = {"delete_by", "is_due", "what", "of", "digest", "licence", "deleted"};
    table_.numeric = {false, false, false, false, false, false, false};
    Statement select(store.db(),
                     "SELECT l.ref, MIN(e.seq) FROM erasure e JOIN licence l ON l.seq = e.licence "
                     "GROUP BY l.seq");
    while (select.next()) {
      erased_[select.text(0)] = time_of_record(store, select.unsigned_integer(1)).substr(0, 10);
    }
  }

  Table list(const DueScope& scope) {
    shards(std::string(kShards) + "JOIN shard_licence v ON v.seq = h.seq " + std::string(kNewest) +
           "WHERE " + std::string(scope.shards));
    late_shards(scope.shards);
    shards(std::string(kShards) +
           "JOIN (SELECT DISTINCT p.shard, x.licence FROM near_copy_clip c "
           "JOIN source_cover x ON x.source = c.source "
           "CROSS JOIN sample p ON p.clip = c.clip) v ON v.shard = h.seq " +
           std::string(kNewest) + "WHERE " + std::string(scope.shards));
    texts(std::string(kSources) + "JOIN source_cover v ON v.source = s.seq " +
          std::string(kNewest) + "WHERE " + std::string(scope.sources));
    other_paths(scope);
    releases(scope.releases);
    std::sort(table_.rows.begin(), table_.rows.end());
    table_.rows.erase(std::unique(table_.rows.begin(), table_.rows.end()), table_.rows.end());
    return std::move(table_);
  }

 private:
  void add(const std::string& by, const std::string& what, const std::string& of,
           const std::string& digest, const std::string& licence, const std::string& deleted) {
    const bool due = deleted.empty() && rights_.day() > by;
    table_.rows.push_back({by, due ? "yes" : "no", what, of, digest, licence,
                           deleted.empty() ? "no" : "record " + deleted});
  }

  // Shards hold what was encoded from footage: with `latent` the terms say how long it may be kept.
  static constexpr std::string_view kShards =
      "SELECT h.root, h.name, n.ref, h.seq, COALESCE((SELECT MIN(d.seq) FROM deletion d "
      "WHERE d.shard = h.seq), '') FROM shard h ";
  // `sources` are those that `?` of the question stands for, as JSON; empty: it has none.
  void shards(const std::string& sql, const std::string& sources = "") {
    Statement select(store_.db(), sql);
    if (!sources.empty()) select.with(sources);
    while (select.next()) {
      const auto by = kept_until(select.text(2), select.unsigned_integer(3));
      if (by) add(*by, "shard", select.text(1), select.text(0), select.text(2), select.text(4));
    }
  }
  // The last day of a shard, a record, under these terms; nothing where they set none. Erased ones
  // have no document any more.
  std::optional<std::string> kept_until(const std::string& ref, uint64_t shard) const {
    const auto erased = erased_.find(ref);
    if (erased != erased_.end()) return erased->second;
    const LicenceText* terms = rights_.terms_of(ref);
    if (terms == nullptr || !terms->derived().has_latent()) return std::nullopt;
    return last_day_kept(time_of_record(store_, shard), *terms);
  }

  // What lies in a shard of what licences cover that came later.
  void late_shards(std::string_view scope) {
    Statement late(store_.db(),
                   "SELECT v.licence, n.ref FROM "
                   "(SELECT DISTINCT seq AS licence FROM licence_source) v " +
                       std::string(kNewest));
    while (late.next()) {
      if (!kept_until(late.text(1), 0)) continue;  // else the question is not worth its time
      shards(std::string(kShards) + "JOIN licence n ON n.ref = '" + late.text(1) +
             "' WHERE h.seq IN (SELECT p.shard FROM licence_source x CROSS JOIN source_clip c "
             "ON c.source = x.source CROSS JOIN sample p ON p.clip = c.clip WHERE x.seq = " +
             late.text(0) + ") AND " + std::string(scope));
    }
  }

  // The same of licences that cover another path by which the bytes of a source came.
  void other_paths(const DueScope& scope) {
    std::map<std::string, std::set<uint64_t>> sources;  // by licence
    each_other_path(store_, [&](const OtherPath& other) {
      if (other.is_claim) return;
      for (const std::string& ref : rights_.licences_at(other.path, Digest{})) {
        sources[ref].insert(other.source);
      }
    });
    for (const auto& [ref, its] : sources) {
      const std::string list = json_list(its);
      const std::string licence = "JOIN licence n ON n.ref = '" + ref + "' WHERE ";
      shards(std::string(kShards) + licence +
                 "h.seq IN (SELECT p.shard FROM json_each(?) j CROSS JOIN source_clip c "
                 "ON c.source = j.value CROSS JOIN sample p ON p.clip = c.clip) AND " +
                 std::string(scope.shards),
             list);
      texts(std::string(kSources) + licence + "s.seq IN (SELECT value FROM json_each(?)) AND " +
                std::string(scope.sources),
            list);
    }
  }

  // Captions that came with the footage, fingerprints, and embeddings where the terms let some be
  // made: TERM ends with the licence or its revocation, NEVER on the day the source came.
  static constexpr std::string_view kSources =
      "SELECT s.digest, s.path, n.ref, s.seq, COALESCE((SELECT substr(MIN(r.at), 1, 10) "
      "FROM revocation r WHERE r.licence = n.id), ''), s.caption <> '', "
      "s.chromaprint <> '' OR EXISTS (SELECT 1 FROM fingerprint f WHERE f.source = s.seq) "
      "FROM source s ";
  void texts(const std::string& sql, const std::string& sources = "") {
    Statement select(store_.db(), sql);
    if (!sources.empty()) select.with(sources);
    while (select.next()) {
      const auto erased = erased_.find(select.text(2));
      if (erased != erased_.end()) {
        for (const auto& [column, what, name] :
             {std::tuple(5, "caption", "CAPTION"), {6, "fingerprint", "FINGERPRINT"}}) {
          if (select.integer(column) == 0) continue;
          add(erased->second, what, select.text(1), select.text(0), select.text(2),
              deletion_of(select.unsigned_integer(3), name));
        }
      }
      const LicenceText* terms = rights_.terms_of(select.text(2));
      if (terms == nullptr) continue;
      const auto& uses = terms->allows().use();
      const bool embeds = std::find(uses.begin(), uses.end(), EMBED) != uses.end();
      const auto kept = [&](bool there, Retention::Value value, const char* what,
                            const char* name) {
        if (!there || value == Retention::PERPETUAL) return;
        const uint64_t seq = select.unsigned_integer(3);
        const std::string ended = select.text(4);
        const std::string& last = terms->licence().valid_to();
        const std::string term = ended.empty() ? last : std::min(ended, last);
        add(value == Retention::NEVER ? time_of_record(store_, seq).substr(0, 10) : term, what,
            select.text(1), select.text(0), select.text(2), deletion_of(seq, name));
      };
      const Derived& derived = terms->derived();
      kept(derived.has_caption() && select.integer(5) != 0, derived.caption(), "caption",
           "CAPTION");
      kept(derived.has_embedding() && embeds, derived.embedding(), "embedding", "EMBEDDING");
      kept(derived.has_fingerprint() && select.integer(6) != 0, derived.fingerprint(),
           "fingerprint", "FINGERPRINT");
    }
  }
  // Until it ends, whoever has the note and not yet the notice of the revocation may use it.
  void releases(std::string_view scope) {
    Statement select(store_.db(),
                     "SELECT e.seq, e.taken_back, e.expires_at, e.use || ' of ' || e.run || "
                     "' step ' || e.step || ' in ' || e.territory, r.digest, "
                     "COALESCE((SELECT group_concat(l.ref, ' ') FROM release_licence x "
                     "JOIN licence l ON l.seq = x.licence WHERE x.seq = e.seq AND l.id IN "
                     "(SELECT licence FROM revocation)), '') "
                     "FROM released e JOIN release r ON r.seq = e.seq "
                     "WHERE e.taken_back IS NOT NULL AND " +
                         std::string(scope));
    const std::string now = format_time(judging_time_us(store_));
    while (select.next()) {
      if (select.text(2) <= now) continue;
      table_.rows.push_back({select.text(1).substr(0, 10), "yes", "release", select.text(3),
                             select.text(4), select.text(5), "no"});
    }
  }

  std::string deletion_of(uint64_t source, const char* what) const {
    Statement select(store_.db(),
                     "SELECT COALESCE(MIN(seq), '') FROM deletion WHERE source = ? AND what = ?");
    return select.with(source, what).next() ? select.text(0) : "";
  }

  const Store& store_;
  const Rights& rights_;
  // The day on which the terms of a version were erased, by "id@version". For how long they let
  // anything be kept nobody knows after it, so it is due on that day.
  std::map<std::string, std::string, std::less<>> erased_;
  Table table_;
};

}  // namespace

std::string time_of_record(const Store& store, uint64_t seq) {
  Statement select(store.db(), "SELECT at FROM moment WHERE seq <= ? ORDER BY seq DESC LIMIT 1");
  return select.with(seq).next() ? select.text(0) : "";
}

std::string last_day_kept(const std::string& made_at, const LicenceText& terms) {
  constexpr uint64_t kMostDays = 73'000;  // longer than any licence
  const uint64_t days = terms.derived().latent().delete_after_days();
  return date_of(parse_time(made_at).value_or(0) + std::min(days, kMostDays) * kDayUs);
}

Table due_of(const Store& store, const Rights& rights, const DueScope& scope) {
  return Due(store, rights).list(scope);
}

}  // namespace cleared::ledger
