// How the programs print tables and JSON. What comes from records was written by strangers: nothing
// of it reaches a terminal as a control character, an escape sequence or a change of the direction
// of reading. Main thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "ledger/query.h"

namespace cleared::tools {

using Json = nlohmann::ordered_json;

// Every character outside ASCII as \uXXXX, so that the document is the same everywhere and
// harmless.
void print_json(const Json& json);
void print_json_line(const Json& json);

// A list of objects. Numbers are numbers, and NULL where a column holds numbers.
Json to_json(const ledger::Table& table);

// Columns in line, long values cut. `more` rows there are not shown get a line that says how.
void print_table(const ledger::Table& table);

// One line of RFC 4180. A text that a spreadsheet would take for a formula gets a ' in front; every
// other value is exact, but on a terminal.
void print_csv_line(const std::vector<std::string>& fields);
std::string csv_field(const std::string& text);

// "name: value; name: value", a line a row, at most `limit` (0: all) and then how many are left
// out.
void print_rows(const ledger::Table& table, uint64_t limit);

bool is_terminal();  // does stdout lead to one?

}  // namespace cleared::tools
