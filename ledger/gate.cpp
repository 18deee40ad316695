#include "ledger/gate.h"

#include <algorithm>
#include <ctime>

#include <sys/stat.h>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/shard_proof.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kMaxPermitHours = 168;
constexpr uint64_t kClockSkewUs = 300'000'000;
constexpr uint64_t kMaxSampleBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxNoteBytes = 64 << 20;

uint64_t require_time(const std::string& text, std::string_view what) {
  const auto time = parse_time(text);
  if (!time)
    throw Error(Errc::corrupt, what, ": \"", text, "\" is not a time like 2026-01-31T23:59:59Z");
  return *time;
}

}  // namespace

const std::string& ClearedSample::member(const std::string& extension) const {
  const auto found = members_.find(extension);
  if (found == members_.end()) {
    throw Error(Errc::corrupt, "sample ", key_, ": has no member .", extension);
  }
  return found->second;
}

Gate::Gate(const GateOptions& options) : Gate(options, std::nullopt) {}

Gate::Gate(const GateOptions& options, std::optional<uint64_t> as_of_us)
    : options_(options), as_of_us_(as_of_us) {
  const std::string text = read_file(options.permit, kMaxNoteBytes);
  permit_digest_ = sha256(text);
  const Note note = parse_note(text);
  PermitText parsed;
  parse_textproto(note.text, options.permit.string(), parsed);
  permit_ = parsed.permit();
  const Trust trust = read_trust(options.trust);
  check_permit(note, trust);
  check_proofs(trust);
  find_shards();
  if (Verdict verdict = holds(); !verdict.cleared) throw Refused(verdict);
}

uint64_t Gate::issued_at(const fs::path& permit) {
  PermitText parsed;
  parse_textproto(parse_note(read_file(permit, kMaxNoteBytes)).text, permit.string(), parsed);
  return require_time(parsed.permit().issued_at(), "permit " + permit.string());
}

void Gate::check_permit(const Note& note, const Trust& trust) const {
  const std::string name = "permit " + options_.permit.string();
  if (const auto answer = trust.ask(note, "permit"); !answer.missing.empty()) {
    throw Refused(no("permit_unsigned", name + " must be signed by keys that " +
                                            options_.trust.string() +
                                            " trusts: " + answer.missing));
  }
  const uint64_t issued = require_time(permit_.issued_at(), name);
  const uint64_t expires = require_time(permit_.expires_at(), name);
  if (expires <= issued || expires - issued > kMaxPermitHours * 3'600'000'000) {
    throw Refused(no("permit_too_long",
                     name + " is for more than " + std::to_string(kMaxPermitHours) + " hours"));
  }
  if (permit_.run() != options_.run) {
    throw Refused(no("permit_other_run",
                     name + " is for run " + permit_.run() + ", this is run " + options_.run));
  }
  if (permit_.config_digest() != digest_name(options_.config_digest)) {
    throw Refused(no("permit_other_config",
                     name + " is for another config (" + permit_.config_digest() +
                         "); the config of this run is " + digest_name(options_.config_digest) +
                         ": ask for a permit for it"));
  }
  if (permit_.purpose().SerializeAsString() != options_.purpose.SerializeAsString()) {
    throw Refused(
        no("permit_other_purpose", name + " is for another purpose than the run declares"));
  }
  if (permit_.shard_size() == 0) {
    throw Refused(no("nothing_permitted", name + " lists no shard"));
  }
}

// Without a log key there is nothing to hold a proof against: the approvers' word is all.
void Gate::check_proofs(const Trust& trust) const {
  if (trust.keys_of("log").empty()) return;
  const fs::path path = proofs_path(options_.permit);
  std::string text;
  try {
    text = read_file(path, kMaxNoteBytes);
  } catch (const Error& error) {
    throw Refused(no("shard_unproven", std::string(error.what()) + "; " + options_.trust.string() +
                                           " has the log's key, so the proofs must lie there"));
  }
  if (Verdict verdict = check_shard_proofs(text, permit_, trust); !verdict.cleared) {
    verdict.fact = path.string() + ": " + verdict.fact;
    throw Refused(verdict);
  }
}

void Gate::find_shards() {
  std::map<std::string, Manifest> by_root;
  std::string unreadable;
  for (const auto& entry : fs::directory_iterator(options_.shards)) {
    const fs::path& path = entry.path();
    if (path.extension() != ".manifest") continue;
    try {
      Digest root;
      Manifest manifest = read_manifest(fs::path(path).replace_extension(), &root);
      by_root.emplace(digest_name(root), std::move(manifest));
    } catch (const Error& error) {
      // It may be of a shard that this run has no business with; if not, it is missing below.
      unreadable += std::string("; ") + error.what();
    }
  }
  std::vector<Manifest> manifests;
  for (const auto& shard : permit_.shard()) {
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
  for (size_t shard = 0; shard < manifests.size(); ++shard) {
    const auto& in_shard = manifests[shard].samples;
    samples_.reserve(samples_.size() + in_shard.size());
    for (size_t i = 0; i < in_shard.size(); ++i) {
      const ManifestSample& s = in_shard[i];
      samples_.push_back({shard, i, s.key, s.digest, s.clip, s.duration_us});
    }
  }
  manifests_ = std::make_shared<const std::vector<Manifest>>(std::move(manifests));
}

Verdict Gate::check_time() const {
  const uint64_t issued = require_time(permit_.issued_at(), "permit");
  const uint64_t host = as_of_us_.value_or(now_us());
  const std::string name = "permit " + options_.permit.string();
  if (host + kClockSkewUs < issued) {
    return no("permit_not_yet_valid", name + " was issued at " + permit_.issued_at() + ", and " +
                                          (as_of_us_ ? "is judged at " : "this clock says ") +
                                          format_time(host) +
                                          (as_of_us_ ? "" : ": set the clock right"));
  }
  const uint64_t now = std::max(host, issued);
  if (now >= require_time(permit_.expires_at(), "permit")) {
    return no("permit_expired", name + " ended at " + permit_.expires_at() + ": ask for a new one");
  }
  const std::string day = date_of(now);
  for (const auto& shard : permit_.shard()) {
    if (day < shard.valid_from()) {
      return no("not_yet_valid",
                "the terms of shard " + shard.root() + " begin on " + shard.valid_from());
    }
    if (day > shard.valid_to()) {
      return no("expired", "the terms of shard " + shard.root() + " ended on " + shard.valid_to());
    }
  }
  return yes();
}

// A notice that cannot be read or verified stops the run too: a revocation must not be lost because
// it arrived damaged.
Verdict Gate::read_notices() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(options_.notices)) {
    if (entry.path().extension() == ".revocation") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  for (const fs::path& path : paths) {
    Revocation notice;
    try {
      const Note note = parse_note(read_file(path, kMaxNoteBytes));
      RevocationText parsed;
      parse_textproto(note.text, path.string(), parsed);
      notice = parsed.revocation();
      const bool verified =
          std::any_of(permit_.revoker().begin(), permit_.revoker().end(),
                      [&](const auto& key) { return signed_by(note, parse_verifier_key(key)); });
      if (!verified) {
        return no("notice_unverified", "notice " + path.string() +
                                           " is signed by no key that the permit lists as revoker");
      }
    } catch (const Error& error) {
      return no("notice_unverified", "notice " + path.string() + ": " + error.what());
    }
    if (as_of_us_ && require_time(notice.at(), path.string()) > *as_of_us_) continue;
    for (const auto& shard : permit_.shard()) {
      const bool by_licence =
          std::any_of(shard.licence().begin(), shard.licence().end(), [&](const auto& ref) {
            return notice.has_licence() && ref.starts_with(notice.licence() + "@");
          });
      if (by_licence || (notice.has_shard() && notice.shard() == shard.root())) {
        return no("revoked", (by_licence ? "licence " + notice.licence() : "the shard itself") +
                                 " of shard " + shard.root() + " was revoked at " + notice.at() +
                                 " (" + notice.reason() + "), notice " + path.string());
      }
    }
  }
  return yes();
}

Verdict Gate::holds() {
  if (Verdict verdict = check_time(); !verdict.cleared) return verdict;
  if (as_of_us_ && options_.notices.empty()) return yes();
  struct stat folder {};
  if (::stat(options_.notices.c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode)) {
    throw Error(Errc::not_found, "notices ", options_.notices.string(),
                ": no such folder; revocations must be able to reach the run");
  }
  const int64_t changed_ns =
      int64_t{folder.st_mtim.tv_sec} * 1'000'000'000 + folder.st_mtim.tv_nsec;
  if (changed_ns != notices_seen_ns_) {
    const auto now_ns = static_cast<int64_t>(now_us()) * 1000;
    notices_ = read_notices();
    // A second file may arrive within the same tick of the folder's clock: look again until it is
    // over.
    constexpr int64_t kTickNs = 2'000'000'000;
    notices_seen_ns_ = now_ns - changed_ns > kTickNs ? changed_ns : -1;
  }
  return notices_;
}

ClearedSample Gate::clear(size_t sample, uint64_t passes) const {
  CLEARED_CHECK(sample < samples_.size());
  const PermittedSample& permitted = samples_[sample];
  const auto& shard = permit_.shard(static_cast<int>(permitted.shard));
  const Manifest& manifest = (*manifests_)[permitted.shard];
  const ManifestSample& expected = manifest.samples[permitted.index];
  if (Verdict verdict = check_time(); !verdict.cleared) throw Refused(verdict);
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
