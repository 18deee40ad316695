// Whose footage is that two licensors deliver. Both sides are kept out, until people who
// established it release the clips of one side by a signed review (docs/formats/review.md, TITLE);
// what is delivered later is not covered by it. Who has to know asks the views conflicted_clip and
// released_clip (ledger/schema.h), as all here does. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/record.pb.h"
#include "ledger/store.h"

namespace cleared::ledger {

enum class Title { clear, conflicted, released };

// SQL that gives the Title of clip `c` as a number.
inline constexpr std::string_view kTitleOfClip =
    "CASE WHEN c.seq IN (SELECT clip FROM conflicted_clip) THEN 1 "
    "WHEN c.seq IN (SELECT clip FROM released_clip) THEN 2 ELSE 0 END";

// What becomes of a clip with the verdict and the status of its source that are on record: "kept",
// the only yes, "conflict", "duplicate", "black" and so on.
std::string standing_of(std::string_view verdict, std::string_view status, Title title);
// The same in SQL, over clip `c` and source `s`.
std::string standing_sql();

struct ClaimedClip {
  std::string id;  // hex
  uint64_t start_us = 0, end_us = 0;
  bool released = false;  // of this claim
};
// One side of a span.
struct Claim {
  std::string path, source;  // digest, hex
  std::string licensor;
  std::vector<std::string> licences;  // "id@version"
  uint64_t start_us = 0, end_us = 0;  // the span
  std::vector<ClaimedClip> clips;     // those that are in nobody's way but the other licensor's
  uint64_t released_by = 0;           // the newest review that releases one; 0: none
};
struct TitleConflict {
  uint64_t record = 0;
  Claim claims[2];   // the later one, and the one that was there before
  std::string said;  // of the very same bytes, which are on record once: where else, and by whom
  double distance = 0;
  bool waits() const { return claims[0].released_by == 0 && claims[1].released_by == 0; }
};
// In order of record.
std::vector<TitleConflict> title_conflicts(const Store& store);

// The very same bytes are on record once, under the path by which they came first. Of each other
// path by which another licensor delivers them, as the subject of its refusal says it ("PATH
// sha256:HEX"): the record that claims them from first to last, and so keeps every clip of them out
// until a review of after it decides. The refusal is the record behind that one: alone it claims
// nothing.
// Of several the newest.
std::map<std::string, uint64_t> claims_to_same_bytes(const Store& store);

// Why a review may not be record `seq`: of footage that two licensors deliver one side alone may be
// released. Empty: it may. `released` has the clips, by record, about whose title it decides, at
// `at`; of the tables, rows of records before `seq` alone are looked at.
std::string released_twice(const Database& db, uint64_t seq, std::string_view at,
                           const std::map<uint64_t, bool>& released);

// "0.00 to 2.00 s of south/mine.mkv, south under SOUTH@1", for people.
std::string describe(const Claim& claim);

}  // namespace cleared::ledger
