// Parts of the HTML report (curate/report.h) that are more than a table. Each writes to `out` what
// is safe to stand in a page; one thread.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include "curate/report.h"

namespace cleared::curate {

// "12.34", of microseconds.
std::string seconds_text(int64_t us);

// A bar for each pair of label and count; labels are plain text.
void write_bars(std::ostream& out, const char* title,
                const std::vector<std::pair<std::string, int64_t>>& bars);

// How long shots and clips are, how large pictures are, how much moves in them.
void write_histograms(std::ostream& out, const ledger::Store& store);

// The contact sheet: groups of footage that is there more than once, who is kept, which seconds of
// one are which of the other, and how they look.
void write_groups(std::ostream& out, const ledger::Store& store, const ReportOptions& options,
                  const Limits& limits);

}  // namespace cleared::curate
