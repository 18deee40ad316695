// One HTML page that answers what is in a ledger and why: licences and what they cover, refusals by
// reason, duplicates with the spans that are the same, clips, shards, problems. No script, nothing
// loaded from elsewhere: it opens from a mail attachment. All that came from outside is escaped.
// One thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "curate/worker.h"

namespace cleared::ledger {
class Store;
}

namespace cleared::curate {

class Limits;

struct ReportOptions {
  // Where the sources lie: pictures of what is there twice are then shown. Empty: none are. A
  // source that is not there, or has changed, is shown without.
  std::filesystem::path delivery;
  WorkerOptions worker;
};

std::string html_report(const ledger::Store& store, const ReportOptions& options,
                        const Limits& limits);

// A text from outside as HTML: what escape_html() makes of it (ledger/base/html.h), and characters
// that cannot be seen or turn others round as %XX.
std::string visible_html(std::string_view text);

}  // namespace cleared::curate
