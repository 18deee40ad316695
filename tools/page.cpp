#include "tools/page.h"

#include <algorithm>

#include "ledger/base/html.h"

namespace cleared::tools {
namespace {

constexpr std::string_view kStyle = R"html(
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}p{max-width:60rem}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dce0;vertical-align:top;overflow-wrap:anywhere}
th{background:#f2f4f6}td.n,th.n{text-align:right;white-space:nowrap}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}
@media (prefers-color-scheme:dark){body{background:#16181b;color:#e4e7ea}th{background:#23272b}th,td{border-color:#3a4046}}
)html";

std::string opening(std::string_view name) {
  return "<pre id=\"" + std::string(name) + "\">\n";  // a first newline is not part of the text
}

}  // namespace

Page::Page(std::string_view title) {
  const std::string name = escape_html(title);
  out_ =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta "
      "http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'\">\n<meta name=\"viewport\" content=\"width=device-width, "
      "initial-scale=1\">\n<title>Cleared: " +
      name + "</title>\n<style>" + std::string(kStyle) + "</style></head><body>\n<h1>" + name +
      "</h1>\n";
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
  return std::move(out_) + "</body></html>\n";
}

std::string block_of(std::string_view page, std::string_view name) {
  const std::string begin = opening(name);
  const size_t at = page.find(begin);
  if (at == std::string_view::npos) return {};
  const size_t from = at + begin.size();
  return unescape_html(page.substr(from, page.find("</pre>", from) - from));
}

}  // namespace cleared::tools
