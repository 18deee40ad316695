// Works that must never be taken in: fingerprints of footage that its owner keeps to himself. They
// lie in a folder beside the ledger, one fingerprint file (docs/formats/fingerprint.md) each, named
// by the digest of that file: the digest of the work is its owner's word. Which files have to lie
// there is a record of the ledger, and so is what is refused because of one. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "curate/config.pb.h"
#include "curate/dedup.h"
#include "ledger/protection.h"

namespace cleared::curate {

using ledger::protected_folder;

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

// A fingerprint file of a folder.
struct PrintFile {
  std::filesystem::path path;
  std::string bytes;
  Digest digest = {};  // of the bytes
};
// By path. No folder, no files; Error{io} when it is there and cannot be read, or a link to none.
struct PrintFolder {
  explicit PrintFolder(std::filesystem::path folder);
  std::filesystem::path path;
  int64_t changed_ns;  // at least as old as the files
  std::vector<PrintFile> files;
};

class ProtectedWorks {
 public:
  // Error{corrupt} names a file that is damaged or no fingerprint: a work that cannot be read would
  // not be protected.
  explicit ProtectedWorks(const PrintFolder& folder);
  explicit ProtectedWorks(const std::filesystem::path& folder)
      : ProtectedWorks(PrintFolder(folder)) {}
  // False once a work was added to the folder, or taken out of it.
  bool is_current() const;
  // By these rules, but never by looser ones than the defaults.
  // As DuplicateIndex::find(): where only the sound is that of a work, too, and these come last.
  std::vector<ProtectedMatch> find(const Footage& footage, const Duplicates& rules) const;
  size_t size() const { return names_.size(); }
  const std::string& name(size_t work) const { return names_[work]; }
  const Digest& print(size_t work) const { return prints_[work]; }  // of its fingerprint file
  const Footage& footage(size_t work) const { return index_.footage(work); }
  // As DuplicateIndex::pictures_alike().
  std::vector<uint64_t> pictures_alike(std::span<const Fingerprint> prints) const {
    return index_.pictures_alike(prints);
  }

 private:
  std::filesystem::path folder_;
  int64_t changed_ns_;
  std::vector<std::string> names_;
  std::vector<Digest> prints_;
  DuplicateIndex index_;
};

// Those beside the ledger, on record or not. Error{corrupt} names a work on record whose file is
// gone or was altered: nobody takes one out without a record. The same where the folder is gone, no
// work was ever on record, and the ledger refused footage for the sake of one.
ProtectedWorks protected_works(const ledger::Store& store);
// Puts those on record that are not yet. Returns how many.
size_t record_works(ledger::Store& store, const ProtectedWorks& works);

// Ends the protection of one work: on record first, then its file is deleted, so that one killed in
// between has ended nothing. `work` is its name, or how the digest of its fingerprint file begins,
// eight hex digits at least. Error{not_found} without such a work, Error{usage} where there are
// several. A work whose file is gone or was altered is taken out, too.
struct RemovedWork {
  std::string name;
  Digest print = {};
  uint64_t record = 0;  // that says so
};
RemovedWork remove_protected(ledger::Store& store, const std::string& work);

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
