#include "tools/page.h"

#include <algorithm>

#include "ledger/base/html.h"

namespace cleared::tools {
namespace {

std::string opening(std::string_view name) {
  return "<pre id=\"" + std::string(name) + "\">\n";  // a first newline is not part of the text
}

}  // namespace

Page::Page(std::string_view title) {
  out_ = html_head(title, "") + "<h1>" + escape_html(title) + "</h1>\n";
}

void Page::heading(std::string_view text) {
  out_ += "<h2>" + escape_html(text) + "</h2>\n";
}

void Page::sentence(std::string_view text) {
  out_ += "<p>" + escape_html(text) + "</p>\n";
}

void Page::table(const ledger::Table& table, std::string_view all, uint64_t more) {
  const auto row = [&](const std::vector<std::string>& fields, const std::string& tag) {
    out_ += "<tr>";
    for (size_t i = 0; i < fields.size(); ++i) {
      out_ += "<" + tag + (table.numeric[i] ? " class=n>" : ">") + escape_html(fields[i]) + "</" +
              tag + ">";
    }
    out_ += "</tr>\n";
  };
  out_ += "<table>\n";
  row(table.columns, "th");
  const size_t shown = std::min(table.rows.size(), kPageRows);
  for (size_t i = 0; i < shown; ++i) row(table.rows[i], "td");
  out_ += "</table>\n";
  more += table.rows.size() - shown;
  if (more > 0) sentence("and " + std::to_string(more) + " more; " + std::string(all) + ".");
}

void Page::block(std::string_view name, std::string_view text) {
  out_ += opening(name) + escape_html(text) + "</pre>\n";
}

std::string Page::finish() && {
  return std::move(out_).append(kHtmlEnd);
}

std::string block_of(std::string_view page, std::string_view name) {
  const std::string begin = opening(name);
  const size_t at = page.find(begin);
  if (at == std::string_view::npos) return {};
  const size_t from = at + begin.size();
  return unescape_html(page.substr(from, page.find("</pre>", from) - from));
}

}  // namespace cleared::tools
