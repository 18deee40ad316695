// Works that must never be taken in: fingerprints of footage that its owner keeps to himself. They
// lie in a folder beside the ledger, one fingerprint file (docs/formats/fingerprint.md) each, named
// by the digest of that file: the digest of the work is its owner's word. What is refused because
// of one is a record of the ledger. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "curate/config.pb.h"
#include "curate/dedup.h"

namespace cleared::ledger {
class Store;
}

namespace cleared::curate {

std::filesystem::path protected_folder(const std::filesystem::path& ledger);  // LEDGER.protected

// False when the very same fingerprint file is there already: of two that name one work both count.
// `fingerprint` is the content of one.
bool add_protected(const std::filesystem::path& folder, const std::string& fingerprint);
// False where nothing in it moves, or it is too short: only its exact bytes are recognised then.
bool pictures_tell(const Footage& work);

struct ProtectedMatch {
  std::string name;
  Match match;
  Digest work = {};
};

class ProtectedWorks {
 public:
  // No folder, no works; Error{io} when it is there and cannot be read, or a link to none.
  // Error{corrupt} names a file that is damaged or no fingerprint: a work that cannot be read would
  // not be protected.
  explicit ProtectedWorks(const std::filesystem::path& folder);
  // False once a work was added to the folder, or taken out of it.
  bool is_current() const;
  // By these rules, but never by looser ones than the defaults.
  // As DuplicateIndex::find(): where only the sound is that of a work, too, and these come last.
  std::vector<ProtectedMatch> find(const Footage& footage, const Duplicates& rules) const;
  size_t size() const { return names_.size(); }
  const std::string& name(size_t work) const { return names_[work]; }
  const Footage& footage(size_t work) const { return index_.footage(work); }
  // As DuplicateIndex::pictures_alike().
  std::vector<uint64_t> pictures_alike(std::span<const Fingerprint> prints) const {
    return index_.pictures_alike(prints);
  }

 private:
  std::filesystem::path folder_;
  int64_t changed_ns_;
  std::vector<std::string> names_;
  DuplicateIndex index_;
};

// Those beside the ledger. Error{corrupt} where the folder is gone and the ledger refused footage
// for its sake: a folder that was lost must not end protection.
ProtectedWorks protected_works(const ledger::Store& store);

// A recorded source that shows a protected work, or sounds like one: what was taken in before it
// was protected.
struct RecordedMatch {
  std::string path;
  ProtectedMatch found;
  std::vector<std::string> shards;  // with clips of it, not revoked: take_back() of each
};

// By path. Asks with whole pictures and with the looks that are kept, which is less than ingest
// asks with.
std::vector<RecordedMatch> recorded_protected(const std::filesystem::path& ledger,
                                              const ProtectedWorks& works, const Config& config);

// "NAME: ledger revoke LEDGER ROOT ...", for people: no permit lists a shard that was revoked.
std::string take_back(const std::filesystem::path& ledger, std::string_view name,
                      std::string_view root);

// "0:03.20 to 0:09.00 is 0:12.40 to 0:18.20 of NAME (cropped, 1.25 times as fast), distance 4.1",
// or "0:03.20 to 0:09.00 sounds like 0:12.40 to 0:18.20 of NAME"
std::string describe(const Match& match, const std::string& name);

}  // namespace cleared::curate
