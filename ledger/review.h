// The quarantine: clips that wait for a person, because of what is on record about the clip
// (ledger/clearances.h) where its licences would else allow training, or because two licensors
// claim it and neither side is released (ledger/titles.h). A page to look at them and a form to
// decide with. Reads the ledger; one thread.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "ledger/clearances.h"
#include "ledger/record.pb.h"
#include "ledger/rights.h"
#include "ledger/store.h"

namespace cleared::ledger {

struct WaitingClip {
  std::string id, source, path;  // id and digest of the source in hex
  uint64_t start_us = 0, end_us = 0;
  Verdict verdict;                    // what the gate says of it now
  std::vector<ClipFinding> findings;  // those that keep it out; "title" for each claim
  std::string pictures;               // digest of the source's pictures, hex, or empty
  bool packed = false;                // it is in a shard
};
std::vector<WaitingClip> quarantine(const Store& store, const Rights& rights);

// What lies beside the ledger for people: LEDGER.index/SOURCE.pictures. Nothing when it is not
// there, or is not what was recorded.
ReviewPictures pictures_of(const Store& store, const WaitingClip& clip);

// Is nothing but whose it is in its way? Then the span says all (title_conflicts()).
bool waits_for_title_alone(const WaitingClip& clip);

// One page, complete in itself: pictures embedded, no script, nothing loaded.
std::string review_html(const Store& store, const std::vector<WaitingClip>& clips);

// A review that keeps all of them out, for a person to change and sign.
std::string review_form(const std::vector<WaitingClip>& clips, uint64_t now_us);
// A review that releases the titles of one source: its path, or how its digest begins, eight hex
// digits at least. Error{not_found} when nobody else claims a clip of it.
std::string title_form(const Store& store, const std::string& source, uint64_t now_us);

// The records of a review, whose decisions may be in lists (ledger/review_lists.h). Who signed it
// is checked by Store::append. Error{corrupt} when it decides about a reason that was not on record
// for its clip when it was decided.
std::vector<Fact> review_records(const Store& store, const std::string& note,
                                 std::span<const std::string> lists = {});

}  // namespace cleared::ledger
