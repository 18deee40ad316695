// The gate: one rule engine, a pure function from terms, state, declared act and time to a verdict
// that names the rule. What the terms do not list is refused.
//
// Two users. On the ledger's side, `Rights` (ledger/rights.h) feeds it from the log at ingest,
// approval and permit. On a training node, `Gate` below works from a permit and public keys alone,
// and is the only maker of ClearedSample. judge() is safe from any thread; a Gate belongs to one.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/clearances.h"
#include "ledger/key.h"
#include "ledger/licence.pb.h"
#include "ledger/marks.h"
#include "ledger/notes.pb.h"
#include "ledger/shard.h"

namespace cleared::ledger {

struct Trust;

// An ordinary answer. `rule` is "cleared" or one of rules() (ledger/rules.h); `fact` is what
// decided, in words, naming the licence, the shard or the sample.
struct Verdict {
  bool cleared = false;
  std::string rule;
  std::string fact;
  // What a record may keep of `fact` where that quotes terms: a licence's document is confidential,
  // and records are published. Empty: all of it.
  std::string open;
  const std::string& recorded() const { return open.empty() ? fact : open; }
};
inline Verdict yes() {
  return {true, "cleared", "", ""};
}
inline Verdict no(std::string rule, std::string fact, std::string open = "") {
  return {false, std::move(rule), std::move(fact), std::move(open)};
}
// The same no, with words before both facts.
inline Verdict no_about(const std::string& what, const Verdict& verdict) {
  return no(verdict.rule, what + verdict.fact, what + verdict.recorded());
}

// Thrown where only a yes lets the work go on. what() is "rule: fact".
class Refused : public Error {
 public:
  explicit Refused(Verdict verdict)
      : Error(Errc::refused, verdict.rule, ": ", verdict.fact), verdict_(std::move(verdict)) {}
  const Verdict& verdict() const { return verdict_; }

 private:
  Verdict verdict_;
};

// What a run may be for: TRAIN, FINETUNE or DISTIL.
bool trains(Use use);

// What is done beside the use of a purpose, with the same footage: is it declared, and to declare
// it.
bool declares(const Purpose& purpose, Use also);
void declare(Purpose& purpose, Use also);

// An act someone wants to do with footage. Fields that an act does not have stay empty, and the
// terms about them are not asked: ingesting has no model line, training has all.
struct Act {
  Use use = INGEST;
  uint32_t height_px = 0;            // of the frames used; 0: as delivered, not yet used
  const Purpose* purpose = nullptr;  // model line, components, field, place of computing
  // Where weights or clips go; empty: nowhere, which is no answer where one releases or generates.
  std::string_view release_territory = {};
};

// What is on record about the footage itself, which can only make the terms stricter.
struct FootageFacts {
  std::span<const Mark> marks = {};            // in and beside the file it came in
  std::span<const ClipFinding> findings = {};  // of a clip of it
};

// Do these terms allow the act on this day ("2026-01-31", UTC)? Rules in the order of the table;
// the first that says no decides. Some million a second (`ledger bench`).
Verdict judge(const LicenceText& terms, const Act& act, std::string_view day,
              const FootageFacts& footage = {});

// The last day on which the terms allow this use; empty where `after_term` sets weights none.
std::string last_day_of(const LicenceText& terms, Use use);

// A licence that covers some footage, and what became of it.
struct CoveringLicence {
  const LicenceText* terms = nullptr;
  std::string_view revoked;  // why and when, or empty
};
// All licences that cover it, the strictest of them: one no is a no. Nobody's footage is cleared
// by nothing.
Verdict judge_covering(std::span<const CoveringLicence> licences, const Act& act,
                       std::string_view day, const FootageFacts& footage = {});

// May weights from elsewhere be used where the worst contact class allowed is `worst`, a
// Foreign::Contact or 0 for none? `whose` says so to people: a trust file, or a flag.
Verdict judge_foreign(const Foreign& weights, uint32_t worst, std::string_view whose);

// The bytes of one sample, which the gate has read, hashed and found cleared. Only a Gate makes
// one, so no path leads from an uncleared file to the model.
class ClearedSample {
 public:
  const std::string& key() const { return key_; }
  const Digest& digest() const { return digest_; }
  const Digest& clip() const { return clip_; }
  uint64_t duration_us() const { return duration_us_; }
  const std::string& member(const std::string& extension) const;  // Error{corrupt} when missing
  bool has(const std::string& extension) const { return members_.contains(extension); }

 private:
  friend class Gate;
  ClearedSample() = default;
  std::string key_;
  Digest digest_, clip_;
  uint64_t duration_us_ = 0;
  std::map<std::string, std::string> members_;
};

// One sample that the permit lists, by position: what the data order is a function of.
struct PermittedSample {
  size_t shard = 0;      // index into Gate::permit().shard
  size_t index = 0;      // in its manifest
  std::string_view key;  // lives as long as the gate
  Digest digest;
  Digest clip;
  uint64_t duration_us = 0;
  uint32_t group = 0;  // whose share it counts for: ShareSample::group (ledger/shares.h)
};

struct GateOptions {
  std::filesystem::path permit;   // signed note; its proofs are beside it (ledger/shard_proof.h)
  std::filesystem::path trust;    // ledger/trust.h: an approver's key is needed; with a log's key
                                  // every shard must be proven to be in the log
  std::filesystem::path shards;   // folder of tars and manifests
  std::filesystem::path notices;  // folder of signed revocations, *.revocation; must exist
  std::string run;                // name, as in the permit
  Digest config_digest;           // of the run's config file
  Purpose purpose;                // what is declared; a permit may say more beside it (`also`)
  // Digests ("sha256:...") of weights from elsewhere that its config names.
  std::vector<std::string> foreign = {};
  // Go on without shards whose dates are over or that were revoked; else any of them is a no.
  bool leave_out = false;
};

// A training node's gate. Every refusal is thrown as Refused. One thread; another gets a copy,
// which shares the manifests and the permit: take_next() reaches it too.
class Gate {
 public:
  // Checks signatures, dates, run, config and purpose, that the shards are in the log, and then
  // finds every shard of the permit by the root of its manifest. A shard of 10,000 samples costs
  // some milliseconds (`ledger bench`).
  explicit Gate(const GateOptions& options);

  // The gate as it stood at `at_us`, for somebody who executes a run again to see whether it was
  // what it says, and keeps nothing of it (train/replay.h): permits live for hours, audits come
  // later. All is checked as above, but dates at that time, and revocations of later date do not
  // count; `notices` may be empty. Never for training: what learns asks the gate of now.
  static Gate as_of(const GateOptions& options, uint64_t at_us) { return Gate(options, at_us); }

  // When the permit says that it was issued; its signatures are not asked. Error{corrupt}.
  static uint64_t issued_at(const std::filesystem::path& permit);

  const Permit& permit() const { return granted().permit; }
  const Digest& permit_digest() const { return granted().digest; }  // of the note, byte for byte
  // Of every permit whose passes are one count with this one's: those that it took the place of,
  // and the next.
  std::vector<Digest> permits() const;
  const std::vector<PermittedSample>& samples() const { return samples_; }
  // Name of the tar of a shard, by its index in the permit.
  const std::string& shard_name(size_t shard) const { return (*manifests_)[shard].name; }

  // Does the permit still hold now: its expiry, the dates of every shard, and the revocations that
  // have arrived. Every rank asks before every step; it costs a look at the folder's names
  // and times when nothing changed.
  [[nodiscard]] Verdict holds();

  // A newer permit for this very run, *.permit in the notices folder, as holds() saw it last:
  // signed and proven as the first one must be, for the same shards. The passes of the first one
  // go on: they are counted from what was left when the run began. Others that lie there are for
  // other runs. take_next() makes it the permit; false: there is none. A gate whose first permit is
  // only too old takes it at once: where it has counted what a run consumed, with its own passes.
  bool has_next() const { return next_ != nullptr; }
  const Digest& next_digest() const { return next_->digest; }  // where there is one
  bool take_next();

  // The shards that leave_out left out, and why; by root.
  const std::map<std::string, std::string>& left_out() const { return left_out_; }

  // Are these the weights from elsewhere that the permit lists, no less and no more? `used` has
  // digests, of what the config names and what an autoencoder brought along. Classes were judged
  // with the permit.
  [[nodiscard]] Verdict judge_foreign(const std::vector<std::string>& used) const;

  // Reads the sample once, hashes it in memory and hands out those very bytes, or throws Refused.
  // `passes` is how often this run will have consumed it, this time included; 0 where nothing is
  // learned from it.
  ClearedSample clear(size_t sample, uint64_t passes) const;

 private:
  Gate(const GateOptions& options, std::optional<uint64_t> as_of_us);
  // A permit as it was read. Kept as long as any copy of the gate, for references to it.
  struct Granted {
    std::filesystem::path path;
    Permit permit;
    Digest digest;
    uint64_t issued_us = 0, expires_us = 0;
    uint64_t head_us = 0;  // of the newest record under its head; 0: it does not say
  };
  struct Current {
    std::atomic<const Granted*> now{nullptr};
    std::mutex mutex;  // of `all`
    std::deque<Granted> all;
  };
  const Granted& granted() const { return *current_->now.load(); }

  std::pair<Granted, Note> read_permit(const std::filesystem::path& path) const;
  void check_permit(const Granted& granted, const Note& note) const;
  void check_proofs(const Granted& granted) const;
  struct FoundManifests;
  static FoundManifests read_manifests(const std::filesystem::path& folder);
  void find_shards(FoundManifests there);
  void leave_out();
  bool is_left_out(const Permit::Shard& shard) const { return left_out_.contains(shard.root()); }
  Verdict check_time(const Granted& granted) const;
  static Verdict check_days(const Permit::Shard& shard, std::string_view day);
  void read_folder();
  std::vector<std::string> revokers() const;
  Verdict judge_notices() const;
  std::unique_ptr<Granted> find_next() const;
  static void keep_passes(const Permit& mine, Permit& next);
  bool go_over();  // to next_, as it is

  GateOptions options_;
  std::optional<uint64_t> as_of_us_;  // none: now
  std::shared_ptr<const Trust> trust_;
  std::shared_ptr<Current> current_;
  std::map<std::string, std::string> left_out_;
  std::shared_ptr<Granted> next_;
  // In the order of the permit's shards; not changed once they are read, samples_ points into them.
  std::shared_ptr<const std::vector<Manifest>> manifests_;
  std::vector<PermittedSample> samples_;
  Verdict notices_ = yes();   // what the notices read so far say
  std::string notices_seen_;  // mark of the folder that has been read; empty: read it
};

}  // namespace cleared::ledger
