// Looks (curate/looks.h) of one source as series in time, and the file beside the ledger that keeps
// them (docs/formats/index.md). Safe from any thread, as far as the files differ.
#pragma once

#include <filesystem>
#include <vector>

#include "curate/align.h"
#include "curate/places.h"
#include "ledger/base/bytes.h"

namespace cleared::curate {

class Analysis;

// Do the lists of looks fit each other?
bool looks_are_whole(const Analysis& analysis);
// One series a look.
std::vector<Track> kept_looks(const Analysis& analysis);
std::vector<Track> asked_looks(const Analysis& analysis);
Squares squares_of(const Analysis& analysis);

// The content of FOLDER/DIGEST.looks, and the file; it is there after a power cut.
std::string looks_file(const Digest& digest, const Analysis& analysis);
void write_looks(const std::filesystem::path& folder, const Digest& digest,
                 const std::string& file);
// Is there something of that name? A line in the log when it is no plain file.
bool has_looks(const std::filesystem::path& folder, const Digest& digest);
// None when the file is missing; none and a line in the log when it is damaged: whole pictures are
// compared still.
std::vector<Track> read_looks(const std::filesystem::path& folder, const Digest& digest);
// The kAskedLooks of which only the insets are kept; none without the file, or in one of before
// they were.
std::vector<Track> read_insets(const std::filesystem::path& folder, const Digest& digest);

}  // namespace cleared::curate
