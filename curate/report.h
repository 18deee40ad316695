// One HTML page that answers what is in a ledger and why: licences and attributions, sources,
// clips, refusals, duplicates, shards. No script, nothing loaded from elsewhere: it opens from a
// mail attachment. All that came from outside is escaped. One thread.
#pragma once

#include <string>

namespace cleared::ledger {
class Store;
}

namespace cleared::curate {

std::string html_report(const ledger::Store& store);

// `text` with & < > " ' as entities.
std::string escape_html(std::string_view text);

}  // namespace cleared::curate
