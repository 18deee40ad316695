#include "ledger/base/html.h"

#include <utility>

namespace cleared {
namespace {

constexpr std::pair<std::string_view, char> kEntities[] = {
    {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};

constexpr std::string_view kStyle = R"html(
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}p{max-width:60rem}code{font-size:.85em}.quiet{color:#687078}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dce0;vertical-align:top;overflow-wrap:anywhere;unicode-bidi:isolate}
th{background:#f2f4f6;white-space:nowrap}td.n,th.n{text-align:right;white-space:nowrap}
@media screen and (max-width:60rem){table{display:block;overflow-x:auto}td{min-width:7rem}td.n,td.w{min-width:0}}
@media print{body{font-size:10px;margin:0;max-width:none}tr,figure{break-inside:avoid}td{min-width:4rem}td.n,td.w{min-width:0}}
pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}
@media (prefers-color-scheme:dark){body{background:#16181b;color:#e4e7ea}th{background:#23272b}th,td{border-color:#3a4046}}
)html";

}  // namespace

std::string html_head(std::string_view title, std::string_view style) {
  std::string out = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cleared: )html";
  out += escape_html(title);
  out.append("</title>\n<style>").append(kStyle).append(style);
  return out + "</style></head><body>\n";
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    std::string_view as(&c, 1);
    for (const auto& [entity, plain] : kEntities) {
      if (c == plain) as = entity;
    }
    out += as;
  }
  return out;
}

std::string unescape_html(std::string_view html) {
  std::string out;
  while (!html.empty()) {
    size_t length = 1;
    char plain = html[0];
    for (const auto& [entity, c] : kEntities) {
      if (!html.starts_with(entity)) continue;
      length = entity.size();
      plain = c;
    }
    out += plain;
    html.remove_prefix(length);
  }
  return out;
}

}  // namespace cleared
