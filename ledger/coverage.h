// Which sources a licence covers. Those that came after it say so themselves (`source_licence`);
// those that were there before are found by its terms when it is appended, and kept in the table
// `licence_source` as long as its document is. The views `source_cover` and those over it read
// both. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "ledger/licence.pb.h"
#include "ledger/sqlite.h"
#include "ledger/store.h"

namespace cleared::ledger {

// Every source under a version of the licence with this id: what one of them covered was used under
// it, and so were bytes that came by another path that one covers. Costs a look at each refusal of
// a file, where a document of the licence is kept.
std::set<uint64_t> sources_under(const Store& store, std::string_view id);

// Every source that these terms cover, by whichever path its bytes came. Costs a look at the names
// of all sources and at each refusal of a file.
std::set<uint64_t> sources_covered_by(const Store& store, const LicenceText& terms);

// "[1,2,3]": record numbers for SQL's json_each().
std::string json_list(const std::set<uint64_t>& seqs);

// What the record says of bytes that were not taken in by this path: the gate refused them (act
// "ingest"), or curate could not use them there or had them already (act "curate").
struct FileRefusal {
  std::string subject, path;  // the path with escapes, as all of a subject
  Digest digest;
  std::string rule, fact;
};
void each_file_refusal(const Store& store, const std::function<void(const FileRefusal&)>& each);

// A further path by which the bytes of a source came, whatever became of them there.
struct OtherPath {
  uint64_t source = 0;  // its record
  Digest digest;
  std::string of_source, path;
  // Another licensor's claim by this path is on record as a conflict (claims_to_same_bytes() in
  // ledger/titles.h): what a review decides. Only what his licences say there is settled by it.
  bool is_claim = false;
};
// Calls `each` for every one, in order of record. A path may come several times.
void each_other_path(const Store& store, const std::function<void(const OtherPath&)>& each);

// Calls `each` with record numbers: a licence whose document is kept, `from` or later, and a source
// before it that it covers, both rising. Costs a look at the names of all sources, and nothing
// where no source is older than a licence. A document that does not parse covers nothing here.
void each_coverage(const Database& db,
                   const std::function<void(uint64_t licence, uint64_t source)>& each,
                   uint64_t from = 0);

// Writes the rows of `licence_source` for the licences from this record on.
void keep_coverage(const Database& db, uint64_t from = 0);

}  // namespace cleared::ledger
