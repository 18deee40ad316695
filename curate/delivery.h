// The files of a delivery, as they came from a licensor. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/base/file.h"
#include "ledger/clearances.h"
#include "ledger/notes.pb.h"

namespace cleared::curate {

struct DeliveredFile {
  std::string path;  // below the delivery, "/" between names
  std::filesystem::path file;
  std::string problem = {};  // why it is nothing to open; mostly empty
};

// Every file below `folder` in order of path, but for sidecars (.txt .srt .json .csv .md .licence
// .pub .c2pa .xmp .clearances, rsl.xml, license.xml, NAME.rsl.xml, in whatever case) and hidden
// ones. Listed too, for open_delivered() to refuse: what is no plain file; a folder that cannot be
// read; a sidecar about the rights in a film that is not there. Folders that are links are not
// entered. Error{not_found} for no folder, Error{io} when it cannot be read itself.
//
// `not_looked_at` gets what there is besides that nothing reads, whatever is in them:
// what is hidden, a hidden folder as one, and what is named as a note or a caption and beside no
// film.
std::vector<DeliveredFile> list_delivery(const std::filesystem::path& folder,
                                         std::vector<std::string>* not_looked_at = nullptr);

// What lies in folders, by names of which the case does not count: REEL.CLEARANCES speaks as
// reel.clearances does. Each folder is listed once. Any thread.
class Folders {
 public:
  // The entries that `path` may mean; `path` itself where its folder cannot be listed.
  std::vector<std::filesystem::path> find(const std::filesystem::path& path) const;

 private:
  using Names = std::map<std::string, std::set<std::filesystem::path>>;  // by name in small letters
  mutable std::mutex mutex_;
  mutable std::map<std::filesystem::path, Names> names_;
};

// False where there is nothing. Error{corrupt}, without the name, for a link: what lies elsewhere
// was not delivered. And for all else that is no plain file.
bool has_plain_file(const std::filesystem::path& path);

// What the names of sidecars of this file alone begin with: both "NAME.mp4" and "NAME".
std::vector<std::string> names_of_sidecars(const DeliveredFile& source);

// What its licensor says about the people in a source, in each sidecar that there is:
// NAME.mp4.clearances, NAME.clearances. Error{corrupt} with line and column.
struct SaidClearances {
  ledger::ClearancesText said;
  std::string origin;  // name of the sidecar
};
std::vector<SaidClearances> read_clearances(const DeliveredFile& source,
                                            const Folders& folders = {});
// What counts as said where a sidecar cannot be read: nobody knows.
SaidClearances unknown_clearances();
// What they say of the clip from `start_us` to `end_us`.
std::vector<ledger::ClipFinding> findings_of(const std::vector<SaidClearances>& all,
                                             uint64_t start_us, uint64_t end_us);

// A source, opened once: its digest is that of the bytes which `fd` then hands to the decoder.
struct OpenedSource {
  Fd fd;
  Digest digest;
  uint64_t size_bytes = 0;
  int64_t changed_ns = 0;  // when, as the file system has it
};
// Error{corrupt} when it was written to since open_source(): what was decoded may be something else
// than what was hashed.
void require_unchanged(const OpenedSource& source);
// Where nobody asks for the digest it need not be made, and is 0.
enum class Hashed { yes, no };
// As has_plain_file(): a delivery is its own files.
OpenedSource open_delivered(const DeliveredFile& source, Hashed hashed = Hashed::yes);
// Links are followed.
OpenedSource open_source(const std::filesystem::path& file, Hashed hashed = Hashed::yes);

// with_escapes(): for a line on screen and in a record.
std::string printable(std::string_view text);

}  // namespace cleared::curate
