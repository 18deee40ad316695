#include "ledger/impact.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/parallel.h"
#include "ledger/coverage.h"
#include "ledger/digest.h"
#include "ledger/entries.h"
#include "ledger/licence.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/tree.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kNever = UINT64_MAX;
constexpr size_t kProofsAtOnce = 1'024;  // by one thread

void add(Price& to, const Price& more) {
  to.steps += more.steps;
  to.sample_us += more.sample_us;
  to.machine_us += more.machine_us;
  to.measured = to.measured && more.measured;
}

std::vector<uint64_t> numbers(Statement& select) {
  std::vector<uint64_t> out;
  while (select.next()) out.push_back(select.unsigned_integer(0));
  return out;
}

// What is asked about, before anything is known of what became of it.
struct Asked {
  std::string what;
  std::vector<uint64_t> about;
  std::set<uint64_t> sources;
  std::vector<uint64_t> clips;  // rising
};

void add_clips_of_sources(const Store& store, Asked& asked) {
  Statement clips(store.db(), "SELECT clip FROM source_clip WHERE source = ?");
  for (const uint64_t source : asked.sources) {
    for (clips.with(source); clips.next();) asked.clips.push_back(clips.unsigned_integer(0));
  }
  std::sort(asked.clips.begin(), asked.clips.end());
}

// Clips of other sources that these show, too: they are used under the licences of both.
void add_copied_clips(const Store& store, Asked& asked) {
  Statement clips(store.db(),
                  "SELECT clip, of FROM near_copy_clip "
                  "WHERE source IN (SELECT value FROM json_each(?))");
  clips.with(json_list(asked.sources));
  const size_t own = asked.clips.size();
  while (clips.next()) {
    asked.clips.push_back(clips.unsigned_integer(0));
    asked.sources.insert(clips.unsigned_integer(1));
  }
  if (asked.clips.size() == own) return;
  std::sort(asked.clips.begin(), asked.clips.end());
  asked.clips.erase(std::unique(asked.clips.begin(), asked.clips.end()), asked.clips.end());
}

// Every version of the licence: what one of them covered was used under it.
bool ask_licence(const Store& store, uint64_t seq, Asked& asked) {
  Statement licence(store.db(), "SELECT id FROM licence WHERE seq = ?");
  if (!licence.with(seq).next()) return false;
  const std::string id = licence.text(0);
  Statement versions(store.db(), "SELECT seq FROM licence WHERE id = ? ORDER BY seq");
  asked.about = numbers(versions.with(id));
  asked.what = "licence " + id;
  asked.sources = sources_under(store, id);
  add_clips_of_sources(store, asked);
  add_copied_clips(store, asked);
  return true;
}

bool ask_source(const Store& store, uint64_t seq, Asked& asked) {
  Statement source(store.db(), "SELECT path FROM source WHERE seq = ?");
  if (!source.with(seq).next()) return false;
  asked.what = "source " + source.text(0);
  asked.sources = {seq};
  add_clips_of_sources(store, asked);
  return true;
}
bool ask_clip(const Store& store, uint64_t seq, Asked& asked) {
  Statement clip(store.db(), "SELECT id, source FROM clip WHERE seq = ?");
  if (!clip.with(seq).next()) return false;
  asked.what = "clip " + clip.text(0);
  asked.sources = {clip.unsigned_integer(1)};
  asked.clips = {seq};
  return true;
}
bool ask_shard(const Store& store, uint64_t seq, Asked& asked) {
  Statement shard(store.db(), "SELECT root FROM shard WHERE seq = ?");
  if (!shard.with(seq).next()) return false;
  asked.what = "shard " + shard.text(0);
  Statement clips(store.db(),
                  "SELECT DISTINCT p.clip, c.source FROM sample p JOIN clip c ON c.seq = p.clip "
                  "WHERE p.shard = ? ORDER BY 1");
  for (clips.with(seq); clips.next();) {
    asked.clips.push_back(clips.unsigned_integer(0));
    asked.sources.insert(clips.unsigned_integer(1));
  }
  return true;
}

Asked ask(const Store& store, const std::string& what) {
  Asked asked;
  const uint64_t seq = find_record(store, what, {"licence", "source", "clip", "shard"});
  asked.about = {seq};
  CLEARED_CHECK(ask_licence(store, seq, asked) || ask_source(store, seq, asked) ||
                ask_clip(store, seq, asked) || ask_shard(store, seq, asked));
  return asked;
}

// What runs recorded, all of it: some ten thousand receipts.
struct Receipt1 {
  uint64_t seq = 0, run = 0, first_step = 0, end_step = 0;
  uint64_t sample_us = 0, machine_us = 0;
  bool has_sample_us = false, has_machine_us = false;
};
struct Checkpoint1 {
  uint64_t seq = 0, run = 0, receipt = 0, step = 0;
  std::string digest, parent, vae, text_encoder;
  uint64_t first_touch = kNever;           // step of its span that consumed a clip first
  int touched = -1;                        // 1 or 0 once it is known
  const Checkpoint1* before = nullptr;     // what it continued from
  std::vector<const Checkpoint1*> others;  // what its autoencoder and its text encoder are from
  bool orphan = false;                     // one of them is not on record, nor all of its steps
};
struct Touch {
  uint64_t first_step = kNever, passes = 0, sample_us = 0;
};

class Runs {
 public:
  explicit Runs(const Store& store) : store_(store) {
    Statement names(store.db(), "SELECT seq, name FROM run");
    while (names.next()) names_.emplace(names.unsigned_integer(0), names.text(1));
    Statement receipts(store.db(),
                       "SELECT t.seq, t.run, t.first_step, t.end_step, c.sample_us, c.machine_us "
                       "FROM receipt t LEFT JOIN receipt_cost c ON c.seq = t.seq");
    while (receipts.next()) {
      Receipt1 r;
      r.seq = receipts.unsigned_integer(0);
      r.run = receipts.unsigned_integer(1);
      r.first_step = receipts.unsigned_integer(2);
      r.end_step = receipts.unsigned_integer(3);
      r.has_sample_us = receipts.type(4) != ValueType::null;
      r.sample_us = receipts.unsigned_integer(4);
      r.has_machine_us = receipts.type(5) != ValueType::null;
      r.machine_us = receipts.unsigned_integer(5);
      receipts_.emplace(r.seq, r);
    }
    read_checkpoints();
  }

  // A span without a checkpoint is not counted: nobody vouches for it yet.
  bool is_closed(uint64_t receipt) const { return by_receipt_.contains(receipt); }
  uint64_t run_of(uint64_t receipt) const { return receipts_.at(receipt).run; }
  void touch(uint64_t receipt, const Touch& touch) {
    const auto closed = by_receipt_.find(receipt);
    if (closed == by_receipt_.end()) return;
    Checkpoint1& checkpoint = checkpoints_[closed->second];
    checkpoint.first_touch = std::min(checkpoint.first_touch, touch.first_step);
    Touch& run = by_run_[checkpoint.run];
    run.passes += touch.passes;
    run.sample_us += touch.sample_us;
  }

  void fill(Impact& out) {
    out.all_runs = names_.size();
    out.all_checkpoints = checkpoints_.size();
    std::map<uint64_t, std::vector<const Checkpoint1*>> touched_runs;
    for (Checkpoint1& k : checkpoints_) {
      if (is_touched(k)) touched_runs[k.run];
    }
    for (const Checkpoint1& k : checkpoints_) {
      const auto found = touched_runs.find(k.run);
      if (found != touched_runs.end()) found->second.push_back(&k);
    }
    for (auto& [run, checkpoints] : touched_runs) {
      out.runs.push_back(run_impact(run, checkpoints));
      add(out.price, out.runs.back().price);
      for (const CheckpointImpact& k : out.runs.back().checkpoints) {
        out.touched_checkpoints += k.touched ? 1 : 0;
      }
    }
  }

 private:
  void read_checkpoints() {
    Statement select(store_.db(),
                     "SELECT k.seq, k.run, k.receipt, k.step, k.digest, k.parent, "
                     "COALESCE(v.vae, ''), COALESCE(e.text_encoder, '') FROM checkpoint k "
                     "LEFT JOIN checkpoint_vae v ON v.seq = k.seq "
                     "LEFT JOIN checkpoint_text_encoder e ON e.seq = k.seq ORDER BY k.seq");
    while (select.next()) {
      Checkpoint1 k;
      k.seq = select.unsigned_integer(0);
      k.run = select.unsigned_integer(1);
      k.receipt = select.unsigned_integer(2);
      k.step = select.unsigned_integer(3);
      k.digest = select.text(4);
      k.parent = select.text(5);
      k.vae = select.text(6);
      k.text_encoder = select.text(7);
      checkpoints_.push_back(std::move(k));
    }
    std::unordered_map<std::string, size_t> by_digest;
    for (size_t i = 0; i < checkpoints_.size(); ++i) {
      by_receipt_.emplace(checkpoints_[i].receipt, i);
      by_digest.emplace(checkpoints_[i].digest, i);
    }
    const auto find = [&](Checkpoint1& k, const std::string& digest) -> const Checkpoint1* {
      if (digest.empty()) return nullptr;
      const auto found = by_digest.find(digest);
      k.orphan = k.orphan || found == by_digest.end();
      return found == by_digest.end() ? nullptr : &checkpoints_[found->second];
    };
    for (Checkpoint1& k : checkpoints_) {
      k.before = find(k, k.parent);
      const uint64_t begins = k.before == nullptr ? 0 : k.before->step;
      k.orphan = k.orphan || receipts_.at(k.receipt).first_step != begins;
      for (const std::string* other : {&k.vae, &k.text_encoder}) {
        if (const Checkpoint1* from = find(k, *other)) k.others.push_back(from);
      }
    }
  }

  // Up the line to the first that is known, then down again. Weights that nobody recorded may know
  // of anything. The same goes for those that autoencoder and text encoder are from.
  static bool is_touched(Checkpoint1& k) {
    std::vector<Checkpoint1*> line;
    for (auto* at = &k; at != nullptr && at->touched < 0;
         at = const_cast<Checkpoint1*>(at->before)) {
      at->touched = at->first_touch != kNever || at->orphan ? 1 : 0;
      if (touched_other(*at) != nullptr) at->touched = 1;
      line.push_back(at);
    }
    for (auto at = line.rbegin(); at != line.rend(); ++at) {
      if ((*at)->before != nullptr && (*at)->before->touched == 1) (*at)->touched = 1;
    }
    return k.touched == 1;
  }

  static const Checkpoint1* touched_other(const Checkpoint1& k) {
    const auto found = std::find_if(k.others.begin(), k.others.end(), [](const Checkpoint1* other) {
      return is_touched(const_cast<Checkpoint1&>(*other));
    });
    return found == k.others.end() ? nullptr : *found;
  }

  Price price_of(const Receipt1& r) {
    Price out{r.end_step - r.first_step, r.sample_us, r.machine_us, r.has_machine_us};
    if (r.has_sample_us) return out;
    Statement sum(store_.db(),
                  "SELECT COALESCE(SUM(u.passes * p.duration_us), 0) FROM consumption u "
                  "JOIN sample p ON p.seq = u.sample WHERE u.receipt = ?");
    sum.with(r.seq).next();
    out.sample_us = sum.unsigned_integer(0);
    return out;
  }

  static CheckpointImpact told(const Checkpoint1& k) {
    return {k.seq, k.step, k.digest, k.touched == 1};
  }

  RunImpact run_impact(uint64_t run, std::vector<const Checkpoint1*>& checkpoints) {
    std::sort(checkpoints.begin(), checkpoints.end(),
              [](const auto* a, const auto* b) { return a->step < b->step; });
    RunImpact out;
    out.seq = run;
    out.run = names_.at(run);
    out.first_step = kNever;
    const Touch& own = by_run_[run];
    out.passes = own.passes;
    out.sample_us = own.sample_us;
    const Checkpoint1* clean = nullptr;
    for (const Checkpoint1* k : checkpoints) {
      out.checkpoints.push_back(told(*k));
      const Receipt1& receipt = receipts_.at(k->receipt);
      if (k->touched == 0) {
        clean = k;
        continue;
      }
      add(out.price, price_of(receipt));
      const Checkpoint1* other = touched_other(*k);
      const bool inherited =
          k->orphan || other != nullptr || (k->before != nullptr && k->before->touched == 1);
      const uint64_t first = inherited ? receipt.first_step : k->first_touch;
      out.end_step = std::max(out.end_step, receipt.end_step);
      if (first >= out.first_step) continue;
      out.first_step = first;
      out.first_receipt = receipt.seq;
      if (k->orphan) {
        out.through = "weights that are not on record";
      } else if (other != nullptr) {
        out.through = names_.at(other->run);
      } else if (inherited && k->before->run != run) {
        out.through = names_.at(k->before->run);
      }
    }
    if (clean == nullptr) {
      for (clean = checkpoints.front(); clean != nullptr && clean->touched == 1;) {
        clean = clean->before;
      }
    }
    if (clean != nullptr) {
      out.clean = told(*clean);
      out.clean_run = names_.at(clean->run);
    }
    return out;
  }

  const Store& store_;
  std::unordered_map<uint64_t, std::string> names_;
  std::unordered_map<uint64_t, Receipt1> receipts_;
  std::vector<Checkpoint1> checkpoints_;
  std::unordered_map<uint64_t, size_t> by_receipt_;
  std::unordered_map<uint64_t, Touch> by_run_;
};

// The clips' samples in one shard.
struct InShard {
  struct Place {
    uint64_t position = 0, duration_us = 0;
    size_t clip = 0;  // index into Asked::clips
  };
  std::vector<Place> places;  // by position
};

// From clips to what consumed them.
class Consumers {
 public:
  Consumers(const Store& store, const Asked& asked, Runs& runs)
      : store_(store), runs_(runs), consumed_(asked.clips.size()) {
    Statement samples(store.db(),
                      "SELECT shard, position, duration_us, first FROM sample WHERE clip = ?");
    std::set<std::pair<uint64_t, size_t>> firsts;  // several samples of one digest are one
    for (size_t i = 0; i < asked.clips.size(); ++i) {
      for (samples.with(asked.clips[i]); samples.next();) {
        const uint64_t duration_us = samples.unsigned_integer(2);
        shards_[samples.unsigned_integer(0)].places.push_back(
            {samples.unsigned_integer(1), duration_us, i});
        if (firsts.emplace(samples.unsigned_integer(3), i).second) {
          firsts_.push_back({samples.unsigned_integer(3), duration_us, i});
        }
      }
    }
  }

  void fill(Impact& out) {
    const bool singles = store_.db().integer("SELECT EXISTS(SELECT 1 FROM consumed)") != 0;
    if (singles) by_sample();
    for (auto& [shard, in] : shards_) out.shards.push_back(by_shard(shard, in));
    out.consumed_clips =
        static_cast<uint64_t>(std::count(consumed_.begin(), consumed_.end(), true));
  }

 private:
  struct First {
    uint64_t sample = 0, duration_us = 0;
    size_t clip = 0;
  };

  void by_sample() {
    Statement select(store_.db(),
                     "SELECT receipt, passes, first_step FROM consumed WHERE sample = ?");
    for (const First& first : firsts_) {
      for (select.with(first.sample); select.next();) {
        const uint64_t receipt = select.unsigned_integer(0);
        if (!runs_.is_closed(receipt)) continue;
        const uint64_t passes = select.unsigned_integer(1);
        runs_.touch(receipt, {select.unsigned_integer(2), passes, passes * first.duration_us});
        consumed_[first.clip] = true;
      }
    }
  }

  // Of a shard that is all the clips', the sums of each record will do; of others its samples have
  // to be looked at one by one.
  ShardImpact by_shard(uint64_t shard, InShard& in) {
    ShardImpact out;
    out.seq = shard;
    std::sort(in.places.begin(), in.places.end(),
              [](const auto& a, const auto& b) { return a.position < b.position; });
    Statement named(store_.db(), "SELECT root, name, samples FROM shard WHERE seq = ?");
    if (!named.with(shard).next()) {
      throw Error(Errc::corrupt, store_.path().string(), ": has no shard of record ", shard,
                  "; run ledger verify");
    }
    out.root = named.text(0);
    out.name = named.text(1);
    out.of = named.unsigned_integer(2);
    out.samples = in.places.size();
    const bool whole = out.samples == out.of;
    std::set<uint64_t> runs;
    Statement sums(store_.db(),
                   "SELECT seq, receipt, first_step, passes, sample_us, samples FROM "
                   "consumed_shard WHERE shard = ?");
    for (sums.with(shard); sums.next();) {
      const uint64_t receipt = sums.unsigned_integer(1);
      if (!runs_.is_closed(receipt)) continue;
      Touch touch{sums.unsigned_integer(2), sums.unsigned_integer(3), sums.unsigned_integer(4)};
      if (!whole || !all_marked(in, sums.unsigned_integer(5))) {
        const Touch own = look_at_each(sums.unsigned_integer(0), in);
        if (!whole) touch = own;
      }
      if (touch.passes == 0) continue;
      runs_.touch(receipt, touch);
      runs.insert(runs_.run_of(receipt));
    }
    out.runs = runs.size();
    return out;
  }

  // Are all clips of the shard known to be consumed, or become so by a record of so many samples?
  bool all_marked(const InShard& in, uint64_t samples) {
    if (samples == in.places.size()) {
      for (const auto& place : in.places) consumed_[place.clip] = true;
      return true;
    }
    return std::all_of(in.places.begin(), in.places.end(),
                       [&](const auto& place) { return consumed_[place.clip]; });
  }

  Touch look_at_each(uint64_t record, const InShard& in) {
    Touch out;
    if (!each_)
      each_.emplace(store_.db(), "SELECT position, each FROM consumed_shard WHERE seq = ?");
    each_->with(record).next();
    const uint64_t from = each_->unsigned_integer(0);
    const auto samples = parse_consumption(each_->view(1));
    for (const auto& place : in.places) {
      if (place.position < from || place.position - from >= samples.size()) continue;
      const SampleConsumption& sample = samples[place.position - from];
      if (sample.passes == 0) continue;
      consumed_[place.clip] = true;
      out.first_step = std::min(out.first_step, sample.first_step);
      out.passes += sample.passes;
      out.sample_us += sample.passes * place.duration_us;
    }
    return out;
  }

  const Store& store_;
  Runs& runs_;
  std::vector<bool> consumed_;
  std::map<uint64_t, InShard> shards_;
  std::vector<First> firsts_;
  std::optional<Statement> each_;
};

void add_releases(const Store& store, Impact& out) {
  std::set<std::string, std::less<>> touched;
  for (const RunImpact& run : out.runs) {
    for (const CheckpointImpact& k : run.checkpoints) {
      if (k.touched) touched.insert(k.digest);
    }
  }
  const std::string now = format_time(judging_time_us(store));
  Statement select(store.db(),
                   "SELECT seq, run, checkpoint, step, use, territory, issued_at, expires_at, "
                   "signers, COALESCE(taken_back, '') FROM released ORDER BY seq");
  while (select.next()) {
    if (!touched.contains(select.view(2))) continue;
    ReleaseImpact r;
    r.seq = select.unsigned_integer(0);
    r.run = select.text(1);
    r.checkpoint = select.text(2);
    r.step = select.unsigned_integer(3);
    r.use = select.text(4);
    r.territory = select.text(5);
    r.issued_at = select.text(6);
    r.expires_at = select.text(7);
    r.signers = select.text(8);
    r.taken_back = select.text(9);
    r.runs = r.taken_back.empty() && now < r.expires_at;
    out.releases.push_back(std::move(r));
  }
}

Impact impact_of(const Store& store, const Asked& asked) {
  keep_pages(store.db());
  Impact out;
  out.what = asked.what;
  out.about = asked.about;
  out.sources = asked.sources.size();
  out.clips = asked.clips.size();
  out.clip_records = asked.clips;
  Statement length(store.db(), "SELECT end_us - start_us FROM clip WHERE seq = ?");
  for (const uint64_t clip : asked.clips) {
    if (length.with(clip).next()) out.duration_us += length.unsigned_integer(0);
  }
  Runs runs(store);
  Consumers(store, asked, runs).fill(out);
  runs.fill(out);
  add_releases(store, out);
  return out;
}

}  // namespace

Impact impact_of(const Store& store, const std::string& what) {
  return impact_of(store, ask(store, what));
}

Impact impact_of(const Store& store, const LicenceText& terms) {
  Asked asked;
  asked.what = "licence " + licence_ref(terms);
  asked.sources = sources_covered_by(store, terms);
  add_clips_of_sources(store, asked);
  add_copied_clips(store, asked);
  return impact_of(store, asked);
}

namespace {

// Steps and costs of a run from `step` on, in proportion to the whole.
Price part_of(const Price& whole, uint64_t step) {
  Price out = whole;
  out.steps = whole.steps - std::min(step, whole.steps);
  if (whole.steps == 0) return out;
  const auto part = [&](uint64_t value) {
    return static_cast<uint64_t>(static_cast<long double>(value) * out.steps / whole.steps);
  };
  out.sample_us = part(whole.sample_us);
  out.machine_us = part(whole.machine_us);
  return out;
}

}  // namespace

std::vector<Forecast> forecast(const Store& store, const LicenceText& terms, const Impact& impact) {
  const auto& lines = terms.allows().model();
  const bool every = std::find(lines.begin(), lines.end(), "*") != lines.end();
  uint64_t mine = 0;
  for (const ShardImpact& shard : impact.shards) mine += shard.samples;
  if (mine == 0) mine = impact.clips;  // not packed yet
  std::vector<Forecast> out;
  Statement newest(store.db(),
                   "SELECT p.model, MAX(r.seq), r.name, r.permit FROM run r "
                   "JOIN permit p ON p.seq = r.permit WHERE EXISTS (SELECT 1 FROM checkpoint k "
                   "WHERE k.run = r.seq) GROUP BY p.model ORDER BY p.model");
  Statement sums(store.db(),
                 "SELECT COALESCE(SUM(t.end_step - t.first_step), 0), "
                 "COALESCE(SUM(c.sample_us), 0), COALESCE(SUM(c.machine_us), 0), "
                 "COUNT(*) = COUNT(c.machine_us), "
                 "(SELECT COALESCE(SUM(u.passes), 0) FROM receipt t JOIN consumed u "
                 "ON u.receipt = t.seq WHERE t.run = ?1) + (SELECT COALESCE(SUM(u.passes), 0) "
                 "FROM receipt t JOIN consumed_shard u ON u.receipt = t.seq WHERE t.run = ?1) "
                 "FROM receipt t LEFT JOIN receipt_cost c ON c.seq = t.seq WHERE t.run = ?1");
  Statement listed(store.db(),
                   "SELECT COALESCE(SUM(h.samples), 0) FROM permitted_shard m JOIN shard h "
                   "ON h.seq = m.shard WHERE m.permit = ?");
  while (newest.next()) {
    Forecast f;
    f.model = newest.text(0);
    if (!every && std::find(lines.begin(), lines.end(), f.model) == lines.end()) continue;
    f.run = newest.text(2);
    sums.with(newest.unsigned_integer(1)).next();
    f.whole = {sums.unsigned_integer(0), sums.unsigned_integer(1), sums.unsigned_integer(2),
               sums.integer(3) != 0};
    f.steps = f.whole.steps;
    f.passes = sums.unsigned_integer(4);
    listed.with(newest.unsigned_integer(3)).next();
    f.samples = listed.unsigned_integer(0);
    f.covered = mine;
    if (impact.consumed_clips == 0) f.samples += mine;  // it would come on top
    if (f.samples == 0 || f.passes == 0 || mine == 0) continue;
    f.covered = std::min(mine, f.samples);
    // Of n samples in random order, the first of k comes at (n + 1) / (k + 1) on average.
    const uint64_t draws = (f.samples + 1) / (f.covered + 1);
    f.first_step = std::min(f.steps, draws * f.steps / f.passes);
    f.last_step = f.steps - (f.steps * f.covered + f.samples - 1) / f.samples;
    f.expected = part_of(f.whole, f.first_step);
    f.last = part_of(f.whole, f.last_step);
    out.push_back(std::move(f));
  }
  return out;
}

std::vector<UntouchedRun> untouched_runs(const Store& store, const Impact& impact) {
  std::set<uint64_t> touched;
  for (const RunImpact& run : impact.runs) touched.insert(run.seq);
  std::vector<UntouchedRun> out;
  Statement runs(store.db(), "SELECT seq, name FROM run ORDER BY seq");
  while (runs.next()) {
    if (touched.contains(runs.unsigned_integer(0))) continue;
    out.push_back({runs.unsigned_integer(0), runs.text(1), {}});
  }
  std::map<uint64_t, UntouchedRun*> by_record;
  for (UntouchedRun& run : out) by_record[run.seq] = &run;
  Statement checkpoints(store.db(),
                        "SELECT run, seq, step, digest FROM checkpoint ORDER BY step, seq");
  while (checkpoints.next()) {
    const auto of = by_record.find(checkpoints.unsigned_integer(0));
    if (of == by_record.end()) continue;
    of->second->checkpoints.push_back({checkpoints.unsigned_integer(1),
                                       checkpoints.unsigned_integer(2), checkpoints.text(3),
                                       false});
  }
  return out;
}

std::vector<std::string> clip_ids(const Store& store, const Impact& impact) {
  std::vector<std::string> out;
  Statement id(store.db(), "SELECT id FROM clip WHERE seq = ?");
  for (const uint64_t clip : impact.clip_records) {
    if (id.with(clip).next()) out.push_back(id.text(0));
  }
  return out;
}

std::vector<uint64_t> named_records(const Impact& impact) {
  std::set<uint64_t> out(impact.about.begin(), impact.about.end());
  for (const ShardImpact& shard : impact.shards) out.insert(shard.seq);
  for (const RunImpact& run : impact.runs) {
    out.insert({run.seq, run.first_receipt});
    if (run.clean) out.insert(run.clean->seq);
    for (const CheckpointImpact& k : run.checkpoints) {
      if (k.touched) out.insert(k.seq);
    }
  }
  for (const ReleaseImpact& release : impact.releases) out.insert(release.seq);
  return {out.begin(), out.end()};
}

std::vector<TlogProof> prove_records(const Store& store, const std::vector<uint64_t>& seqs,
                                     const std::string& head) {
  if (head.empty()) return {};
  const uint64_t size = parse_tree_head(parse_note(head).text).size;
  std::vector<uint64_t> covered;
  for (const uint64_t seq : seqs) {
    if (seq < size) covered.push_back(seq);
  }
  std::vector<TlogProof> out(covered.size());
  parallel_for((covered.size() + kProofsAtOnce - 1) / kProofsAtOnce, [&](size_t task) {
    const Database db = Database::open(store.path(), Access::read);
    const Tree tree(db);
    const Entries entries(db);
    const size_t end = std::min(covered.size(), (task + 1) * kProofsAtOnce);
    for (size_t i = task * kProofsAtOnce; i < end; ++i) {
      const uint64_t seq = covered[i];
      out[i] = {entries.read(seq), seq, tree.inclusion_proof(seq, size), head};
    }
  });
  return out;
}

}  // namespace cleared::ledger
