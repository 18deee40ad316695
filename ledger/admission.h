// What must hold when a record is appended: its notes are signed by whom the policy asks for, what
// it refers to is there, what a run consumed was permitted and adds up. Appending asks before it
// writes, verifying asks again for every record. One thread per database.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/authority.h"
#include "ledger/notes.pb.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

struct TrainingStatement;

class Admission {
 public:
  // Records about a subject, rising (StateMap::find).
  using Find = std::function<std::vector<uint64_t>(const Digest& key)>;

  Admission(const Database& db, Find find, const Authority& authority)
      : db_(db), find_(std::move(find)), authority_(authority) {}

  // Error{corrupt} or Error{permission} when the fact may not be record `seq`, made at `at_us`. The
  // tables must hold the rows of all records before it; rows of later ones are not looked at.
  void admit(uint64_t seq, uint64_t at_us, const Fact& fact) const;
  // Of this kind nothing more is asked than that it has rows: that what they refer to is there.
  static bool rows_say_all(const Fact& fact);

  // The record about `key` before `seq`, the first one. Error{corrupt} naming `what` without one.
  uint64_t one(const Digest& key, uint64_t seq, std::string_view what) const;

 private:
  void check(uint64_t seq, const KeyRecord& key) const;
  void check_log_key(uint64_t seq, const KeyRecord& key) const;
  void check_retirement(uint64_t seq, const KeyRecord& key) const;
  void check_log_goes_on(uint64_t seq, const KnownKey& leaves, const KeyRecord& key) const;
  void check_endorsed(uint64_t seq, const KeyRecord& key, Policy::Act act,
                      std::string_view before) const;
  void check(uint64_t seq, const LicenceRecord& licence) const;
  void check(uint64_t seq, const ApprovalRecord& record) const;
  void check(uint64_t seq, const RevocationRecord& record) const;
  void check(uint64_t seq, uint64_t at_us, const PermitRecord& record) const;
  void check_permitted(uint64_t seq, const Permit& permit) const;
  std::vector<std::string> recorded_lists(uint64_t seq, const std::string& table,
                                          const std::string& root) const;
  void check(uint64_t seq, const RunRecord& run) const;
  void check(uint64_t seq, const ReceiptRecord& record) const;
  void check(uint64_t seq, const ConsumedRecord& consumed) const;
  void check(uint64_t seq, const ConsumedShardRecord& consumed) const;
  void check(uint64_t seq, const DeletionRecord& record) const;
  void check(uint64_t seq, const CheckpointRecord& checkpoint) const;
  void check(uint64_t seq, uint64_t at_us,
             const ReleaseRecord& record) const;  // in release_admission.cpp
  void check(uint64_t seq, const PolicyRecord& record) const;
  void check(uint64_t seq, const WitnessPolicyRecord& record) const;
  void check(uint64_t seq, const ErasureRecord& record) const;
  struct Consumed {
    std::vector<Digest> leaves;  // of the records
    uint64_t samples = 0, sample_us = 0;
  };
  Consumed consumed_by(uint64_t receipt, uint64_t seq, const CheckpointRecord& checkpoint) const;
  static void check(const MarkRecord& mark);
  void check(uint64_t seq, const ClearanceRecord& clearance) const;
  void check(uint64_t seq, uint64_t at_us, const ReviewRecord& record) const;
  void check_titles(uint64_t seq, const Review& review) const;
  void check(uint64_t seq, const ProtectionRecord& protection) const;
  void check_consumed(uint64_t seq, const CheckpointRecord& checkpoint,
                      const TrainingStatement& statement) const;
  void check_begins(uint64_t seq, const CheckpointRecord& checkpoint, uint64_t first_step) const;
  void check_permit_of_run(uint64_t seq, const std::string& run, uint64_t record) const;
  void check_foreign(uint64_t permit, const TrainingStatement& statement) const;
  Permit recorded_permit(uint64_t record) const;
  void check_goes_on(uint64_t seq, const CheckpointRecord& checkpoint) const;

  const Database& db_;
  Find find_;
  const Authority& authority_;
};

// What is wrong with a licence as record `seq`, in words, or nothing. A version follows the newest
// one there is, and is the same parties': the chain of `supersedes` has no gap, no fork and no
// circle. A ledger may begin with a later version; what was before it was never here.
std::string amendment_problem(const Database& db, uint64_t seq, const LicenceRecord& licence);
// The same of what a permit names beside shards: the tree head, its time, and the run that goes on.
std::string permit_problem(const Database& db, uint64_t seq, const std::string& origin,
                           const Permit& permit);

}  // namespace cleared::ledger
