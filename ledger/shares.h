// How often each licensor's samples are drawn so that none has more than its share of the
// sample-seconds (`limits.max_share`), whichever epoch one looks at and however long the run is.
// The same function plans on the ledger's side, before a permit is written, and on a training node,
// where train/data/order.h draws by it.
//
// The samples of a licensor with a limit are a group; all others are group 0. An epoch draws a
// number of each group, its `take`: of group 0 all samples, `rounds` times; of a group that would
// have too much only a part, and the next epochs go on where it left off, in the order of the
// samples' digests, round and round. A group's longest possible part of an epoch, against the
// shortest of all others, stays within its limit, so every epoch does. Within an epoch draw j of k
// of a group with a limit stands at (j + 1) / k of it, of group 0 at j / k: early enough to mix,
// never before the others have made room. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/notes.pb.h"

namespace cleared::ledger {

struct ShareLimit {
  std::string licensor;
  double most = 1;  // (0, 1], of the sample-seconds
};

struct ShareSample {
  Digest digest;
  uint64_t duration_us = 0;
  uint32_t group = 0;  // 0: no limit; else that of limits[group - 1]
};

struct ShareRequest {
  std::vector<ShareLimit> limits;
  std::vector<ShareSample> samples;
  uint64_t draws = 0;  // of the whole run, which must hold, too; 0: it is not known
  uint64_t fit = 0;    // samples that are read before the first draw, and count
};

struct SharePlan {
  struct Group {
    std::vector<uint64_t> samples;  // their numbers, by digest
    uint64_t take = 0;              // draws of an epoch: below samples.size(), or a multiple of it
  };
  std::vector<Group> groups;  // 0, and one for each limit
  uint64_t rounds = 1;        // how often an epoch draws every sample that it does not spare

  uint64_t size() const;  // draws of an epoch
  // Of the first `position` draws of an epoch, how many are of each group.
  std::vector<uint64_t> drawn(uint64_t position) const;
  // The group of each draw of an epoch.
  std::vector<uint32_t> turns() const;
  // The samples to read before the first draw, at most `count`, rising: those that an epoch begins
  // with. And how many of each group they are.
  std::vector<uint64_t> fit(uint64_t count) const;
  std::vector<uint64_t> fit_takes(uint64_t count) const;
  // An upper bound of the passes of a sample of the group in the run's first `draws` draws.
  uint64_t most_passes(size_t group, uint64_t draws) const;
};

// What a permit says of them: its limits, and the group of each sample of a shard. Error{corrupt}
// when its parts do not add up to its samples.
std::vector<ShareLimit> limits_of(const Permit& permit);
std::vector<uint32_t> groups_of(const Permit::Shard& shard);

// Throws Refused, share_exceeded, when a run whose sequence is REVOCABLE_LAST would consume footage
// under this permit that may be taken back apart from other footage: then no epoch mixes them.
void refuse_revocable_last(const Permit& permit);
// The same for a run whose config has buckets, which draws from one at a time.
void refuse_buckets(const Permit& permit);

// Throws Refused, share_exceeded, when no plan holds: all footage is of licensors whose limits
// leave no room, or the run is too short.
SharePlan plan_shares(const ShareRequest& request);

}  // namespace cleared::ledger
