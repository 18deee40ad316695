// Clearances of single clips: who is seen and heard in one, as the licensor says in a sidecar or as
// a detector found. They only ever make a licence stricter, and only a person takes them back: by a
// signed review (docs/formats/review.md), which releases a clip for the reasons that it names.
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/notes.pb.h"

namespace cleared::ledger {

// The words of ClearanceRecord.reason and, but for "minors", which nothing releases, of a review.
// "talent", "voice", "music": `value` is one of the licence's words. "minors": "true". "union":
// the union that must have been given notice. "face", "speech": what was found, in words.
struct ClipFinding {
  std::string reason, value;
  std::string origin;     // name of the sidecar, or of the detector
  bool released = false;  // by the newest review of it
};

// Is this a reason with such a value?
bool is_finding(std::string_view reason, std::string_view value);
bool is_releasable(std::string_view reason);
// "face" and Reason::FACE; nothing for a word that is none.
std::string reason_word(Reason::Value reason);
std::optional<Reason::Value> parse_reason(std::string_view word);

// A sidecar NAME.clearances of a file: strictly read, Error{corrupt} with line and column, or where
// more than 32 entries overlap.
ClearancesText parse_clearances(std::string_view text, std::string_view where);
// What it says about the clip from `start_us` to `end_us` of its file: of each entry that
// overlaps it, all fields.
std::vector<ClipFinding> findings_of(const ClearancesText& said, uint64_t start_us, uint64_t end_us,
                                     const std::string& origin);

// Error{corrupt} unless it is one that a ledger may take: real digests, each clip once, reasons.
void check_review(const Review& review);

}  // namespace cleared::ledger
