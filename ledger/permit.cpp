#include "ledger/permit.h"

#include <algorithm>
#include <set>
#include <unordered_map>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/retention.h"
#include "ledger/rules.h"
#include "ledger/shard_proof.h"
#include "ledger/textproto.h"
#include "ledger/tree.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

// Whoever has a permit trains under it, whatever it calls that.
void require_training(const Purpose& purpose, const std::string& run) {
  if (trains(purpose.use())) return;
  throw Refused(no("not_for_training",
                   "run " + run + " trains, and its purpose is " + Use_Name(purpose.use())));
}

TreeHead newest_head(const Store& store) {
  const std::string note = store.newest_head_note();
  if (note.empty()) {
    throw Error(Errc::not_found, store.path().string(),
                ": has no signed tree head; sign one with ledger sign-head");
  }
  return parse_tree_head(parse_note(note).text);
}

// Roots, in the order of their approval, of shards whose name starts with `only`.
std::vector<std::string> approved_shards(const Store& store, Use use,
                                         const std::string& only = "") {
  std::vector<std::string> roots;
  Statement select(store.db(),
                   "SELECT h.root FROM approved_shard s JOIN approval a ON a.seq = s.seq "
                   "JOIN shard h ON h.seq = s.shard WHERE a.use = ? "
                   "AND substr(h.name, 1, length(?)) = ? "
                   "GROUP BY h.seq ORDER BY MIN(a.seq), h.seq");
  select.with(Use_Name(use), only, only);
  while (select.next()) roots.push_back(select.text(0));
  return roots;
}

// Of each sample of the shard its clip, and those of samples with the very same bytes: what was
// consumed of any of them is the same footage. And so are a clip's latent and its video.
constexpr std::string_view kClipsOfShard =
    "SELECT q.clip FROM sample p JOIN sample q ON q.first = p.first WHERE p.shard = ?";

// How often runs of this model line have consumed the footage of the most consumed sample of the
// shard. All runs: restarts, resumes and forks consume the same clips of the same line.
uint64_t passes_used(const Store& store, uint64_t shard, const std::string& model) {
  std::unordered_map<uint64_t, std::set<uint64_t>> clips_of;  // by sample of the shard
  std::unordered_map<uint64_t, uint64_t> passes;              // by clip
  Statement clips(store.db(),
                  "SELECT p.seq, q.clip FROM sample p JOIN sample q ON q.first = p.first "
                  "WHERE p.shard = ?");
  for (clips.with(shard); clips.next();) {
    clips_of[clips.unsigned_integer(0)].insert(clips.unsigned_integer(1));
    passes[clips.unsigned_integer(1)] = 0;
  }
  const auto count = [&](uint64_t clip, uint64_t more) {
    const auto found = passes.find(clip);
    if (found != passes.end()) found->second += more;
  };
  const std::string of_line =
      "JOIN receipt c ON c.seq = u.receipt JOIN run r ON r.seq = c.run "
      "JOIN permit t ON t.seq = r.permit WHERE t.model = ? AND ";
  const std::string in_clips = "clip IN (" + std::string(kClipsOfShard) + ")";
  Statement singles(store.db(),
                    "SELECT p.clip, u.passes FROM consumed u JOIN sample p ON p.seq = u.sample " +
                        of_line + "p." + in_clips);
  for (singles.with(model, shard); singles.next();) {
    count(singles.unsigned_integer(0), singles.unsigned_integer(1));
  }
  Statement others(store.db(), "SELECT DISTINCT shard FROM sample WHERE " + in_clips);
  Statement in_order(store.db(), "SELECT clip FROM sample WHERE shard = ? ORDER BY position");
  Statement shards(store.db(),
                   "SELECT u.position, u.each FROM consumed_shard u " + of_line + "u.shard = ?");
  for (others.with(shard); others.next();) {
    const uint64_t other = others.unsigned_integer(0);
    std::vector<uint64_t> of;
    for (in_order.with(other); in_order.next();) of.push_back(in_order.unsigned_integer(0));
    for (shards.with(model, other); shards.next();) {
      uint64_t position = shards.unsigned_integer(0);
      for (const SampleConsumption& sample : parse_consumption(shards.view(1))) {
        count(of.at(position++), sample.passes);
      }
    }
  }
  uint64_t most = 0;
  for (const auto& [sample, its] : clips_of) {
    uint64_t total = 0;
    for (const uint64_t clip : its) total += passes[clip];
    most = std::max(most, total);
  }
  return most;
}

// The permits in whose place a newer one comes when this run goes on: those that it consumed under
// by the record, and where one of them took up another run, that run's.
std::set<uint64_t> permits_of(const Store& store, const std::string& run) {
  std::set<uint64_t> out;
  std::set<std::string> runs;
  Statement begun(store.db(),
                  "SELECT p.digest FROM run r JOIN permit p ON p.seq = r.permit WHERE r.name = ?");
  Statement receipts(store.db(),
                     "SELECT c.note FROM run r JOIN receipt c ON c.run = r.seq WHERE r.name = ?");
  Statement permit(store.db(), "SELECT seq, note FROM permit WHERE digest = ?");
  for (std::vector<std::string> open{run}; !open.empty();) {
    const std::string name = open.back();
    open.pop_back();
    if (name.empty() || !runs.insert(name).second) continue;
    std::set<std::string> digests;
    for (begun.with(name); begun.next();) digests.insert(begun.text(0));
    for (receipts.with(name); receipts.next();) {
      const auto text = parse_noted<ReceiptText>(parse_note(receipts.text(0)), "receipt");
      digests.insert(to_hex(require_digest_name(text.receipt().permit(), "receipt.permit")));
    }
    for (const std::string& digest : digests) {
      if (!permit.with(digest).next() || !out.insert(permit.unsigned_integer(0)).second) continue;
      const auto text = parse_noted<PermitText>(parse_note(permit.text(1)), "permit");
      if (text.permit().has_counted()) open.push_back(text.permit().counted().run());
    }
  }
  return out;
}

// A permit that has not ended may still be spent, so its passes are not given away twice: but by
// one that comes in its place.
bool is_reserved(const Store& store, uint64_t shard, const Purpose& purpose,
                 const std::set<uint64_t>& replaced, uint64_t now) {
  Statement select(store.db(),
                   "SELECT p.seq FROM permitted_shard ps JOIN permit p ON p.seq = ps.permit "
                   "WHERE ps.shard IN (SELECT shard FROM sample WHERE clip IN (" +
                       std::string(kClipsOfShard) + ")) AND p.model = ? AND p.expires_at > ?");
  for (select.with(shard, purpose.model(), format_time(now)); select.next();) {
    if (!replaced.contains(select.unsigned_integer(0))) return true;
  }
  return false;
}

// A run that goes on is of the same config: of no other are its permits replaced.
void require_same_run(const std::string& resumes, const std::string& run) {
  if (resumes.starts_with(run + "-")) return;
  throw Error(Errc::corrupt, "permit for run ", run, ": ", resumes,
              " is no run of it, so it cannot go on as one");
}

// The passes that limits leave for the shard: nothing when no licence of it counts passes.
std::optional<uint64_t> passes_left(const Store& store, const Rights& rights,
                                    const ShardStanding& shard, const Purpose& purpose,
                                    const std::set<uint64_t>& replaced, uint64_t now) {
  std::optional<uint64_t> least;
  for (const std::string& ref : shard.licences) {
    const LicenceText* terms = rights.terms_of(ref);
    if (terms == nullptr || !terms->limits().has_max_passes()) continue;
    least = std::min(least.value_or(UINT64_MAX), uint64_t{terms->limits().max_passes()});
  }
  if (!least) return least;
  if (is_reserved(store, shard.seq, purpose, replaced, now)) {
    throw Refused(no("passes_reserved",
                     "shard " + shard.root +
                         " counts passes, and an earlier permit of model line " + purpose.model() +
                         " has not ended yet, nor been used, by the record, by a run that goes on "
                         "under this one"));
  }
  const uint64_t used = passes_used(store, shard.seq, purpose.model());
  return *least > used ? *least - used : 0;
}

// Does a licence of the shard ask for RETRAIN when its footage is removed?
bool is_revocable(const Rights& rights, const ShardStanding& shard) {
  return std::any_of(shard.licences.begin(), shard.licences.end(), [&](const std::string& ref) {
    const LicenceText* terms = rights.terms_of(ref);
    if (terms == nullptr) return false;
    const auto& tiers = terms->removal().tier();
    return std::find(tiers.begin(), tiers.end(), Removal::RETRAIN) != tiers.end();
  });
}

// When the newest record under the head was taken.
std::string head_time(const Store& store, uint64_t size) {
  const std::string at = size > 0 ? time_of_record(store, size - 1) : "";
  if (at.empty()) {
    throw Error(Errc::corrupt, store.path().string(), ": has no time before record ", size);
  }
  return at;
}

// Proofs of a permit are under the head that it names, so the head must cover its shards.
void require_covered(const ShardStanding& shard, const TreeHead& head) {
  if (shard.seq < head.size) return;
  throw Error(Errc::not_found, "shard ", shard.root,
              ": is under no signed tree head yet; run ledger sign-head where the log's key is");
}

// Verifier keys whose revocations a permit or a release must obey.
std::vector<std::string> revokers_of(const Store& store) {
  std::vector<std::string> out;
  for (const std::string role : {"approver", "licensor"}) {
    for (const VerifierKey& key : store.authority().keys_of(role, store.size())) {
      out.push_back(format_verifier_key(key));
    }
  }
  return out;
}

// The signed tree head of exactly this size.
std::string head_of_size(const Store& store, uint64_t size) {
  Statement select(store.db(), "SELECT note FROM tree_head WHERE size = ? AND note IS NOT NULL");
  if (!select.with(size).next()) {
    throw Error(Errc::corrupt, store.path().string(), ": has no signed tree head of size ", size);
  }
  return select.text(0);
}

// The fact of a record that the log is known to hold.
Fact fact_of(const Store& store, uint64_t seq) {
  Record record;
  Fact fact;
  if (!record.ParseFromString(store.record_bytes(seq)) || !fact.ParseFromString(record.fact())) {
    throw Error(Errc::corrupt, store.path().string(), ": record ", seq, " does not parse");
  }
  return fact;
}

// By licensor, the strictest max_share of its licences, where that says anything.
std::map<std::string, double> share_limits(const Rights& rights,
                                           const std::vector<ShardStanding>& shards) {
  std::map<std::string, double> out;
  for (const ShardStanding& shard : shards) {
    for (const std::string& ref : shard.licences) {
      const LicenceText* terms = rights.terms_of(ref);
      if (terms == nullptr || !terms->limits().has_max_share()) continue;
      if (terms->limits().max_share() >= 1) continue;
      const auto [at, added] = out.try_emplace(terms->licence().licensor(), 1.0);
      at->second = std::min(at->second, terms->limits().max_share());
    }
  }
  return out;
}

// Who may have how much of the run, and whose the samples of each shard are: what a node needs to
// plan its epochs.
void set_shares(const std::map<std::string, double>& limits, Permit& permit) {
  for (const auto& [licensor, most] : limits) {
    auto* share = permit.add_share();
    share->set_licensor(licensor);
    share->set_most(most);
  }
}
void set_parts(const std::map<std::string, double>& limits, const ShardStanding& standing,
               Permit::Shard& shard) {
  for (const auto& [licensor, samples] : standing.parts) {
    const auto at = limits.find(licensor);
    const auto share =
        at == limits.end() ? 0 : static_cast<uint32_t>(std::distance(limits.begin(), at)) + 1;
    if (shard.part_size() > 0 && shard.part().rbegin()->share() == share) {
      auto& last = *shard.mutable_part()->rbegin();
      last.set_samples(last.samples() + samples);
    } else {
      auto* part = shard.add_part();
      part->set_share(share);
      part->set_samples(samples);
    }
  }
  if (shard.part_size() == 1 && shard.part(0).share() == 0) shard.clear_part();
}

// Throws Refused when no order holds the shares.
std::optional<SharePlan> plan_of(const Store& store, const Permit& permit,
                                 const PermitRequest& request) {
  if (permit.share_size() == 0) return {};
  if (request.revocable_last) refuse_revocable_last(permit);
  if (request.buckets) refuse_buckets(permit);
  ShareRequest asked{limits_of(permit), {}, request.drawn + request.draws, request.fit};
  for (const Permit::Shard& shard : permit.shard()) {
    const auto seq = shard_record(store, to_hex(require_digest_name(shard.root(), "shard")));
    const auto groups = groups_of(shard);
    const Manifest manifest = recorded_samples(store, seq);
    for (size_t i = 0; i < manifest.samples.size(); ++i) {
      const ManifestSample& sample = manifest.samples[i];
      asked.samples.push_back({sample.digest, sample.duration_us, groups.at(i)});
    }
  }
  return plan_shares(asked);
}

// Throws Refused when the run might consume a clip more often than is left, in all samples of it.
void check_passes(const Store& store, const Permit& permit, const std::optional<SharePlan>& plan,
                  const PermitRequest& request) {
  const bool counts = std::any_of(permit.shard().begin(), permit.shard().end(),
                                  [](const auto& shard) { return shard.has_max_passes(); });
  if (!counts) return;
  uint64_t samples = 0;
  for (const Permit::Shard& shard : permit.shard()) samples += shard.samples();
  std::vector<uint64_t> of_group(plan ? plan->groups.size() : 1,
                                 (request.draws + samples - 1) / samples);
  for (size_t g = 0; plan && g < of_group.size(); ++g) {
    of_group[g] = plan->most_passes(g, request.draws);
  }
  std::map<Digest, uint64_t> passes;  // by clip
  const auto each_clip = [&](const Permit::Shard& shard, const auto& body) {
    const auto seq = shard_record(store, to_hex(require_digest_name(shard.root(), "shard")));
    const auto groups = groups_of(shard);
    const Manifest manifest = recorded_samples(store, seq);
    for (size_t i = 0; i < manifest.samples.size(); ++i) body(manifest.samples[i].clip, groups[i]);
  };
  for (const Permit::Shard& shard : permit.shard()) {
    each_clip(shard, [&](const Digest& clip, uint32_t group) {
      passes[clip] += request.passes_before + of_group[group];
    });
  }
  for (const Permit::Shard& shard : permit.shard()) {
    if (!shard.has_max_passes()) continue;
    each_clip(shard, [&](const Digest& clip, uint32_t) {
      if (passes[clip] <= shard.max_passes()) return;
      throw Refused(no("passes_exceeded", "the run takes " + std::to_string(passes[clip]) +
                                              " passes, and " + std::to_string(shard.max_passes()) +
                                              " are left for shard " + shard.root()));
    });
  }
}

// What came of footage on record is no weights from elsewhere: those who follow footage through
// checkpoints would lose it there.
void refuse_own_weights(const Store& store, const Foreign& weights) {
  const Digest digest = require_digest_name(weights.weights(), "foreign.weights");
  Statement own(store.db(),
                "SELECT r.name, k.step FROM checkpoint k JOIN run r ON r.seq = k.run "
                "WHERE k.digest = ?");
  if (!own.with(to_hex(digest)).next()) return;
  throw Refused(no("foreign_not_allowed", "weights " + weights.weights() +
                                              " are not from elsewhere: they are the checkpoint of "
                                              "step " +
                                              own.text(1) + " of run " + own.text(0) +
                                              " on this record"));
}

}  // namespace

uint64_t end_of_run(const Store& store, const std::string& run) {
  Statement select(store.db(),
                   "SELECT MAX(k.step) FROM run r JOIN checkpoint k ON k.run = r.seq "
                   "WHERE r.name = ?");
  if (!select.with(run).next() || select.type(0) == ValueType::null) {
    throw Error(Errc::not_found, store.path().string(), ": has no checkpoint of run ", run,
                "; append its outbox first");
  }
  return select.unsigned_integer(0);
}

PlannedPermit make_permit(const Store& store, const Rights& rights, const PermitRequest& request) {
  if (request.hours < 1 || request.hours > kMaxPermitHours) {
    throw Error(Errc::usage, "permit: --hours must be 1 to ", kMaxPermitHours);
  }
  require_training(request.purpose, request.run);
  const uint64_t now = judging_time_us(store);
  const TreeHead head = newest_head(store);
  PlannedPermit out;
  Permit& permit = *out.text.mutable_permit();
  permit.set_run(request.run);
  permit.set_config_digest(digest_name(request.config_digest));
  *permit.mutable_purpose() = request.purpose;
  permit.set_issued_at(format_time(now));
  permit.set_expires_at(format_time(now + request.hours * kHourUs));
  permit.set_origin(head.origin);
  permit.set_tree_size(head.size);
  permit.set_tree_root(digest_name(head.root));
  permit.set_tree_at(head_time(store, head.size));
  if (!request.resumes.empty()) {
    require_same_run(request.resumes, request.run);
    permit.mutable_counted()->set_run(request.resumes);
    permit.mutable_counted()->set_end_step(end_of_run(store, request.resumes));
  }

  for (const std::string& weights : request.starts_from) {
    if (std::none_of(request.foreign.begin(), request.foreign.end(),
                     [&](const Foreign& known) { return known.weights() == weights; })) {
      throw Refused(no("foreign_unregistered", "the config of run " + request.run +
                                                   " starts from foreign weights " + weights +
                                                   ": give their signed description, --weights"));
    }
  }
  for (const Foreign& weights : request.foreign) {
    refuse_own_weights(store, weights);
    *permit.add_foreign() = weights;
  }

  const Act act{request.purpose.use(), request.height_px, &request.purpose};
  std::vector<ShardStanding> shards;
  const auto approved = approved_shards(store, request.purpose.use(), request.only);
  for (ShardStanding& shard : judge_shards(store, rights, approved, act)) {
    if (shard.verdict.cleared) {
      require_covered(shard, head);
      shards.push_back(std::move(shard));
    } else if (!request.leave_out_refused) {
      throw Refused(shard.verdict);
    }
  }
  if (shards.empty()) {
    throw Refused(no(
        "nothing_permitted",
        (request.only.empty() ? std::string("no shard") : "no shard \"" + request.only + "...\"") +
            " is approved for " + Use_Name(request.purpose.use()) + " and allowed"));
  }
  const auto limits = share_limits(rights, shards);
  set_shares(limits, permit);
  const std::set<uint64_t> replaced = permits_of(store, request.resumes);
  for (const ShardStanding& shard : shards) {
    auto* listed = permit.add_shard();
    listed->set_root("sha256:" + shard.root);
    listed->set_samples(shard.samples);
    for (const std::string& ref : shard.licences) listed->add_licence(ref);
    listed->set_valid_from(shard.valid_from);
    listed->set_valid_to(shard.valid_to);
    if (is_revocable(rights, shard)) listed->set_revocable(true);
    if (!limits.empty()) set_parts(limits, shard, *listed);
    const auto left = passes_left(store, rights, shard, request.purpose, replaced, now);
    if (left) listed->set_max_passes(static_cast<uint32_t>(*left));
  }
  out.plan = plan_of(store, permit, request);
  check_passes(store, permit, out.plan, request);
  for (const std::string& key : revokers_of(store)) permit.add_revoker(key);
  return out;
}

void check_permit(const Store& store, const Rights& rights, const Permit& permit) {
  require_training(permit.purpose(), permit.run());
  const uint64_t now = judging_time_us(store);
  const auto time = [](const std::string& text) { return parse_time(text).value_or(0); };
  if (time(permit.expires_at()) <= now) {
    throw Refused(no("permit_expired", "permit for run " + permit.run() + " ended at " +
                                           permit.expires_at() + ": make a new one"));
  }
  if (time(permit.issued_at()) > now || permit.origin() != store.origin() ||
      parse_note(head_of_size(store, permit.tree_size())).text !=
          format_tree_head({permit.origin(),
                            permit.tree_size(),
                            require_digest_name(permit.tree_root(), "permit.tree_root"),
                            {}})) {
    throw Error(Errc::corrupt, "permit for run ", permit.run(),
                ": names no tree head of this ledger");
  }
  if (permit.has_tree_at() && permit.tree_at() != head_time(store, permit.tree_size())) {
    throw Error(Errc::corrupt, "permit for run ", permit.run(),
                ": its tree head is not of the time that it says");
  }
  if (permit.has_counted()) {
    require_same_run(permit.counted().run(), permit.run());
    if (permit.counted().end_step() > end_of_run(store, permit.counted().run())) {
      throw Error(Errc::corrupt, "permit for run ", permit.run(), ": counts steps of run ",
                  permit.counted().run(), " that are not on record");
    }
  }
  for (const Foreign& weights : permit.foreign()) refuse_own_weights(store, weights);
  const auto approved = approved_shards(store, permit.purpose().use());
  const Act act{permit.purpose().use(), 0, &permit.purpose()};
  const std::set<std::string> may(approved.begin(), approved.end());
  std::vector<std::string> roots;
  for (const Permit::Shard& shard : permit.shard()) {
    roots.push_back(to_hex(require_digest_name(shard.root(), "permit.shard.root")));
    if (!may.contains(roots.back())) throw Refused(no("not_approved", "shard " + roots.back()));
  }
  const auto standings = judge_shards(store, rights, roots, act);
  for (const ShardStanding& standing : standings) {
    if (!standing.verdict.cleared) throw Refused(standing.verdict);
  }
  const auto limits = share_limits(rights, standings);
  Permit now_said;
  set_shares(limits, now_said);
  const std::set<uint64_t> replaced = permits_of(store, permit.counted().run());
  for (int i = 0; i < permit.shard_size(); ++i) {
    const Permit::Shard& shard = permit.shard(i);
    const ShardStanding& standing = standings[static_cast<size_t>(i)];
    const std::string& root = standing.root;
    Permit::Shard* parts = now_said.add_shard();
    if (!limits.empty()) set_parts(limits, standing, *parts);
    if (shard.samples() != standing.samples || shard.valid_from() != standing.valid_from ||
        shard.valid_to() != standing.valid_to ||
        shard.revocable() != is_revocable(rights, standing) ||
        !same_messages(shard.part(), parts->part()) ||
        !same_messages(permit.share(), now_said.share()) ||
        !std::equal(shard.licence().begin(), shard.licence().end(), standing.licences.begin(),
                    standing.licences.end())) {
      throw Error(Errc::corrupt, "permit for run ", permit.run(), ": its terms for shard ", root,
                  " are not those that the ledger has now; make a new one");
    }
    const auto left = passes_left(store, rights, standing, permit.purpose(), replaced, now);
    if (left && (!shard.has_max_passes() || shard.max_passes() > *left)) {
      throw Refused(
          no("passes_exceeded", std::to_string(*left) + " passes are left for shard " + root));
    }
  }
}

ReleaseText make_release(const Store& store, const CheckpointStanding& standing,
                         const ReleaseRequest& request) {
  constexpr uint64_t kDayUs = 24 * kHourUs;
  if (!standing.verdict.cleared) throw Refused(standing.verdict);
  if (request.hours < 1 || request.hours > kMaxPermitHours) {
    throw Error(Errc::usage, "release: --hours must be 1 to ", kMaxPermitHours);
  }
  const TreeHead head = newest_head(store);
  const uint64_t now = judging_time_us(store);
  uint64_t end = now + request.hours * kHourUs;
  if (!standing.last_day.empty()) {
    end = std::min(end, parse_time(standing.last_day + "T00:00:00Z").value_or(0) + kDayUs);
  }
  ReleaseText text;
  Release& r = *text.mutable_release();
  r.set_checkpoint(digest_name(request.weights));
  r.set_use(request.use);
  r.set_model(request.model);
  r.set_field_of_use(request.field);
  r.set_territory(request.territory);
  r.set_issued_at(format_time(now));
  r.set_expires_at(format_time(end));
  r.set_origin(head.origin);
  r.set_tree_size(head.size);
  r.set_tree_root(digest_name(head.root));
  r.set_tree_at(head_time(store, head.size));
  for (const std::string& ref : standing.licences) r.add_licence(ref);
  for (const Foreign& weights : standing.foreign) *r.add_foreign() = weights;
  for (const std::string& key : revokers_of(store)) r.add_revoker(key);
  for (const std::string& root : standing.revoked_shards) r.add_revoked_shard(root);
  return text;
}

std::string shard_proofs(const Store& store, const Permit& permit) {
  const std::string head = head_of_size(store, permit.tree_size());
  const Tree tree(store.db());
  std::vector<TlogProof> proofs;
  for (const Permit::Shard& shard : permit.shard()) {
    const uint64_t seq =
        shard_record(store, to_hex(require_digest_name(shard.root(), "permit.shard.root")));
    proofs.push_back(
        {store.record_bytes(seq), seq, tree.inclusion_proof(seq, permit.tree_size()), head});
  }
  return format_shard_proofs(proofs);
}

ApprovalProof prove_approval(const Store& store, uint64_t what) {
  Statement select(store.db(),
                   "SELECT a.seq, p.shard, p.position, h.root FROM sample p "
                   "JOIN approved_shard a ON a.shard = p.shard JOIN shard h ON h.seq = p.shard "
                   "WHERE p.clip = ? OR p.seq = ? ORDER BY a.seq, p.seq LIMIT 1");
  if (!select.with(what, what).next()) {
    throw Error(Errc::not_found, store.path().string(), ": record ", what,
                " is no clip or sample of a shard that was approved");
  }
  const uint64_t approval = select.unsigned_integer(0);
  ApprovalProof out;
  out.sample_index = select.unsigned_integer(2);
  out.shard = require_digest_name("sha256:" + select.text(3), "shard.root");

  const Manifest manifest = recorded_samples(store, select.unsigned_integer(1));
  std::vector<Digest> leaves;
  for (const ManifestSample& s : manifest.samples) {
    leaves.push_back(leaf_digest(as_bytes(sample_line(s))));
  }
  if (out.sample_index >= leaves.size() || root_digest(leaves) != out.shard) {
    throw Error(Errc::corrupt, "shard ", to_hex(out.shard), ": its samples do not add up to it");
  }
  out.sample = manifest.samples[out.sample_index];
  out.samples = leaves.size();
  out.sample_path = inclusion_proof(leaves, out.sample_index);

  const Fact fact = fact_of(store, approval);
  out.approval = fact.approval().note();
  leaves.clear();
  for (const std::string& root : fact.approval().shard()) {
    if (root == out.shard.text()) out.shard_index = leaves.size();
    leaves.push_back(leaf_digest(as_bytes(root)));
  }
  out.shards = leaves.size();
  out.shard_path = inclusion_proof(leaves, out.shard_index);
  Statement policy(store.db(), "SELECT note FROM policy WHERE seq < ? ORDER BY seq DESC LIMIT 1");
  if (policy.with(approval).next()) out.policy = policy.text(0);
  return out;
}

Batch make_approval(const Store& store, const Rights& rights, const std::vector<std::string>& roots,
                    Use use, const std::string& comment) {
  Batch out;
  for (const ShardStanding& shard : judge_shards(store, rights, roots, Act{use})) {
    if (!shard.verdict.cleared) throw Refused(shard.verdict);
    out.shards.push_back(*parse_digest(shard.root));
  }
  std::sort(out.shards.begin(), out.shards.end());
  out.shards.erase(std::unique(out.shards.begin(), out.shards.end()), out.shards.end());
  Approval& approval = *out.text.mutable_approval();
  approval.set_root(digest_name(batch_root(out.shards)));
  approval.set_shards(static_cast<uint32_t>(out.shards.size()));
  approval.set_at(format_time(judging_time_us(store)));
  approval.set_use(use);
  if (!comment.empty()) approval.set_comment(comment);
  return out;
}

Digest batch_root(std::span<const Digest> shards) {
  std::vector<Digest> leaves;
  for (const Digest& shard : shards) leaves.push_back(leaf_digest(shard.bytes));
  return root_digest(leaves);
}

Fact approval_fact(const std::string& note, std::span<const Digest> shards) {
  Fact fact;
  fact.mutable_approval()->set_note(note);
  for (const Digest& shard : shards) fact.mutable_approval()->add_shard(std::string(shard.text()));
  return fact;
}

}  // namespace cleared::ledger
