#include "ledger/gate.h"

#include <algorithm>
#include <ctime>
#include <future>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/notices.h"
#include "ledger/permit_lists.h"
#include "ledger/rules.h"
#include "ledger/shard_proof.h"
#include "ledger/shares.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxSampleBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxNoteBytes = 64 << 20;
constexpr uint64_t kMaxProofBytes = uint64_t{1} << 30;

uint64_t require_time(const std::string& text, std::string_view what) {
  const auto time = parse_time(text);
  if (!time)
    throw Error(Errc::corrupt, what, ": \"", text, "\" is not a time like 2026-01-31T23:59:59Z");
  return *time;
}

bool lists_foreign(const Permit& permit, const std::string& weights) {
  return std::any_of(permit.foreign().begin(), permit.foreign().end(),
                     [&](const Foreign& listed) { return listed.weights() == weights; });
}

}  // namespace

Verdict judge_foreign(const Foreign& weights, uint32_t worst, std::string_view whose) {
  if (static_cast<uint32_t>(weights.contact()) <= worst) return yes();
  const std::string allowed =
      worst == 0 ? "none" : "at most " + Foreign::Contact_Name(static_cast<int>(worst));
  return no("foreign_not_allowed", "foreign weights " + weights.weights() + " (" +
                                       weights.origin() + ") are of contact class " +
                                       Foreign::Contact_Name(weights.contact()) + ", " +
                                       std::string(whose) + " allows " + allowed);
}

const std::string& ClearedSample::member(const std::string& extension) const {
  const auto found = members_.find(extension);
  if (found == members_.end()) {
    throw Error(Errc::corrupt, "sample ", key_, ": has no member .", extension);
  }
  return found->second;
}

// The manifests in a folder by the root of their shard, and what is wrong with others.
struct Gate::FoundManifests {
  std::map<std::string, Manifest> by_root;
  std::string unreadable;
};

Gate::FoundManifests Gate::read_manifests(const fs::path& folder) {
  FoundManifests out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".manifest") continue;
    try {
      Digest root;
      Manifest manifest = read_manifest(fs::path(path).replace_extension(), &root);
      out.by_root.emplace(digest_name(root), std::move(manifest));
    } catch (const Error& error) {
      // It may be of a shard that this run has no business with; if not, it will be missing.
      if (out.unreadable.size() < 500) out.unreadable += std::string("; ") + error.what();
    }
  }
  return out;
}

Gate::Gate(const GateOptions& options) : Gate(options, std::nullopt) {}

Gate::Gate(const GateOptions& options, std::optional<uint64_t> as_of_us)
    : options_(options),
      as_of_us_(as_of_us),
      trust_(std::make_shared<const Trust>(read_trust(options.trust))),
      current_(std::make_shared<Current>()) {
  // Manifests are hashed beside the signatures; none counts before the permit does.
  auto manifests = std::async(std::launch::async, read_manifests, options.shards);
  auto [first, note] = read_permit(options.permit);
  check_permit(first, note);
  check_proofs(first);
  current_->now = &current_->all.emplace_back(std::move(first));
  if (options.leave_out) leave_out();
  find_shards(manifests.get());
  Verdict verdict = holds();
  const bool too_old = verdict.rule == "permit_expired" || verdict.rule == "permit_stale" ||
                       verdict.rule == "head_stale";
  if (too_old && !as_of_us_) {
    read_folder();
    if (next_ != nullptr && !next_->permit.has_counted()) keep_passes(permit(), next_->permit);
    if (go_over()) verdict = holds();
  }
  if (!verdict.cleared) throw Refused(verdict);
}

uint64_t Gate::issued_at(const fs::path& permit) {
  PermitText parsed;
  parse_textproto(parse_note(read_file(permit, kMaxNoteBytes), permit.string()).text,
                  permit.string(), parsed);
  return require_time(parsed.permit().issued_at(), "permit " + permit.string());
}

std::pair<Gate::Granted, Note> Gate::read_permit(const fs::path& path) const {
  const std::string text = read_file(path, kMaxNoteBytes);
  Granted out;
  out.path = path;
  out.digest = sha256(text);
  Note note = parse_note(text, path.string());
  PermitText parsed;
  parse_textproto(note.text, path.string(), parsed);
  out.permit = parsed.permit();
  if (out.permit.has_lists()) join_lists(out.permit, read_lists(lists_path(path)));
  const std::string name = "permit " + path.string();
  out.issued_us = require_time(out.permit.issued_at(), name);
  out.expires_us = require_time(out.permit.expires_at(), name);
  if (out.permit.has_tree_at()) out.head_us = require_time(out.permit.tree_at(), name);
  return {std::move(out), std::move(note)};
}

void Gate::check_permit(const Granted& granted, const Note& note) const {
  const Permit& permit = granted.permit;
  const std::string name = "permit " + granted.path.string();
  if (const auto answer = trust_->ask(note, "permit"); !answer.missing.empty()) {
    throw Refused(no("permit_unsigned", name + " must be signed by keys that " +
                                            options_.trust.string() +
                                            " trusts: " + answer.missing));
  }
  if (granted.expires_us <= granted.issued_us ||
      granted.expires_us - granted.issued_us > kMaxPermitHours * kHourUs) {
    throw Refused(no("permit_too_long",
                     name + " is for more than " + std::to_string(kMaxPermitHours) + " hours"));
  }
  if (permit.run() != options_.run) {
    throw Refused(no("permit_other_run",
                     name + " is for run " + permit.run() + ", this is run " + options_.run));
  }
  if (permit.config_digest() != digest_name(options_.config_digest)) {
    throw Refused(no("permit_other_config",
                     name + " is for another config (" + permit.config_digest() +
                         "); the config of this run is " + digest_name(options_.config_digest) +
                         ": ask for a permit for it"));
  }
  for (const int also : options_.purpose.also()) {
    const auto use = static_cast<Use>(also);
    if (declares(permit.purpose(), use)) continue;
    throw Refused(no("permit_other_purpose",
                     name + " does not say " + Use_Name(use) + ", which this is: ask for one " +
                         (use == EVALUATE ? "made with ledger permit --evaluate"
                          : use == ENCODE ? "made with ledger permit --encode"
                                          : "that does")));
  }
  Purpose same = permit.purpose();
  *same.mutable_also() = options_.purpose.also();
  if (same.SerializeAsString() != options_.purpose.SerializeAsString()) {
    throw Refused(no("permit_other_purpose", name + " is for another purpose than is declared"));
  }
  if (!trains(permit.purpose().use())) {
    throw Refused(no("not_for_training",
                     name + " is for " + Use_Name(permit.purpose().use()) + ", and a run trains"));
  }
  if (permit.shard_size() == 0) {
    throw Refused(no("nothing_permitted", name + " lists no shard"));
  }
  for (const std::string& weights : options_.foreign) {
    if (!lists_foreign(permit, weights)) {
      throw Refused(no("permit_other_foreign", name + " does not list the foreign weights " +
                                                   weights + ", which the config starts from"));
    }
  }
  for (const Foreign& weights : permit.foreign()) {
    Verdict verdict =
        cleared::ledger::judge_foreign(weights, trust_->foreign, options_.trust.string());
    if (!verdict.cleared) throw Refused(std::move(verdict));
  }
}

// Without a log key there is nothing to hold a proof against: the approvers' word is all.
void Gate::check_proofs(const Granted& granted) const {
  if (trust_->keys_of("log").empty()) return;
  const fs::path path = proofs_path(granted.path);
  std::string text;
  try {
    text = read_file(path, kMaxProofBytes);
  } catch (const Error& error) {
    throw Refused(no("shard_unproven", std::string(error.what()) + "; " + options_.trust.string() +
                                           " has the log's key, so the proofs must lie there"));
  }
  if (Verdict verdict = check_shard_proofs(text, granted.permit, *trust_); !verdict.cleared) {
    verdict.fact = path.string() + ": " + verdict.fact;
    throw Refused(verdict);
  }
}

void Gate::find_shards(FoundManifests there) {
  auto& [by_root, unreadable] = there;
  std::vector<Manifest> manifests;
  for (const auto& shard : permit().shard()) {
    if (is_left_out(shard)) {
      manifests.emplace_back();  // keeps the places of the others
      continue;
    }
    const auto found = by_root.find(shard.root());
    if (found == by_root.end()) {
      throw Refused(no("shard_missing", "no manifest in " + options_.shards.string() +
                                            " has the root " + shard.root() +
                                            " that the permit lists: it was changed or not copied" +
                                            unreadable));
    }
    if (found->second.samples.size() != shard.samples()) {
      throw Refused(no("shard_incomplete", "shard " + found->second.name + " has " +
                                               std::to_string(found->second.samples.size()) +
                                               " samples, the permit lists " +
                                               std::to_string(shard.samples())));
    }
    manifests.push_back(std::move(found->second));
    by_root.erase(found);  // a permit that lists a shard twice is not one that we write
  }
  const size_t shares = limits_of(permit()).size();
  for (size_t shard = 0; shard < manifests.size(); ++shard) {
    const auto& in_shard = manifests[shard].samples;
    if (in_shard.empty()) continue;
    const auto groups = groups_of(permit().shard(static_cast<int>(shard)));
    samples_.reserve(samples_.size() + in_shard.size());
    for (size_t i = 0; i < in_shard.size(); ++i) {
      const ManifestSample& s = in_shard[i];
      if (groups[i] > shares) {
        throw Error(Errc::corrupt, "permit ", options_.permit.string(), ": shard ",
                    manifests[shard].name, " counts for a share that is not there");
      }
      samples_.push_back({shard, i, s.key, s.digest, s.clip, s.duration_us, groups[i]});
    }
  }
  manifests_ = std::make_shared<const std::vector<Manifest>>(std::move(manifests));
}

Verdict Gate::check_days(const Permit::Shard& shard, std::string_view day) {
  if (day < shard.valid_from()) {
    return no("not_yet_valid",
              "the terms of shard " + shard.root() + " begin on " + shard.valid_from());
  }
  if (day > shard.valid_to()) {
    return no("expired", "the terms of shard " + shard.root() + " ended on " + shard.valid_to());
  }
  return yes();
}

Verdict Gate::check_time(const Granted& granted) const {
  const Permit& permit = granted.permit;
  const uint64_t host = as_of_us_.value_or(now_us());
  const std::string name = "permit " + granted.path.string();
  if (host + kClockSkewUs < granted.issued_us) {
    return no("permit_not_yet_valid", name + " was issued at " + permit.issued_at() + ", and " +
                                          (as_of_us_ ? "is judged at " : "this clock says ") +
                                          format_time(host) +
                                          (as_of_us_ ? "" : ": set the clock right"));
  }
  const uint64_t now = std::max(host, granted.issued_us);
  if (now >= granted.expires_us) {
    return no("permit_expired", name + " ended at " + permit.expires_at() + ": ask for a new one");
  }
  const std::string asked = options_.trust.string() + " asks for at most ";
  if (trust_->fresh_permit_h > 0 && now - granted.issued_us > trust_->fresh_permit_h * kHourUs) {
    return no("permit_stale", name + " was issued at " + permit.issued_at() + ", " + asked +
                                  std::to_string(trust_->fresh_permit_h) + " hours");
  }
  if (trust_->fresh_head_h > 0 && now > granted.head_us + trust_->fresh_head_h * kHourUs) {
    return no("head_stale", "the newest record under the tree head of " + name + " is of " +
                                (granted.head_us == 0 ? "an unknown time" : permit.tree_at()) +
                                ", " + asked + std::to_string(trust_->fresh_head_h) + " hours");
  }
  const std::string day = date_of(now);
  for (const auto& shard : permit.shard()) {
    if (is_left_out(shard)) continue;
    if (Verdict verdict = check_days(shard, day); !verdict.cleared) return verdict;
  }
  return yes();
}

namespace {

// Why this notice takes the shard back, or nothing.
std::string taken_back(const fs::path& path, const Revocation& notice, const Permit::Shard& shard) {
  const bool by_licence =
      std::any_of(shard.licence().begin(), shard.licence().end(), [&](const auto& ref) {
        return notice.has_licence() && ref.starts_with(notice.licence() + "@");
      });
  if (!by_licence && !(notice.has_shard() && notice.shard() == shard.root())) return {};
  return (by_licence ? "licence " + notice.licence() : std::string("the shard itself")) +
         " of shard " + shard.root() + " was revoked at " + notice.at() + " (" + notice.reason() +
         "), notice " + path.string();
}

}  // namespace

std::vector<std::string> Gate::revokers() const {
  return {permit().revoker().begin(), permit().revoker().end()};
}

Verdict Gate::judge_notices() const {
  try {
    for (const auto& [path, notice] : read_notices(options_.notices, revokers())) {
      if (as_of_us_ && require_time(notice.at(), path.string()) > *as_of_us_) continue;
      for (const auto& shard : permit().shard()) {
        if (is_left_out(shard)) continue;
        if (std::string why = taken_back(path, notice, shard); !why.empty()) {
          return no("revoked", std::move(why));
        }
      }
    }
    return yes();
  } catch (const Refused& refused) {
    return refused.verdict();
  }
}

void Gate::leave_out() {
  const std::string day = date_of(std::max(now_us(), granted().issued_us));
  for (const auto& shard : permit().shard()) {
    if (const Verdict verdict = check_days(shard, day); !verdict.cleared) {
      left_out_.emplace(shard.root(), verdict.rule + ": " + verdict.fact);
    }
  }
  for (const auto& [path, notice] : read_notices(options_.notices, revokers())) {
    for (const auto& shard : permit().shard()) {
      if (std::string why = taken_back(path, notice, shard); !why.empty()) {
        left_out_.emplace(shard.root(), "revoked: " + why);
      }
    }
  }
  if (left_out_.size() == static_cast<size_t>(permit().shard_size())) {
    throw Refused(no("nothing_permitted", "every shard of permit " + options_.permit.string() +
                                              " is left out; the first, " +
                                              left_out_.begin()->second));
  }
}

// Passes are counted from what was left when the run began: what it began with goes on.
void Gate::keep_passes(const Permit& mine, Permit& next) {
  for (int i = 0; i < mine.shard_size(); ++i) {
    if (!mine.shard(i).has_max_passes()) continue;
    next.mutable_shard(i)->set_max_passes(mine.shard(i).max_passes());
  }
  next.clear_counted();
  if (mine.has_counted()) *next.mutable_counted() = mine.counted();
}

// A permit that does not fit is for another run, or of another time: it says nothing here. So does
// one that gives other shards or shares, for what a run consumes is a function of them, fewer
// passes, or other foreign weights.
std::unique_ptr<Gate::Granted> Gate::find_next() const {
  const auto fits = [&](const Granted& other) {
    if (other.issued_us <= granted().issued_us || other.digest == granted().digest) return false;
    if (other.permit.shard_size() != permit().shard_size() ||
        other.permit.foreign_size() != permit().foreign_size()) {
      return false;
    }
    if (!same_messages(other.permit.share(), permit().share())) return false;
    for (const Foreign& weights : permit().foreign()) {
      if (!lists_foreign(other.permit, weights.weights())) return false;
    }
    for (int i = 0; i < permit().shard_size(); ++i) {
      const Permit::Shard &mine = permit().shard(i), &its = other.permit.shard(i);
      if (its.root() != mine.root() || its.samples() != mine.samples() ||
          (its.has_max_passes() && !mine.has_max_passes()) || its.revocable() != mine.revocable() ||
          !same_messages(its.part(), mine.part())) {
        return false;
      }
    }
    return true;
  };
  std::unique_ptr<Granted> best;
  for (const auto& entry : fs::directory_iterator(options_.notices)) {
    if (entry.path().extension() != ".permit") continue;
    try {
      auto [other, note] = read_permit(entry.path());
      // Of two of one time every rank takes the same.
      const auto age = [](const Granted& one) { return std::pair(one.issued_us, one.digest); };
      if (!fits(other) || (best && age(*best) >= age(other))) continue;
      check_permit(other, note);
      check_proofs(other);
      if (!check_time(other).cleared) continue;
      best = std::make_unique<Granted>(std::move(other));
    } catch (const Error&) {
      continue;
    }
  }
  return best;
}

Verdict Gate::judge_foreign(const std::vector<std::string>& used) const {
  const std::string name = "permit " + granted().path.string();
  for (const std::string& weights : used) {
    if (lists_foreign(permit(), weights)) continue;
    return no("permit_other_foreign",
              name + " does not list the foreign weights " + weights + ", which are in this run");
  }
  for (const Foreign& weights : permit().foreign()) {
    if (std::find(used.begin(), used.end(), weights.weights()) != used.end()) continue;
    return no("permit_other_foreign", name + " lists the foreign weights " + weights.weights() +
                                          ", which are not in this run");
  }
  return yes();
}

std::vector<Digest> Gate::permits() const {
  std::vector<Digest> out;
  const std::scoped_lock lock(current_->mutex);
  for (const Granted& one : current_->all) out.push_back(one.digest);
  if (next_ != nullptr) out.push_back(next_->digest);
  return out;
}

bool Gate::take_next() {
  if (next_ != nullptr) keep_passes(permit(), next_->permit);
  return go_over();
}

bool Gate::go_over() {
  if (next_ == nullptr) return false;
  const std::scoped_lock lock(current_->mutex);
  current_->now = &current_->all.emplace_back(std::move(*next_));
  next_ = nullptr;
  notices_seen_.clear();  // under the new permit's revokers
  return true;
}

void Gate::read_folder() {
  notices_ = judge_notices();
  next_ = notices_.cleared ? std::shared_ptr<Granted>(find_next()) : nullptr;
}

Verdict Gate::holds() {
  if (Verdict verdict = check_time(granted()); !verdict.cleared) return verdict;
  if (as_of_us_ && options_.notices.empty()) return yes();
  FolderMark folder = mark_of(options_.notices);
  if (folder.mark != notices_seen_) {
    const auto now_ns = static_cast<int64_t>(now_us()) * 1000;
    read_folder();
    // A second change may come within the same tick of the files' clock: look again until it is
    // over.
    constexpr int64_t kTickNs = 2'000'000'000;
    notices_seen_ = now_ns - folder.newest_ns > kTickNs ? std::move(folder.mark) : "";
  }
  return notices_;
}

ClearedSample Gate::clear(size_t sample, uint64_t passes) const {
  CLEARED_CHECK(sample < samples_.size());
  const PermittedSample& permitted = samples_[sample];
  const Granted& grant = granted();
  const auto& shard = grant.permit.shard(static_cast<int>(permitted.shard));
  const Manifest& manifest = (*manifests_)[permitted.shard];
  const ManifestSample& expected = manifest.samples[permitted.index];
  if (Verdict verdict = check_time(grant); !verdict.cleared) throw Refused(verdict);
  if (!notices_.cleared) throw Refused(notices_);
  if (shard.has_max_passes() && passes > shard.max_passes()) {
    throw Refused(no("passes_exceeded",
                     "sample " + expected.key + " of shard " + manifest.name + " may be consumed " +
                         std::to_string(shard.max_passes()) +
                         " times by this run, and this would be pass " + std::to_string(passes)));
  }
  const auto changed = [&](const std::string& how) {
    return Refused(
        no("sample_changed", "sample " + expected.key + " of shard " + manifest.name + ": " + how));
  };
  if (expected.size_bytes > kMaxSampleBytes) throw changed("is larger than 1 GiB");
  std::string bytes;
  try {
    bytes = read_range(options_.shards / manifest.name, expected.offset, expected.size_bytes);
  } catch (const Error& error) {
    if (error.code() == Errc::corrupt) throw changed(error.what());
    throw;
  }
  const Digest digest = sha256(bytes);
  if (digest != expected.digest) {
    throw changed("its bytes have the digest " + to_hex(digest) + ", the manifest says " +
                  to_hex(expected.digest) + ": restore the shard from where it was approved");
  }
  ClearedSample out;
  out.key_ = expected.key;
  out.digest_ = expected.digest;
  out.clip_ = expected.clip;
  out.duration_us_ = expected.duration_us;
  out.members_ = parse_sample(bytes, expected.key);
  return out;
}

}  // namespace cleared::ledger
