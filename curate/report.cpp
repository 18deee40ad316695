#include "curate/report.h"

#include <cstdio>
#include <sstream>
#include <string_view>
#include <vector>

#include "ledger/store.h"

namespace cleared::curate {
namespace {

constexpr std::string_view kHead = R"html(<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Cleared: what this ledger holds, and why</title>
<style>
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:78rem;padding:0 1rem;color:#1c2024;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem}p{max-width:60rem}
table{border-collapse:collapse;width:100%;font-size:.88rem}
th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dce0;vertical-align:top;overflow-wrap:anywhere}
th{background:#f2f4f6;position:sticky;top:0}td.n,th.n{text-align:right;white-space:nowrap}
code{font-size:.85em}.kept{color:#176b34}.no{color:#a11c1c}.quiet{color:#687078}
ul.facts{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.6rem}
ul.facts li{border:1px solid #d8dce0;border-radius:.4rem;padding:.5rem .8rem}ul.facts b{display:block;font-size:1.25rem}
@media (prefers-color-scheme:dark){body{background:#16181b;color:#e4e7ea}th{background:#23272b}th,td,ul.facts li{border-color:#3a4046}.kept{color:#6fd08c}.no{color:#ff8a80}}
@media print{th{position:static}}
</style></head><body>
)html";

enum class Cell { text, number, seconds, digest, verdict };

struct Column {
  const char* title;
  Cell cell = Cell::text;
};

std::string seconds(int64_t us) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", double(us) / 1e6);
  return text;
}

std::string cell_html(const ledger::Statement& row, int column, Cell cell) {
  const std::string text = escape_html(row.text(column));
  switch (cell) {
    case Cell::text:
      return "<td>" + text + "</td>";
    case Cell::number:
      return "<td class=n>" + text + "</td>";
    case Cell::seconds:
      return "<td class=n>" + seconds(row.integer(column)) + "</td>";
    case Cell::digest:
      return "<td><code title=\"" + text + "\">" + text.substr(0, 16) + "</code></td>";
    case Cell::verdict:
      return std::string("<td class=") + (text == "kept" ? "kept" : "no") + ">" + text + "</td>";
  }
  return "";
}

// A heading, a sentence, and the rows of `sql`, one column of it for each of `columns`.
void section(std::ostream& out, const ledger::Database& db, const char* title, const char* sentence,
             const std::vector<Column>& columns, const char* sql) {
  out << "<h2>" << title << "</h2>\n<p>" << sentence << "</p>\n";
  ledger::Statement row(db, sql);
  bool any = false;
  while (row.next()) {
    if (!any) {
      out << "<table><tr>";
      for (const Column& column : columns) {
        const bool right = column.cell == Cell::number || column.cell == Cell::seconds;
        out << (right ? "<th class=n>" : "<th>") << column.title << "</th>";
      }
      out << "</tr>\n";
    }
    any = true;
    out << "<tr>";
    for (size_t i = 0; i < columns.size(); ++i) {
      out << cell_html(row, static_cast<int>(i), columns[i].cell);
    }
    out << "</tr>\n";
  }
  out << (any ? "</table>\n" : "<p class=quiet>None.</p>\n");
}

void summary(std::ostream& out, const ledger::Store& store) {
  const auto count = [&](const char* sql) { return store.db().integer(sql); };
  out << "<h1>What this ledger holds, and why</h1>\n<p>Ledger <b>" << escape_html(store.origin())
      << "</b>, " << store.size() << " records. This page is generated from the ledger and proves "
      << "nothing by itself: <code>ledger verify</code> does.</p>\n<ul class=facts>\n";
  const auto fact = [&](const std::string& value, const char* what) {
    out << "<li><b>" << value << "</b>" << what << "</li>\n";
  };
  fact(std::to_string(count("SELECT COUNT(*) FROM source")), "sources");
  fact(seconds(count("SELECT COALESCE(SUM(duration_us), 0) FROM source")) + " s", "of footage");
  fact(std::to_string(count("SELECT COUNT(*) FROM clip WHERE verdict = 'kept'")), "clips kept");
  fact(std::to_string(count("SELECT COUNT(*) FROM clip WHERE verdict <> 'kept'")),
       "clips left out");
  fact(std::to_string(count("SELECT COUNT(*) FROM refusal")), "refusals");
  fact(std::to_string(count("SELECT COUNT(*) FROM shard")), "shards");
  out << "</ul>\n";
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string html_report(const ledger::Store& store) {
  const ledger::Database& db = store.db();
  std::ostringstream out;
  out << kHead;
  summary(out, store);
  section(out, db, "Licences and attribution",
          "What each licence covers here, and the words that have to go with it.",
          {{"Licence"},
           {"Licensor"},
           {"Valid"},
           {"Attribution"},
           {"Sources", Cell::number},
           {"Footage, s", Cell::seconds},
           {"Clips kept", Cell::number}},
          "SELECT l.ref, l.licensor, l.valid_from || ' to ' || l.valid_to, l.attribution, "
          "COUNT(s.digest), COALESCE(SUM(s.duration_us), 0), "
          "COALESCE(SUM(k.clips) FILTER (WHERE s.status = 'kept'), 0) "
          "FROM licence l LEFT JOIN source_licence x ON x.licence = l.seq "
          "LEFT JOIN source s ON s.seq = x.seq "
          "LEFT JOIN (SELECT source, COUNT(*) AS clips FROM clip WHERE verdict = 'kept' "
          "GROUP BY source) k ON k.source = s.seq GROUP BY l.seq ORDER BY l.ref");
  section(
      out, db, "Refused",
      "What was delivered and not taken, by rule. Nothing of a file refused at ingest was decoded.",
      {{"Rule"}, {"Act"}, {"Subject"}, {"Why"}},
      "SELECT rule, act, subject, fact FROM refusal ORDER BY rule, subject, seq");
  section(out, db, "Sources", "Every file that was decoded.",
          {{"Path"},
           {"Status", Cell::verdict},
           {"Licences"},
           {"Picture"},
           {"Sound"},
           {"Seconds", Cell::seconds},
           {"Frames", Cell::number},
           {"Shots", Cell::number},
           {"Caption"},
           {"Problem"},
           {"Digest", Cell::digest}},
          "SELECT s.path, s.status, (SELECT GROUP_CONCAT(l.ref, ', ') FROM source_licence x "
          "JOIN licence l ON l.seq = x.licence WHERE x.seq = s.seq), s.video_codec || ' ' || "
          "s.width || ' x ' || s.height || "
          "CASE s.variable_frame_rate WHEN 1 THEN ', variable rate' ELSE '' END, s.audio_codec, "
          "s.duration_us, s.frames, s.shots, s.caption, s.problem, s.digest FROM source s "
          "ORDER BY s.path, s.seq");
  section(out, db, "Duplicates and conflicts",
          "The same footage twice. A duplicate is not kept; a conflict, where two licensors "
          "deliver it, "
          "is quarantined on both sides until somebody decides whose it is.",
          {{"Source"},
           {"From, s", Cell::seconds},
           {"To, s", Cell::seconds},
           {"Is the same as"},
           {"From, s", Cell::seconds},
           {"To, s", Cell::seconds},
           {"Distance, bits of 256"},
           {"Sound"},
           {"Verdict", Cell::verdict}},
          "SELECT a.path, d.start_us, d.end_us, b.path, d.of_start_us, d.of_end_us, "
          "printf('%.1f', d.distance), CASE WHEN d.audio_match < 0 THEN 'none' ELSE "
          "printf('%.0f %%', 100 * d.audio_match) END, d.verdict FROM duplicate d "
          "JOIN source a ON a.seq = d.source JOIN source b ON b.seq = d.of ORDER BY d.seq");
  section(
      out, db, "Clips", "The spans that were cut, and those that were looked at and left out.",
      {{"Source"},
       {"From, s", Cell::seconds},
       {"To, s", Cell::seconds},
       {"Shot", Cell::number},
       {"Verdict", Cell::verdict},
       {"Luma", Cell::number},
       {"Sharpness", Cell::number},
       {"Motion", Cell::number},
       {"In shard"},
       {"Clip", Cell::digest}},
      "SELECT s.path, c.start_us, c.end_us, c.shot, c.verdict, printf('%.0f', c.luma), "
      "printf('%.0f', c.sharpness), printf('%.2f', c.motion), "
      "COALESCE((SELECT GROUP_CONCAT(h.name, ', ') FROM sample p JOIN shard h ON h.seq = p.shard "
      "WHERE p.clip = c.seq), ''), c.id FROM clip c JOIN source s ON s.seq = c.source "
      "ORDER BY s.path, c.start_us");
  section(out, db, "Shards", "The files that training may be given, once they are approved.",
          {{"Shard"},
           {"Samples", Cell::number},
           {"Bytes", Cell::number},
           {"Licences"},
           {"Root", Cell::digest}},
          "SELECT h.name, h.samples, h.size_bytes, (SELECT GROUP_CONCAT(l.ref, ', ') FROM "
          "shard_licence x JOIN licence l ON l.seq = x.licence WHERE x.seq = h.seq), h.root FROM "
          "shard h ORDER BY h.seq");
  out << "</body></html>\n";
  return std::move(out).str();
}

}  // namespace cleared::curate
