#include "tools/output.h"

#include <algorithm>
#include <cstdio>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include "tools/cli.h"

namespace cleared::tools {
using ledger::Table;
namespace {

// A number in decimal digits is no formula, whatever its sign.
bool is_number(const std::string& text) {
  size_t used = 0;
  try {
    std::stod(text, &used);
  } catch (const std::exception&) {
    return false;
  }
  return used == text.size() && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
}

// Code points: one column each, near enough for names.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  }));
}

std::string cut(const std::string& raw) {
  constexpr size_t kWidest = 40;
  std::string text = printable(raw);
  if (width_of(text) <= kWidest) return text;
  size_t at = 0;
  for (size_t count = 0; at < text.size(); ++at) {
    const bool starts = (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
    if (starts && count++ == kWidest - 3) break;
  }
  return text.substr(0, at) + "...";
}

}  // namespace

bool is_terminal() {
  return ::isatty(STDOUT_FILENO) == 1;
}

void print_json(const Json& json) {
  std::printf("%s\n", json.dump(2, ' ', true, Json::error_handler_t::replace).c_str());
}

void print_json_line(const Json& json) {
  std::printf("%s\n", json.dump(-1, ' ', true, Json::error_handler_t::replace).c_str());
}

Json to_json(const Table& table) {
  Json out = Json::array();
  for (const auto& row : table.rows) {
    Json object = Json::object();
    for (size_t i = 0; i < row.size(); ++i) {
      Json value = row[i];
      if (table.numeric[i] && row[i].empty()) value = nullptr;
      if (table.numeric[i] && is_number(row[i])) value = Json::parse(row[i], nullptr, false);
      object[table.columns[i]] = value.is_discarded() ? Json(row[i]) : std::move(value);
    }
    out.push_back(std::move(object));
  }
  return out;
}

std::string csv_field(const std::string& text) {
  const bool formula = !text.empty() &&
                       std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos &&
                       !is_number(text);
  const std::string safe = formula ? "'" + text : text;
  if (safe.find_first_of(",\"\r\n") == std::string::npos) return safe;
  std::string out = "\"";
  for (const char c : safe) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

void print_csv_line(const std::vector<std::string>& fields) {
  static const bool terminal = is_terminal();
  std::string out;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out += ',';
    out += csv_field(terminal ? printable(fields[i]) : fields[i]);
  }
  out += "\r\n";
  std::fwrite(out.data(), 1, out.size(), stdout);
}

void print_table(const Table& table) {
  std::vector<size_t> widths;
  for (const std::string& name : table.columns) widths.push_back(width_of(cut(name)));
  for (const auto& row : table.rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(cut(row[i])));
  }
  const auto line = [&](const std::vector<std::string>& fields, bool heading) {
    std::string out;
    for (size_t i = 0; i < fields.size(); ++i) {
      const std::string text = cut(fields[i]);
      const std::string space(widths[i] - width_of(text), ' ');
      if (i > 0) out += "  ";
      out += table.numeric[i] && !heading ? space + text : text + space;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    std::printf("%s\n", out.c_str());
  };
  line(table.columns, true);
  for (const auto& row : table.rows) line(row, false);
  if (table.more) {
    std::printf("(the first %zu row%s; --limit 0 shows all)\n", table.rows.size(),
                table.rows.size() == 1 ? "" : "s");
  } else {
    std::printf("(%zu row%s)\n", table.rows.size(), table.rows.size() == 1 ? "" : "s");
  }
}

void print_rows(const Table& table, uint64_t limit) {
  const size_t shown = limit == 0 ? table.rows.size() : std::min<size_t>(table.rows.size(), limit);
  for (size_t i = 0; i < shown; ++i) {
    std::string out = "  ";
    for (size_t c = 0; c < table.columns.size(); ++c) {
      if (c > 0) out += c == 1 ? ": " : "; ";
      out += table.columns[c] + " " + printable(table.rows[i][c]);
    }
    std::printf("%s\n", out.c_str());
  }
  if (shown < table.rows.size()) {
    std::printf("  and %zu more; --limit 0 shows all\n", table.rows.size() - shown);
  }
}

}  // namespace cleared::tools
