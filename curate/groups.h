// Footage that is in the ledger more than once: groups of spans that show the same, and which of
// each group a policy would keep. Reads the ledger alone; the same answer for the same ledger,
// whatever wrote it. One thread.
//
// Records name pairs. Pairs whose spans of one source overlap by half a second or more belong
// together: an excerpt of an excerpt is in the group of the film, and a reel that shows the film
// first and an interview later does not put these two into one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cleared::ledger {
class Store;
}

namespace cleared::curate {

// Ties are decided by `oldest`, so that one is kept always.
enum class Keep {
  oldest,   // recorded first; what `ingest` does
  best,     // most pixels, then without a problem on record, then the longest, then the most bytes
            // a second
  licence,  // its first licence to end ends last; a revoked or superseded one is the last choice
};
Keep parse_keep(std::string_view word);  // Error{usage}
const char* keep_name(Keep keep);

struct GroupMember {
  uint64_t record = 0;  // of its source
  std::string path, digest, licensor;
  std::vector<std::string> licences;         // "ID@VERSION", ascending
  uint64_t start_us = 0, end_us = 0;         // from the first shared picture to the last
  uint64_t width = 0, height = 0;            // pixels
  uint64_t size_bytes = 0, duration_us = 0;  // of the whole source
  std::string problem, licensed_to;          // the last day; empty: no licence in force
  bool kept = false;
  std::string reason;        // one line: why it is kept, or which one is instead
  uint64_t released_by = 0;  // the newest review that says it is this licensor's; 0: none
};

// One record: these seconds are those.
struct SharedSpan {
  uint64_t record = 0;
  std::string path, of;
  uint64_t start_us = 0, end_us = 0, of_start_us = 0, of_end_us = 0;
  double distance = 0, audio_match = 0;  // as Match
  bool conflict = false;
  std::string said;  // of the very same bytes, by another licensor: as TitleConflict
};

struct Group {
  bool conflict = false;  // two licensors: what a review releases is kept, whatever the policy
  std::vector<GroupMember> members;  // in order of record
  std::vector<SharedSpan> spans;     // as `members`
};

// In order of the first record of each.
std::vector<Group> duplicate_groups(const ledger::Store& store, Keep keep);

}  // namespace cleared::curate
