#include "ledger/account.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
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

struct Version {
  uint64_t seq = 0;
  std::string ref, licensor;
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
  void add(uint64_t more_passes, uint64_t more_us) {
    passes += more_passes;
    sample_us += more_us;
  }
};
struct Used {
  Eaten all;
  std::map<uint64_t, Eaten> runs;             // by record
  std::unordered_map<uint64_t, Eaten> clips;  // by record
};

// One span that a checkpoint closed within the time.
struct Span1 {
  uint64_t receipt = 0, run = 0, checkpoint = 0;
};

class Books {
 public:
  Books(const Store& store, const AccountRequest& request) : store_(store), request_(request) {
    keep_pages(store.db());
    read_licences();
    read_sources();
    read_spans();
  }

  void count() {
    std::unordered_map<uint64_t, std::optional<size_t>> owners;  // of shards
    Statement shards(store_.db(),
                     "SELECT seq, shard, passes, sample_us FROM consumed_shard WHERE receipt = ?");
    Statement singles(store_.db(),
                      "SELECT u.passes, u.passes * p.duration_us, p.clip, c.source FROM consumed u "
                      "JOIN sample p ON p.seq = u.sample JOIN clip c ON c.seq = p.clip "
                      "WHERE u.receipt = ?");
    for (const Span1& span : spans_) {
      for (shards.with(span.receipt); shards.next();) {
        const uint64_t shard = shards.unsigned_integer(1);
        auto owner = owners.find(shard);
        if (owner == owners.end()) owner = owners.emplace(shard, owner_of(shard)).first;
        if (owner->second && !wants_clips(*owner->second, span)) {
          add(*owner->second, span, {}, shards.unsigned_integer(2), shards.unsigned_integer(3));
        } else {
          count_each(span, shards.unsigned_integer(0), shard);
        }
      }
      for (singles.with(span.receipt); singles.next();) {
        const auto line = line_of_source_.find(singles.unsigned_integer(3));
        if (line == line_of_source_.end()) continue;
        add(line->second, span, singles.unsigned_integer(2), singles.unsigned_integer(0),
            singles.unsigned_integer(1));
      }
    }
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
    for (const LicenceLine& line : lines_) {
      for (const Version& version : line.versions) {
        if (version.licensor == request_.licensor) add_part(line, version, out);
      }
    }
    add_totals(out);
    out.set_rounding(std::string(kRounding));
    out.set_query(query());
    return out;
  }

 private:
  void read_licences() {
    Statement select(store_.db(),
                     "SELECT l.seq, l.ref, l.id, l.licensor, l.document_digest, d.salt, d.note "
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

  void read_sources() {
    std::unordered_map<uint64_t, size_t> line_of_licence;
    for (size_t i = 0; i < lines_.size(); ++i) {
      for (const Version& v : lines_[i].versions) line_of_licence[v.seq] = i;
    }
    Statement select(store_.db(),
                     "SELECT seq, MAX(licence) FROM source_licence GROUP BY seq ORDER BY seq");
    while (select.next()) {
      line_of_source_[select.unsigned_integer(0)] = line_of_licence.at(select.unsigned_integer(1));
    }
  }

  std::string day_of(uint64_t seq) {
    if (!moment_) {
      moment_.emplace(store_.db(),
                      "SELECT at FROM moment WHERE seq <= ? ORDER BY seq DESC LIMIT 1");
    }
    return moment_->with(seq).next() ? moment_->text(0).substr(0, 10) : std::string();
  }
  bool in_time(uint64_t seq) {
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
      spans_.push_back(span);
      names_[span.run] = select.text(3);
    }
  }

  // The licence under which all samples of the shard are, when it is one.
  std::optional<size_t> owner_of(uint64_t shard) {
    Statement select(store_.db(),
                     "SELECT DISTINCT c.source FROM sample p JOIN clip c ON c.seq = p.clip "
                     "WHERE p.shard = ?");
    std::optional<size_t> owner;
    for (select.with(shard); select.next();) {
      const auto line = line_of_source_.find(select.unsigned_integer(0));
      if (line == line_of_source_.end() || (owner && *owner != line->second)) return std::nullopt;
      owner = line->second;
    }
    return owner;
  }

  bool wants_clips(size_t line, const Span1& span) const {
    return request_.clips && lines_[line].at(span.checkpoint).licensor == request_.licensor;
  }

  void count_each(const Span1& span, uint64_t record, uint64_t shard) {
    if (shard != shard_) {
      shard_ = shard;
      places_.clear();
      Statement samples(store_.db(),
                        "SELECT p.position, p.clip, p.duration_us, c.source FROM sample p "
                        "JOIN clip c ON c.seq = p.clip WHERE p.shard = ? ORDER BY p.position");
      for (samples.with(shard); samples.next();) {
        const auto line = line_of_source_.find(samples.unsigned_integer(3));
        places_.resize(samples.unsigned_integer(0) + 1);
        places_.back() = {samples.unsigned_integer(1), samples.unsigned_integer(2),
                          line == line_of_source_.end() ? SIZE_MAX : line->second};
      }
    }
    if (!each_)
      each_.emplace(store_.db(), "SELECT position, each FROM consumed_shard WHERE seq = ?");
    each_->with(record).next();
    uint64_t position = each_->unsigned_integer(0);
    for (const SampleConsumption& sample : parse_consumption(each_->view(1))) {
      const Place& place = places_.at(position++);
      if (sample.passes == 0 || place.line == SIZE_MAX) continue;
      add(place.line, span, place.clip, sample.passes, sample.passes * place.duration_us);
    }
  }

  void add(size_t line, const Span1& span, uint64_t clip, uint64_t passes, uint64_t sample_us) {
    const Version& version = lines_[line].at(span.checkpoint);
    Used& used = used_[version.seq];
    used.all.add(passes, sample_us);
    if (version.licensor != request_.licensor) return;
    used.runs[span.run].add(passes, sample_us);
    if (request_.clips && clip != 0) used.clips[clip].add(passes, sample_us);
  }

  // The sources that a version of a licence pays for having been ingested in the time.
  void add_sources(const LicenceLine& line, const Version& version, Account::Part& part) {
    Statement select(store_.db(),
                     "SELECT s.seq, s.digest, s.path, s.duration_us FROM source s "
                     "WHERE s.seq IN (SELECT sl.seq FROM source_licence sl JOIN licence l "
                     "ON l.seq = sl.licence WHERE l.id = ?) AND s.status = 'kept' "
                     "ORDER BY s.digest");
    const std::string id = version.ref.substr(0, version.ref.rfind('@'));
    for (select.with(id); select.next();) {
      const uint64_t seq = select.unsigned_integer(0);
      const auto pays = line_of_source_.find(seq);
      if (pays == line_of_source_.end() || &lines_[pays->second] != &line) continue;
      if (line.at(seq).seq != version.seq || !in_time(seq)) continue;
      Account::Source& source = *part.add_source();
      source.set_digest("sha256:" + select.text(1));
      source.set_path(select.text(2));
      source.set_duration_us(select.unsigned_integer(3));
    }
  }

  void add_part(const LicenceLine& line, const Version& version, Account& out) {
    const auto found = used_.find(version.seq);
    Account::Part part;
    part.set_licence(version.ref);
    part.set_passes(found == used_.end() ? 0 : found->second.all.passes);
    part.set_sample_us(found == used_.end() ? 0 : found->second.all.sample_us);
    if (found != used_.end()) {
      add_runs(found->second, part);
      add_clips(found->second, part);
    }
    add_sources(line, version, part);
    const bool begins = version.terms.licence().valid_from() >= request_.from &&
                        version.terms.licence().valid_from() <= request_.to &&
                        &version == &line.versions.back();
    if (part.passes() == 0 && part.source_size() == 0 && !begins) return;
    if (!version.readable) {
      throw Error(Errc::not_found, store_.path().string(), ": the document of ", version.ref,
                  " was erased, so its rates are not known any more");
    }
    for (const Pay& pay : version.terms.pay()) {
      if (pay.basis() == Pay::FIXED && !begins) continue;
      add_fee(pay, part);
    }
    *out.add_part() = std::move(part);
  }

  void add_runs(const Used& used, Account::Part& part) {
    std::map<std::string, Eaten> by_name;
    for (const auto& [run, eaten] : used.runs) by_name[names_.at(run)] = eaten;
    for (const auto& [name, eaten] : by_name) {
      Account::Run& run = *part.add_run();
      run.set_run(name);
      run.set_passes(eaten.passes);
      run.set_sample_us(eaten.sample_us);
    }
  }
  void add_clips(const Used& used, Account::Part& part) {
    std::map<std::string, Eaten> by_id;
    Statement id(store_.db(), "SELECT id FROM clip WHERE seq = ?");
    for (const auto& [clip, eaten] : used.clips) {
      if (id.with(clip).next()) by_id[id.text(0)] = eaten;
    }
    for (const auto& [name, eaten] : by_id) {
      Account::Clip& clip = *part.add_clip();
      clip.set_clip("sha256:" + name);
      clip.set_passes(eaten.passes);
      clip.set_sample_us(eaten.sample_us);
    }
  }

  void add_fee(const Pay& pay, Account::Part& part) {
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
        fee.set_amount_micros(pay.rate_micros());
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
    const uint64_t total = std::accumulate(lengths.begin(), lengths.end(), uint64_t{0});
    fee.set_rate_micros(pay.rate_micros());
    fee.set_quantity_us(total);
    fee.set_amount_micros(times(pay.rate_micros(), total, kMinuteUs));
    if (lengths.empty()) return;
    for (const uint64_t m : apportion(fee.amount_micros(), lengths)) fee.add_source_micros(m);
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
        const bool shares =
            std::any_of(v.terms.pay().begin(), v.terms.pay().end(), [&](const Pay& other) {
              return other.basis() == Pay::REVENUE_SHARE && other.currency() == pay.currency() &&
                     other.pool_bps() == pay.pool_bps();
            });
        if (!shares) continue;
        if (v.ref == part.licence()) mine = weights.size();
        weights.push_back(used->second.all.sample_us);
      }
    }
    const uint64_t pool = times(revenue->second, pay.pool_bps(), kWholeBps);
    fee.set_pool_micros(pool);
    fee.set_pool_sample_us(std::accumulate(weights.begin(), weights.end(), uint64_t{0}));
    return mine == SIZE_MAX ? 0 : apportion(pool, weights)[mine];
  }

  static void add_totals(Account& out) {
    std::map<std::pair<std::string, std::string>, uint64_t> totals;  // currency, party
    for (const auto& part : out.part()) {
      for (const auto& fee : part.fee()) {
        if (!fee.has_currency()) continue;
        totals[{fee.currency(), ""}] += fee.amount_micros();
        for (const auto& share : fee.share()) {
          totals[{fee.currency(), share.party()}] += share.amount_micros();
        }
      }
    }
    for (const auto& [key, micros] : totals) {
      Account::Total& total = *out.add_total();
      total.set_currency(key.first);
      total.set_party(key.second);
      total.set_amount_micros(micros);
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
           "JOIN clip c ON c.seq = p.clip JOIN licence l ON l.seq = (SELECT MAX(licence) "
           "FROM source_licence WHERE seq = c.source) WHERE l.licensor = " +
           quoted(request_.licensor) +
           " AND (SELECT substr(m.at, 1, 10) FROM moment m WHERE m.seq <= k.seq "
           "ORDER BY m.seq DESC LIMIT 1) BETWEEN " +
           quoted(request_.from) + " AND " + quoted(request_.to) +
           " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
  }

  struct Place {
    uint64_t clip = 0, duration_us = 0;
    size_t line = SIZE_MAX;  // index into lines_
  };
  const Store& store_;
  const AccountRequest& request_;
  std::vector<LicenceLine> lines_;
  std::unordered_map<uint64_t, size_t> line_of_source_;  // source: index into lines_
  std::vector<Span1> spans_;
  std::unordered_map<uint64_t, std::string> names_;  // of runs
  std::map<uint64_t, Used> used_;                    // by record of the version
  uint64_t shard_ = UINT64_MAX;                      // whose places_ these are
  std::vector<Place> places_;
  std::optional<Statement> moment_, each_;
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
    rest[i] = product % sum;
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
