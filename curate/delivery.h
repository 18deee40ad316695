// The files of a delivery, as they came from a licensor. Any thread.
#pragma once

#include <cstdint>
#include <filesystem>
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
};

// Every file below `folder` in order of path, but for sidecars (.txt .srt .json .csv .md .licence
// .pub .c2pa .clearances, rsl.xml, license.xml, NAME.rsl.xml) and hidden ones. What is no plain
// file is listed too, for open_delivered() to refuse; folders that are links are not entered.
// Error{not_found} for no folder.
std::vector<DeliveredFile> list_delivery(const std::filesystem::path& folder);

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
std::vector<SaidClearances> read_clearances(const DeliveredFile& source);
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
// As has_plain_file(): a delivery is its own files.
OpenedSource open_delivered(const DeliveredFile& source);
// Links are followed.
OpenedSource open_source(const std::filesystem::path& file);

// `text` with every byte that is no printable UTF-8 as %XX: for a line on screen and in a record.
std::string printable(std::string_view text);

}  // namespace cleared::curate
