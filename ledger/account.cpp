#include "ledger/account.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <numeric>
#include <optional>
#include <unordered_map>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/parallel.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/licence.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr uint64_t kSecondUs = 1'000'000;
constexpr uint64_t kMinuteUs = 60 * kSecondUs;
constexpr uint64_t kWholeBps = 10'000;
constexpr std::string_view kRounding =
    "A fee is its rate times its quantity, or its part of a pool, rounded once; a pool is revenue "
    "times pool_bps / 10000, rounded half up to a millionth, and shared by sample_us. Runs, clips, "
    "sources and parties get their shares rounded down, and the millionths that are left go one "
    "each "
    "to the largest remainders, of equals to the first: each list adds up to the fee.";

uint64_t sum_of(std::span<const uint64_t> amounts) {
  Wide sum = 0;
  for (const uint64_t amount : amounts) sum += amount;
  if (sum > INT64_MAX) throw Error(Errc::usage, "statement: an amount is beyond all money");
  return static_cast<uint64_t>(sum);
}

bool pays(const LicenceText& terms, Pay::Basis basis) {
  return std::any_of(terms.pay().begin(), terms.pay().end(),
                     [&](const Pay& pay) { return pay.basis() == basis; });
}
bool shares_pool(const LicenceText& terms, const std::string& currency,
                 std::optional<uint32_t> bps = {}) {
  return std::any_of(terms.pay().begin(), terms.pay().end(), [&](const Pay& pay) {
    return pay.basis() == Pay::REVENUE_SHARE && pay.currency() == currency &&
           (!bps || pay.pool_bps() == *bps);
  });
}

struct Version {
  uint64_t seq = 0;
  std::string ref, licensor, valid_from;
  LicenceText terms;
  bool readable = false;
};
// The versions of a licence, oldest first.
struct LicenceLine {
  std::vector<Version> versions;
  // In force for what was recorded as `seq`.
  const Version& at(uint64_t seq) const {
    const Version* found = &versions.front();
    for (const Version& v : versions) {
      if (v.seq < seq) found = &v;
    }
    return *found;
  }
};

struct Eaten {
  uint64_t passes = 0, sample_us = 0;
  void add(const Eaten& more) {
    passes += more.passes;
    sample_us += more.sample_us;
  }
};
struct ClipEaten {
  uint64_t clip = 0;
  Eaten eaten;
};
// Of one version of a licence.
struct Used {
  Eaten all;
  std::map<uint64_t, Eaten> runs;  // by record
  std::vector<ClipEaten> clips;    // in no order, and some of them several times
  void add(const Used& more) {
    all.add(more.all);
    for (const auto& [run, eaten] : more.runs) runs[run].add(eaten);
    clips.insert(clips.end(), more.clips.begin(), more.clips.end());
  }
};
using UsedBy = std::map<uint64_t, Used>;  // by record of the version

// One span that a checkpoint closed within the time.
struct Span1 {
  uint64_t receipt = 0, run = 0, checkpoint = 0;
};

constexpr size_t kNobody = SIZE_MAX;

// What a source is paid under (view source_payer): licences, by index, each from a record on, and
// the one that began last pays. Most sources have one such list with many others.
using Payers = std::vector<std::pair<uint64_t, size_t>>;

// What a shard holds, place by place.
struct Places {
  struct Place {
    uint64_t clip = 0, duration_us = 0;
    size_t payers = kNobody;  // index into the lists
  };
  std::vector<Place> at;
  // Each sample is as long as the record says: no earlier one of its digest stands in for it.
  bool own_lengths = true;
};

// One record of what a span consumed of a shard.
struct ShardUse {
  uint64_t shard = 0, record = 0;
  size_t span = 0;  // index into the spans
  Eaten sum;
};

// A connection of one thread, with what is asked for each shard.
struct ShardReader {
  explicit ShardReader(const Store& store) : db(Database::open(store.path(), Access::read)) {}
  const Database db;
  Statement range{db, "SELECT MIN(seq), MAX(seq), COUNT(*) FROM sample WHERE shard = ?"};
  Statement in_a_row{db,
                     "SELECT position, clip, duration_us, seq, first FROM sample "
                     "WHERE seq BETWEEN ? AND ?"};
  Statement scattered{db,
                      "SELECT position, clip, duration_us, seq, first FROM sample WHERE shard = ?"};
  Statement sample{db, "SELECT clip, duration_us FROM sample WHERE seq = ?"};
  Statement each{db, "SELECT position, each FROM consumed_shard WHERE seq = ?"};
};

constexpr size_t kShardsAtOnce = 64;       // by one thread
constexpr uint64_t kMostPlaces = 1 << 24;  // of a shard
constexpr uint64_t kGap = 16;              // records that are read over rather than sought
constexpr size_t kVersionsAtOnce = 16;     // by one thread

class Books {
 public:
  Books(const Store& store, const AccountRequest& request) : store_(store), request_(request) {
    keep_pages(store.db());
    read_licences();
    require_shared_revenue();
    read_sources();
    read_series();
    read_days();
    read_spans();
  }

  // Shard by shard, so that what a shard holds is looked up once.
  void count() {
    const std::vector<ShardUse> uses = read_uses();
    std::vector<std::span<const ShardUse>> shards;
    for (size_t i = 0, end = 0; i < uses.size(); i = end) {
      for (end = i; end < uses.size() && uses[end].shard == uses[i].shard;) ++end;
      shards.emplace_back(uses.data() + i, end - i);
    }
    std::mutex mutex;
    parallel_for((shards.size() + kShardsAtOnce - 1) / kShardsAtOnce, [&](size_t task) {
      const size_t from = task * kShardsAtOnce;
      const UsedBy more = count_shards(
          std::span(shards).subspan(from, std::min(kShardsAtOnce, shards.size() - from)));
      const std::lock_guard lock(mutex);
      for (const auto& [version, used] : more) used_[version].add(used);
    });
    count_singles();
  }

  Account account() {
    Account out;
    out.set_licensor(request_.licensor);
    out.set_from(request_.from);
    out.set_to(request_.to);
    const std::string note = store_.newest_head_note();
    if (note.empty()) {
      throw Error(Errc::not_found, store_.path().string(),
                  ": has no signed tree head to state anything under; ledger sign-head");
    }
    const TreeHead head = parse_tree_head(parse_note(note).text);
    out.set_origin(head.origin);
    out.set_tree_size(head.size);
    out.set_tree_root(digest_name(head.root));
    add_parts(out);
    add_totals(out);
    if (last_counted_ >= head.size) {
      throw Error(Errc::not_found, store_.path().string(), ": record ", last_counted_.load(),
                  " counts and is under no signed tree head yet; run ledger sign-head where the "
                  "log's key is");
    }
    out.set_rounding(std::string(kRounding));
    out.set_query(query());
    return out;
  }

 private:
  void read_licences() {
    Statement select(store_.db(),
                     "SELECT l.seq, l.ref, l.id, l.licensor, l.document_digest, d.salt, d.note, "
                     "l.valid_from "
                     "FROM licence l LEFT JOIN document d ON d.digest = l.document_digest "
                     "ORDER BY l.id, l.version");
    std::string last;
    bool known = false;
    while (select.next()) {
      if (lines_.empty() || select.text(2) != last) lines_.emplace_back();
      last = select.text(2);
      Version v;
      v.seq = select.unsigned_integer(0);
      v.ref = select.text(1);
      v.licensor = select.text(3);
      v.valid_from = select.text(7);
      known = known || v.licensor == request_.licensor;
      v.readable = select.type(6) != ValueType::null;
      if (v.readable) {
        if (to_hex(document_digest(select.text(5), select.text(6))) != select.text(4)) {
          throw Error(Errc::corrupt, store_.path().string(), ": the document of ", v.ref,
                      " was changed; run ledger verify");
        }
        v.terms = parse_licence(parse_note(select.text(6)).text, v.ref, LicenceAge::recorded);
      }
      lines_.back().versions.push_back(std::move(v));
    }
    if (!known) {
      throw Error(Errc::not_found, store_.path().string(), ": has no licence of licensor ",
                  request_.licensor);
    }
  }

  // An amount in a currency that nobody shares is a slip. Whose statement it is does not matter:
  // the revenue of a time is the same for all licensors.
  void require_shared_revenue() const {
    for (const auto& [currency, micros] : request_.revenue) {
      const auto shares = [&](const Version& v) {
        return std::any_of(v.terms.pay().begin(), v.terms.pay().end(), [&](const Pay& pay) {
          return pay.basis() == Pay::REVENUE_SHARE && pay.currency() == currency;
        });
      };
      if (std::any_of(lines_.begin(), lines_.end(), [&](const LicenceLine& line) {
            return std::any_of(line.versions.begin(), line.versions.end(), shares);
          }))
        continue;
      throw Error(Errc::usage, "statement: --revenue ", currency,
                  ": no licence shares revenue in that currency");
    }
  }

  void read_sources() {
    std::unordered_map<uint64_t, size_t> line_of_licence;
    for (size_t i = 0; i < lines_.size(); ++i) {
      for (const Version& v : lines_[i].versions) line_of_licence[v.seq] = i;
    }
    std::map<uint64_t, Payers> of_source;
    Statement select(store_.db(), "SELECT source, since FROM source_payer ORDER BY since");
    while (select.next()) {
      const uint64_t since = select.unsigned_integer(1);
      of_source[select.unsigned_integer(0)].emplace_back(since, line_of_licence.at(since));
    }
    std::map<Payers, size_t> known;
    for (const auto& [source, payers] : of_source) {
      const auto [at, first] = known.try_emplace(payers, payers_.size());
      if (first) payers_.push_back(payers);
      payers_of_source_[source] = at->second;
    }
  }
  // Under which version what was recorded as `seq` is paid; null where there was no licence yet.
  const Version* version_at(size_t payers, uint64_t seq) const {
    const LicenceLine* line = nullptr;
    for (const auto& [since, i] : payers_[payers]) {
      if (since < seq) line = &lines_[i];
    }
    return line == nullptr ? nullptr : &line->at(seq);
  }

  void read_days() {
    Statement select(store_.db(), "SELECT seq, substr(at, 1, 10) FROM moment ORDER BY seq");
    while (select.next()) {
      if (!days_.empty() && days_.back().second == select.view(1)) continue;
      days_.emplace_back(select.unsigned_integer(0), select.text(1));
    }
  }
  // "" where it is not known.
  std::string day_of(uint64_t seq) const {
    const auto after = std::upper_bound(days_.begin(), days_.end(), seq,
                                        [](uint64_t s, const auto& day) { return s < day.first; });
    return after == days_.begin() ? "" : std::prev(after)->second;
  }
  // What a statement counts has to be below the tree head that it names.
  void counted(uint64_t seq) const {
    for (uint64_t last = last_counted_; seq > last;) {
      if (last_counted_.compare_exchange_weak(last, seq)) break;
    }
  }

  bool in_time(uint64_t seq) const {
    const std::string day = day_of(seq);
    return day >= request_.from && day <= request_.to;
  }

  void read_spans() {
    Statement select(store_.db(),
                     "SELECT k.receipt, k.run, k.seq, r.name FROM checkpoint k "
                     "JOIN run r ON r.seq = k.run ORDER BY k.seq");
    while (select.next()) {
      const Span1 span{select.unsigned_integer(0), select.unsigned_integer(1),
                       select.unsigned_integer(2)};
      if (!in_time(span.checkpoint)) continue;
      counted(span.checkpoint);
      spans_.push_back(span);
      names_[span.run] = select.text(3);
    }
  }

  // A clip belongs to the source of the series it is in (view source_clip).
  void read_series() {
    Statement select(store_.db(), "SELECT seq, source FROM clip_series ORDER BY seq");
    while (select.next()) {
      const auto payers = payers_of_source_.find(select.unsigned_integer(1));
      series_.emplace_back(select.unsigned_integer(0),
                           payers == payers_of_source_.end() ? kNobody : payers->second);
    }
  }
  size_t payers_of_clip(uint64_t clip) const {
    const auto after =
        std::upper_bound(series_.begin(), series_.end(), clip,
                         [](uint64_t seq, const auto& series) { return seq < series.first; });
    return after == series_.begin() ? kNobody : std::prev(after)->second;
  }

  // By shard; those of spans that count.
  std::vector<ShardUse> read_uses() const {
    std::unordered_map<uint64_t, size_t> span_of_receipt;
    for (size_t i = 0; i < spans_.size(); ++i) span_of_receipt.emplace(spans_[i].receipt, i);
    std::vector<ShardUse> out;
    Statement select(store_.db(),
                     "SELECT shard, receipt, seq, passes, sample_us FROM consumed_shard "
                     "ORDER BY shard");
    while (select.next()) {
      const auto span = span_of_receipt.find(select.unsigned_integer(1));
      if (span == span_of_receipt.end()) continue;
      out.push_back({select.unsigned_integer(0),
                     select.unsigned_integer(2),
                     span->second,
                     {select.unsigned_integer(3), select.unsigned_integer(4)}});
    }
    return out;
  }

  void count_singles() {
    Statement select(store_.db(),
                     "SELECT u.passes, u.passes * p.duration_us, p.clip FROM consumed u "
                     "JOIN sample p ON p.seq = u.sample WHERE u.receipt = ?");
    for (const Span1& span : spans_) {
      for (select.with(span.receipt); select.next();) {
        const uint64_t clip = select.unsigned_integer(2);
        const size_t payers = payers_of_clip(clip);
        if (payers == kNobody) continue;
        const Version* version = version_at(payers, span.checkpoint);
        if (version == nullptr) continue;
        const Eaten eaten{select.unsigned_integer(0), select.unsigned_integer(1)};
        add(*version, span, eaten, used_);
        if (wants_clips(*version)) used_[version->seq].clips.push_back({clip, eaten});
      }
    }
  }

  // On a thread of its own.
  UsedBy count_shards(std::span<const std::span<const ShardUse>> shards) const {
    ShardReader reader(store_);
    UsedBy out;
    for (const auto& uses : shards) {
      const Places places = read_places(reader, uses[0].shard);
      if (const auto payers = payers_of(places)) {
        for (const ShardUse& use : uses) {
          const Span1& span = spans_[use.span];
          const Version* version = version_at(*payers, span.checkpoint);
          if (version != nullptr) add(*version, span, use.sum, out);
        }
      } else {
        count_each(reader, places, uses, out);
      }
    }
    return out;
  }

  // What all of a shard is paid under, where the sums of its records will do.
  std::optional<size_t> payers_of(const Places& places) const {
    if (!places.own_lengths || places.at.empty() || places.at[0].payers == kNobody) return {};
    const size_t payers = places.at[0].payers;
    for (const Places::Place& place : places.at) {
      if (place.payers != payers) return {};
    }
    for (const auto& [since, line] : payers_[payers]) {
      if (wants_clips(lines_[line].versions.front())) return {};  // all are of one licensor
    }
    return payers;
  }

  void count_each(ShardReader& reader, const Places& places, std::span<const ShardUse> uses,
                  UsedBy& out) const {
    std::map<size_t, std::vector<size_t>> by_payers;  // places
    for (size_t i = 0; i < places.at.size(); ++i) {
      if (places.at[i].payers != kNobody) by_payers[places.at[i].payers].push_back(i);
    }
    std::map<const Version*, std::vector<uint64_t>> told;  // passes by place
    std::vector<uint64_t> passes;
    for (const ShardUse& use : uses) {
      read_passes(reader, use, passes, places.at.size());
      const Span1& span = spans_[use.span];
      for (const auto& [payers, mine] : by_payers) {
        Eaten sum;
        for (const size_t i : mine) sum.add({passes[i], passes[i] * places.at[i].duration_us});
        const Version* version = version_at(payers, span.checkpoint);
        if (sum.passes == 0 || version == nullptr) continue;
        add(*version, span, sum, out);
        if (!wants_clips(*version)) continue;
        auto& all = told[version];
        all.resize(passes.size());
        for (const size_t i : mine) all[i] += passes[i];
      }
    }
    for (const auto& [version, all] : told) {
      auto& clips = out[version->seq].clips;
      for (size_t i = 0; i < all.size(); ++i) {
        const Places::Place& place = places.at[i];
        if (all[i] > 0) clips.push_back({place.clip, {all[i], all[i] * place.duration_us}});
      }
    }
  }

  void read_passes(ShardReader& reader, const ShardUse& use, std::vector<uint64_t>& passes,
                   size_t places) const {
    passes.assign(places, 0);
    reader.each.with(use.record).next();
    const uint64_t position = reader.each.unsigned_integer(0);
    const auto samples = parse_consumption(reader.each.view(1));
    if (position > places || samples.size() > places - position) {
      throw Error(Errc::corrupt, store_.path().string(), ": record ", use.record,
                  " consumed samples that its shard does not have; run ledger verify");
    }
    for (size_t i = 0; i < samples.size(); ++i) passes[position + i] = samples[i].passes;
  }

  // As the view `consumption` has it: of several samples of one digest the first counts.
  Places read_places(ShardReader& reader, uint64_t shard) const {
    Places out;
    reader.range.with(shard).next();
    const uint64_t first = reader.range.unsigned_integer(0);
    const uint64_t last = reader.range.unsigned_integer(1);
    // Nearly always they were recorded one after the other, and are read as they lie.
    const bool in_a_row = last - first + 1 == reader.range.unsigned_integer(2);
    Statement& samples =
        in_a_row ? reader.in_a_row.with(first, last) : reader.scattered.with(shard);
    while (samples.next()) {
      const uint64_t position = samples.unsigned_integer(0);
      if (position >= kMostPlaces) unfit(shard);
      if (position >= out.at.size()) out.at.resize(position + 1);
      Places::Place& place = out.at[position];
      if (place.clip != 0) unfit(shard);
      place = {samples.unsigned_integer(1), samples.unsigned_integer(2), kNobody};
      if (samples.integer(3) != samples.integer(4) &&
          reader.sample.with(samples.integer(4)).next()) {
        out.own_lengths &= reader.sample.unsigned_integer(1) == place.duration_us;
        place = {reader.sample.unsigned_integer(0), reader.sample.unsigned_integer(1), kNobody};
      }
      place.payers = payers_of_clip(place.clip);
    }
    return out;
  }

  [[noreturn]] void unfit(uint64_t shard) const {
    throw Error(Errc::corrupt, store_.path().string(), ": the samples of shard record ", shard,
                " are not numbered one by one; run ledger verify");
  }

  bool wants_clips(const Version& version) const {
    return request_.clips && version.licensor == request_.licensor;
  }

  void add(const Version& version, const Span1& span, const Eaten& eaten, UsedBy& to) const {
    Used& used = to[version.seq];
    used.all.add(eaten);
    if (version.licensor == request_.licensor) used.runs[span.run].add(eaten);
  }

  // The sources that a version of a licence pays for having been ingested in the time: under it, so
  // one that came later pays for none. What two licensors delivered counts as ingested from the
  // first review on that released a clip of it.
  void add_sources(const Database& db, const Version& version, Account::Part& part) const {
    Statement select(db,
                     "SELECT s.seq, s.digest, s.path, s.duration_us, "
                     "CASE s.status WHEN 'kept' THEN s.seq ELSE "
                     "(SELECT MIN(r.review) FROM source_clip c CROSS JOIN decided_clip r "
                     "ON r.clip = c.clip WHERE c.source = s.seq "
                     "AND instr(', ' || r.released || ',', ', title,') > 0) END AS ingested "
                     "FROM source s "
                     "WHERE s.seq IN (SELECT sl.seq FROM source_licence sl JOIN licence l "
                     "ON l.seq = sl.licence WHERE l.id = ?) AND s.status IN ('kept', 'conflict') "
                     "AND ingested IS NOT NULL ORDER BY s.digest");
    const std::string id = version.ref.substr(0, version.ref.rfind('@'));
    for (select.with(id); select.next();) {
      const uint64_t seq = select.unsigned_integer(0);
      const auto pays = payers_of_source_.find(seq);
      if (pays == payers_of_source_.end() || version_at(pays->second, seq) != &version) continue;
      const uint64_t ingested = select.unsigned_integer(4);
      if (!in_time(ingested)) continue;
      counted(ingested);
      Account::Source& source = *part.add_source();
      source.set_digest("sha256:" + select.text(1));
      source.set_path(select.text(2));
      source.set_duration_us(select.unsigned_integer(3));
    }
  }

  void add_parts(Account& out) const {
    std::vector<std::pair<const LicenceLine*, const Version*>> mine;
    for (const LicenceLine& line : lines_) {
      for (const Version& version : line.versions) {
        if (version.licensor == request_.licensor) mine.emplace_back(&line, &version);
      }
    }
    std::vector<std::optional<Account::Part>> parts(mine.size());
    parallel_for((mine.size() + kVersionsAtOnce - 1) / kVersionsAtOnce, [&](size_t task) {
      const Database db = Database::open(store_.path(), Access::read);
      const size_t end = std::min(mine.size(), (task + 1) * kVersionsAtOnce);
      for (size_t i = task * kVersionsAtOnce; i < end; ++i) {
        parts[i] = part_of(db, *mine[i].first, *mine[i].second);
      }
    });
    for (auto& part : parts) {
      if (part) *out.add_part() = std::move(*part);
    }
  }

  // Of a version; empty when nothing is due or told under it. On a thread of its own.
  std::optional<Account::Part> part_of(const Database& db, const LicenceLine& line,
                                       const Version& version) const {
    const auto found = used_.find(version.seq);
    Account::Part part;
    part.set_licence(version.ref);
    part.set_passes(found == used_.end() ? 0 : found->second.all.passes);
    part.set_sample_us(found == used_.end() ? 0 : found->second.all.sample_us);
    if (found != used_.end()) {
      add_runs(found->second, part);
      add_clips(db, found->second.clips, part);
    }
    add_sources(db, version, part);
    const bool begins = owes_fixed(line, version);
    if (part.passes() == 0 && part.source_size() == 0 && !begins) return std::nullopt;
    if (!version.readable) refuse_erased(version);
    for (const Pay& pay : version.terms.pay()) {
      if (pay.basis() == Pay::FIXED && !begins) continue;
      add_fee(pay, part);
    }
    return part;
  }

  // Once a licence: an amendment that begins later does not make the fee due again. Whether an
  // erased version has such a fee is not known any more.
  bool owes_fixed(const LicenceLine& line, const Version& version) const {
    const std::string& day = version.valid_from;
    if (day < request_.from || day > request_.to) return false;
    if (version.readable && !pays(version.terms, Pay::FIXED)) return false;
    for (const Version& before : line.versions) {
      if (&before == &version) break;
      if (pays(before.terms, Pay::FIXED)) return false;
      if (!before.readable) refuse_erased(before);
    }
    if (!version.readable) refuse_erased(version);
    counted(version.seq);
    return true;
  }
  [[noreturn]] void refuse_erased(const Version& version) const {
    throw Error(Errc::not_found, store_.path().string(), ": the document of ", version.ref,
                " was erased, so its rates are not known any more");
  }

  void add_runs(const Used& used, Account::Part& part) const {
    std::map<std::string, Eaten> by_name;
    for (const auto& [run, eaten] : used.runs) by_name[names_.at(run)] = eaten;
    for (const auto& [name, eaten] : by_name) {
      Account::Run& run = *part.add_run();
      run.set_run(name);
      run.set_passes(eaten.passes);
      run.set_sample_us(eaten.sample_us);
    }
  }
  // Each once, by id.
  void add_clips(const Database& db, std::vector<ClipEaten> clips, Account::Part& part) const {
    std::sort(clips.begin(), clips.end(),
              [](const auto& a, const auto& b) { return a.clip < b.clip; });
    std::vector<std::pair<std::string, Eaten>> by_id;
    Statement ids(db, "SELECT seq, id FROM clip WHERE seq BETWEEN ? AND ?");
    for (auto clip = clips.begin(); clip != clips.end();) {
      auto last = clip;  // of a stretch that is read as it lies
      while (std::next(last) != clips.end() && std::next(last)->clip - last->clip < kGap) ++last;
      for (ids.with(clip->clip, last->clip); ids.next();) {
        if (ids.unsigned_integer(0) != clip->clip) continue;
        Eaten& eaten = by_id.emplace_back(ids.text(1), Eaten{}).second;
        for (; clip <= last && clip->clip == ids.unsigned_integer(0); ++clip) {
          eaten.add(clip->eaten);
        }
        if (clip > last) break;
      }
      if (clip <= last) {
        throw Error(Errc::corrupt, store_.path().string(), ": has no clip of record ", clip->clip,
                    "; run ledger verify");
      }
    }
    std::sort(by_id.begin(), by_id.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    part.mutable_clip()->Reserve(static_cast<int>(by_id.size()));
    for (const auto& [id, eaten] : by_id) {
      Account::Clip& clip = *part.add_clip();
      clip.set_clip("sha256:" + id);
      clip.set_passes(eaten.passes);
      clip.set_sample_us(eaten.sample_us);
    }
  }

  void add_fee(const Pay& pay, Account::Part& part) const {
    Account::Fee& fee = *part.add_fee();
    fee.set_basis(pay.basis());
    if (pay.has_currency()) fee.set_currency(pay.currency());
    const auto consumed = [&] {
      std::vector<uint64_t> runs, clips;
      for (const auto& run : part.run()) runs.push_back(run.sample_us());
      for (const auto& clip : part.clip()) clips.push_back(clip.sample_us());
      if (!runs.empty()) {
        for (const uint64_t m : apportion(fee.amount_micros(), runs)) fee.add_run_micros(m);
      }
      if (!clips.empty()) {
        for (const uint64_t m : apportion(fee.amount_micros(), clips)) fee.add_clip_micros(m);
      }
    };
    fee.set_quantity_us(0);
    fee.set_amount_micros(0);
    switch (pay.basis()) {
      case Pay::PER_SAMPLE_SECOND:
        fee.set_rate_micros(pay.rate_micros());
        fee.set_quantity_us(part.sample_us());
        fee.set_amount_micros(times(pay.rate_micros(), part.sample_us(), kSecondUs));
        consumed();
        break;
      case Pay::REVENUE_SHARE:
        fee.set_quantity_us(part.sample_us());
        fee.set_amount_micros(share_of_pool(pay, part, fee));
        consumed();
        break;
      case Pay::PER_MINUTE_INGESTED:
        add_ingested(pay, part, fee);
        break;
      case Pay::FIXED:
        fee.set_rate_micros(pay.rate_micros());
        fee.set_amount_micros(times(pay.rate_micros(), 1, 1));
        break;
      case Pay::NO_FEE:
        fee.set_quantity_us(part.sample_us());
        break;
    }
    std::vector<uint64_t> shares;
    for (const auto& split : pay.split()) shares.push_back(split.share_bps());
    if (shares.empty()) shares = {kWholeBps};
    const auto amounts = apportion(fee.amount_micros(), shares);
    for (size_t i = 0; i < amounts.size(); ++i) {
      Account::Share& share = *fee.add_share();
      share.set_party(pay.split_size() == 0 ? request_.licensor
                                            : pay.split(static_cast<int>(i)).party());
      share.set_amount_micros(amounts[i]);
    }
  }

  void add_ingested(const Pay& pay, const Account::Part& part, Account::Fee& fee) const {
    std::vector<uint64_t> lengths;
    for (const auto& source : part.source()) lengths.push_back(source.duration_us());
    const uint64_t total = sum_of(lengths);
    fee.set_rate_micros(pay.rate_micros());
    fee.set_quantity_us(total);
    fee.set_amount_micros(times(pay.rate_micros(), total, kMinuteUs));
    if (lengths.empty()) return;
    for (const uint64_t m : apportion(fee.amount_micros(), lengths)) fee.add_source_micros(m);
  }

  // Both pools of a licence whose share of the revenue was amended, each of all of it, would be
  // paid: the day of the amendment is under the new one, and no time may reach across its
  // beginning.
  bool gave_way(const LicenceLine& line, const Version& version, const Pay& pay) const {
    for (const Version& later : line.versions) {
      if (later.seq <= version.seq || !used_.contains(later.seq)) continue;
      if (!shares_pool(later.terms, pay.currency()) ||
          shares_pool(later.terms, pay.currency(), pay.pool_bps())) {
        continue;
      }
      const std::string day = day_of(later.seq);
      if (day == request_.from) return true;
      throw Error(Errc::usage, "statement: ", later.ref, " shares another part of the revenue in ",
                  pay.currency(), " from ", day, " on than ", version.ref,
                  ": make one statement up to the day before and one from ", day,
                  ", each with the revenue of its time");
    }
    return false;
  }
  // What was consumed on the day of an amendment before it.
  uint64_t gave_way_to(const LicenceLine& line, const Version& version,
                       const std::string& currency) const {
    uint64_t out = 0;
    for (const Version& before : line.versions) {
      const auto used = used_.find(before.seq);
      if (before.seq >= version.seq || used == used_.end()) continue;
      const auto& pay = before.terms.pay();
      const bool gives = std::any_of(pay.begin(), pay.end(), [&](const Pay& its) {
        return its.basis() == Pay::REVENUE_SHARE && its.currency() == currency &&
               gave_way(line, before, its);
      });
      if (gives) out += used->second.all.sample_us;
    }
    return out;
  }

  // All versions of all licensors that share this pool, whoever is asked about: what one of them
  // gets must not depend on whose statement it is.
  uint64_t share_of_pool(const Pay& pay, const Account::Part& part, Account::Fee& fee) const {
    const auto revenue = request_.revenue.find(pay.currency());
    if (revenue == request_.revenue.end()) {
      throw Error(Errc::usage, "statement: licence ", part.licence(), " shares revenue in ",
                  pay.currency(), "; give --revenue ", pay.currency(), "=AMOUNT");
    }
    std::vector<uint64_t> weights;
    size_t mine = SIZE_MAX;
    for (const LicenceLine& line : lines_) {
      for (const Version& v : line.versions) {
        const auto used = used_.find(v.seq);
        if (used == used_.end()) continue;
        if (!v.readable) {
          throw Error(Errc::not_found, store_.path().string(), ": the document of ", v.ref,
                      " was erased, so who shares the pool is not known any more");
        }
        if (!shares_pool(v.terms, pay.currency(), pay.pool_bps()) || gave_way(line, v, pay)) {
          continue;
        }
        if (v.ref == part.licence()) mine = weights.size();
        weights.push_back(used->second.all.sample_us + gave_way_to(line, v, pay.currency()));
      }
    }
    const uint64_t pool = times(revenue->second, pay.pool_bps(), kWholeBps);
    fee.set_pool_micros(pool);
    fee.set_pool_sample_us(sum_of(weights));
    return mine == SIZE_MAX ? 0 : apportion(pool, weights)[mine];
  }

  static void add_totals(Account& out) {
    std::map<std::pair<std::string, std::string>, std::vector<uint64_t>> totals;  // currency, party
    for (const auto& part : out.part()) {
      for (const auto& fee : part.fee()) {
        if (!fee.has_currency()) continue;
        totals[{fee.currency(), ""}].push_back(fee.amount_micros());
        for (const auto& share : fee.share()) {
          totals[{fee.currency(), share.party()}].push_back(share.amount_micros());
        }
      }
    }
    for (const auto& [key, amounts] : totals) {
      Account::Total& total = *out.add_total();
      total.set_currency(key.first);
      total.set_party(key.second);
      total.set_amount_micros(sum_of(amounts));
    }
  }

  std::string query() const {
    const auto quoted = [](const std::string& text) {
      std::string out = "'";
      for (const char c : text) out += c == '\'' ? std::string("''") : std::string(1, c);
      return out + "'";
    };
    return "SELECT (SELECT n.ref FROM licence n WHERE n.id = l.id AND n.seq < k.seq "
           "ORDER BY n.version DESC LIMIT 1) AS licence, r.name AS run, c.id AS clip, "
           "SUM(u.passes) AS passes, SUM(u.passes * p.duration_us) AS sample_us "
           "FROM checkpoint k JOIN receipt t ON t.seq = k.receipt JOIN run r ON r.seq = k.run "
           "JOIN consumption u ON u.receipt = t.seq JOIN sample p ON p.seq = u.sample "
           "JOIN clip c ON c.seq = p.clip CROSS JOIN source_payer y ON y.source = c.source "
           "AND k.seq BETWEEN y.since AND y.until JOIN licence l ON l.seq = y.since "
           "WHERE l.licensor = " +
           quoted(request_.licensor) +
           " AND (SELECT substr(m.at, 1, 10) FROM moment m WHERE m.seq <= k.seq "
           "ORDER BY m.seq DESC LIMIT 1) BETWEEN " +
           quoted(request_.from) + " AND " + quoted(request_.to) +
           " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
  }

  const Store& store_;
  const AccountRequest& request_;
  std::vector<LicenceLine> lines_;
  std::vector<Payers> payers_;
  std::unordered_map<uint64_t, size_t> payers_of_source_;  // index into payers_
  std::vector<Span1> spans_;
  std::unordered_map<uint64_t, std::string> names_;     // of runs
  std::vector<std::pair<uint64_t, size_t>> series_;     // of clips: first record, payers or kNobody
  std::vector<std::pair<uint64_t, std::string>> days_;  // first record of each
  UsedBy used_;
  mutable std::atomic<uint64_t> last_counted_ = 0;  // record
};

void require_day(const std::string& day, std::string_view what) {
  if (parse_time(day + "T00:00:00Z")) return;
  throw Error(Errc::usage, "statement: ", what, " \"", day, "\" is not a day like 2026-01-31");
}

}  // namespace

std::vector<uint64_t> apportion(uint64_t total, std::span<const uint64_t> weights) {
  if (weights.empty()) throw Error(Errc::usage, "apportion: there is nobody to give it to");
  Wide sum = 0;
  for (const uint64_t w : weights) sum += w;
  std::vector<uint64_t> out(weights.size());
  if (sum == 0) {
    out[0] = total;
    return out;
  }
  std::vector<Wide> rest(weights.size());
  uint64_t left = total;
  for (size_t i = 0; i < weights.size(); ++i) {
    const Wide product = Wide{total} * weights[i];
    out[i] = static_cast<uint64_t>(product / sum);
    rest[i] = product - out[i] * sum;
    left -= out[i];
  }
  std::vector<size_t> order(weights.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto more = [&](size_t a, size_t b) {
    return rest[a] != rest[b] ? rest[a] > rest[b] : a < b;
  };
  std::nth_element(order.begin(), order.begin() + static_cast<ptrdiff_t>(left), order.end(), more);
  for (uint64_t i = 0; i < left; ++i) ++out[order[i]];
  return out;
}

uint64_t times(uint64_t value, uint64_t by, uint64_t per) {
  const Wide product = (Wide{value} * by + per / 2) / per;
  if (product > INT64_MAX) throw Error(Errc::usage, "statement: an amount is beyond all money");
  return static_cast<uint64_t>(product);
}

Account make_account(const Store& store, const AccountRequest& request) {
  require_day(request.from, "--from");
  require_day(request.to, "--to");
  if (request.to < request.from) throw Error(Errc::usage, "statement: --to is before --from");
  Books books(store, request);
  books.count();
  return books.account();
}

}  // namespace cleared::ledger
