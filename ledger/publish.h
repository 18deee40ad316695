// Publishing a log: a folder of static files as C2SP tlog-tiles lays them out
// (docs/formats/published.md), for any web server. Only log records go out; documents with
// confidential terms lie outside the log.
//
// Crash-safe: every file is written under another name, synced and renamed; folders are synced;
// `checkpoint`, which no reader looks past, comes last. A reader at any moment, and after a power
// cut, sees a signed tree head whose tiles and records are all there. Killed anywhere and run
// again, it comes to the same bytes. Costs what is new, not what is there. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/note.h"
#include "ledger/store.h"
#include "ledger/tree_head.h"
#include "ledger/witness_policy.h"

namespace cleared::ledger {

// Where a log comes from: the ledger, or another published folder (ledger/follow.h).
struct LogSource {
  std::vector<VerifierKey> log_keys;  // any of which may have signed a head, now or before
  std::string head_note;              // the signed tree head to publish
  // Root of the first `size` records, size at most the head's.
  std::function<Digest(uint64_t size)> root;
  // Calls `each` with records [begin, end) in order.
  std::function<void(uint64_t begin, uint64_t end,
                     const std::function<void(std::string_view)>& each)>
      records;
};
// The newest signed head of a ledger; Error{not_found} when it has none. Each record is compared
// with its leaf on the way. `store` must outlive the source.
LogSource source_of(const Store& store);

// What keeps a signed tree head from counting under a policy, witnesses by name; empty: nothing.
std::string quorum_gap(const WitnessPolicy& policy, const std::string& note);

struct PublishOptions {
  bool dry_run = false;  // check everything, write nothing
  // Goes over all records and not only the new ones: writes what is missing, names what differs.
  bool all = false;
  // The head replaces `checkpoint` only with the quorum of this policy: without it Error{busy} that
  // names the witnesses, and `checkpoint` stays. A dry run does not look at it.
  const WitnessPolicy* policy = nullptr;
  // Asks the witnesses, once all tiles are on the disk: takes the note, gives it with more lines.
  std::function<std::string(const std::string& note)> cosign;
  std::function<void(uint64_t done, uint64_t records)> progress = [](uint64_t, uint64_t) {};
};

struct PublishReport {
  // Empty: published. Else why not: what lies there is ahead of the source or contradicts it, and
  // nothing was written. Both heads are evidence.
  std::string refusal;
  std::string note_there;  // empty: nothing was published there
  std::string note;        // as it lies there now, or was refused
  TreeHead there;          // size 0: nothing
  TreeHead head;
  uint64_t files = 0;  // written, or in a dry run would be; `checkpoint` counts
  uint64_t bytes = 0;
};

// Makes `folder` when it is not there. Error{corrupt}: names the files there that are damaged or
// not ours, all of them, and nothing was lost; Error{busy}: another publisher is at work.
PublishReport publish(const std::filesystem::path& folder, const LogSource& source,
                      const PublishOptions& options = {});

}  // namespace cleared::ledger
