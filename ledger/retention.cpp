#include "ledger/retention.h"

#include <algorithm>

#include "ledger/base/clock.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kDayUs = 86'400'000'000;

// The newest version of each licence of a thing, with the day of its revocation or nothing.
constexpr std::string_view kNewest =
    "JOIN licence l ON l.seq = sl.licence JOIN licence n ON n.id = l.id AND n.version = "
    "(SELECT MAX(version) FROM licence WHERE id = l.id) ";
constexpr std::string_view kRevoked =
    "COALESCE((SELECT substr(MIN(r.at), 1, 10) FROM revocation r WHERE r.licence = n.id), '')";

class Due {
 public:
  Due(const Store& store, const Rights& rights) : store_(store), rights_(rights) {
    table_.columns = {"delete_by", "is_due", "what", "of", "digest", "licence", "deleted"};
    table_.numeric = {false, false, false, false, false, false, false};
  }

  Table list(const DueScope& scope) {
    shards(scope.shards);
    texts(scope.sources);
    std::sort(table_.rows.begin(), table_.rows.end());
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
  void shards(std::string_view scope) {
    Statement select(
        store_.db(),
        "SELECT h.root, h.name, n.ref, (SELECT m.at FROM moment m WHERE m.seq <= h.seq "
        "ORDER BY m.seq DESC LIMIT 1), COALESCE((SELECT MIN(d.seq) FROM deletion d "
        "WHERE d.shard = h.seq), '') FROM shard h JOIN shard_licence sl ON sl.seq = h.seq " +
            std::string(kNewest) + "WHERE " + std::string(scope) + " ORDER BY h.seq, n.ref");
    while (select.next()) {
      const LicenceText* terms = rights_.terms_of(select.text(2));
      if (terms == nullptr || !terms->derived().has_latent()) continue;
      const uint64_t days = terms->derived().latent().delete_after_days();
      const uint64_t made = parse_time(select.text(3)).value_or(0);
      add(date_of(made + days * kDayUs), "shard", select.text(1), select.text(0), select.text(2),
          select.text(4));
    }
  }

  // Captions that came with the footage, and embeddings where the terms let some be made: TERM ends
  // with the licence or its revocation, NEVER on the day the source came.
  void texts(std::string_view scope) {
    const auto deleted = [](const char* what) {
      return "COALESCE((SELECT MIN(d.seq) FROM deletion d WHERE d.source = s.seq AND d.what = '" +
             std::string(what) + "'), '')";
    };
    Statement select(
        store_.db(),
        "SELECT s.digest, s.path, n.ref, (SELECT substr(m.at, 1, 10) FROM moment m "
        "WHERE m.seq <= s.seq ORDER BY m.seq DESC LIMIT 1), " +
            std::string(kRevoked) + ", s.caption <> '', " + deleted("CAPTION") + ", " +
            deleted("EMBEDDING") + " FROM source s JOIN source_licence sl ON sl.seq = s.seq " +
            std::string(kNewest) + "WHERE " + std::string(scope) + " ORDER BY s.seq, n.ref");
    while (select.next()) {
      const LicenceText* terms = rights_.terms_of(select.text(2));
      if (terms == nullptr) continue;
      const auto& uses = terms->allows().use();
      const bool embeds = std::find(uses.begin(), uses.end(), EMBED) != uses.end();
      const auto kept = [&](bool there, Retention::Value value, const char* what, int column) {
        if (!there || value == Retention::PERPETUAL) return;
        const std::string ended = select.text(4);
        const std::string& last = terms->licence().valid_to();
        const std::string term = ended.empty() ? last : std::min(ended, last);
        add(value == Retention::NEVER ? select.text(3) : term, what, select.text(1), select.text(0),
            select.text(2), select.text(column));
      };
      const Derived& derived = terms->derived();
      kept(derived.has_caption() && select.integer(5) != 0, derived.caption(), "caption", 6);
      kept(derived.has_embedding() && embeds, derived.embedding(), "embedding", 7);
    }
  }

  const Store& store_;
  const Rights& rights_;
  Table table_;
};

}  // namespace

Table due_of(const Store& store, const Rights& rights, const DueScope& scope) {
  return Due(store, rights).list(scope);
}

}  // namespace cleared::ledger
