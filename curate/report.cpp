#include "curate/report.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <string_view>
#include <vector>

#include "curate/delivery.h"
#include "curate/report_parts.h"
#include "ledger/base/bytes.h"
#include "ledger/base/html.h"
#include "ledger/store.h"
#include "ledger/titles.h"

namespace cleared::curate {
namespace {

constexpr std::string_view kStyle =
    R"html(th{position:sticky;top:0}.kept{color:#176b34}.no{color:#a11c1c}td.kept,td.no,td.w,td code{white-space:nowrap}
ul.facts{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.6rem}
ul.facts li{border:1px solid #d8dce0;border-radius:.4rem;padding:.5rem .8rem}ul.facts b{display:block;font-size:1.25rem}
.charts{display:flex;flex-wrap:wrap;gap:1rem 2.5rem}figure{margin:0}figcaption{font-weight:600;margin-bottom:.3rem}
svg{max-width:100%;height:auto}svg text{font:12px system-ui,sans-serif;fill:currentColor}svg rect{fill:#3d74b8}svg .whole{fill:#c9d0d8}svg .joined{fill:#3d74b8;opacity:.2}
.group{border:1px solid #d8dce0;border-radius:.4rem;padding:.2rem 1rem .8rem;margin:.8rem 0}.group h3{font-size:1rem;margin:.6rem 0 .3rem}.group ul{margin:.2rem 0;padding-left:1.2rem;font-size:.88rem}
.span{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:.4rem 1rem;border-top:1px solid #d8dce0;padding:.6rem 0;font-size:.85rem}
.span svg,.span .quiet{order:1;grid-column:1/-1}.side{overflow-wrap:anywhere}.sheet{display:flex;flex-wrap:wrap;gap:2px;margin-bottom:.2rem}.sheet .none{display:inline-block;width:96px;height:72px;background:#8883;border-radius:2px}
@media (prefers-color-scheme:dark){ul.facts li,.group,.span{border-color:#3a4046}svg .whole{fill:#3a4046}svg rect,svg .joined{fill:#6aa3e8}.kept{color:#6fd08c}.no{color:#ff8a80}}
@media print{th{position:static}.span{break-inside:avoid}}
)html";

constexpr int kMostRows = 1000;  // of a table; the rest is counted

enum class Cell { text, word, subject, number, seconds, digest, verdict, share };

struct Column {
  const char* title;
  Cell cell = Cell::text;
};

std::string cell_html(const ledger::Statement& row, int column, Cell cell) {
  const std::string text = visible_html(row.text(column));
  switch (cell) {
    case Cell::text:
      return "<td>" + text + "</td>";
    case Cell::word:
      return "<td class=w>" + text + "</td>";
    case Cell::subject: {  // "PATH sha256:DIGITS": some of them do, and none of no bytes
      constexpr std::string_view kMark = " sha256:";
      const size_t mark = text.rfind(kMark);
      if (mark == std::string::npos) return "<td>" + text + "</td>";
      const std::string digits = text.substr(mark + kMark.size());
      if (digits == to_hex(Digest{})) return "<td>" + text.substr(0, mark) + "</td>";
      return "<td>" + text.substr(0, mark) + " <code title=\"" + digits + "\">" +
             digits.substr(0, 16) + "</code></td>";
    }
    case Cell::number:
      return "<td class=n>" + text + "</td>";
    case Cell::seconds:
      return "<td class=n>" + seconds_text(row.integer(column)) + "</td>";
    case Cell::digest:
      return "<td><code title=\"" + text + "\">" + text.substr(0, 16) + "</code></td>";
    case Cell::share: {
      const auto percent = std::to_string(static_cast<int>(100 * row.real(column) + 0.5));
      return "<td class=n>" + percent + " % <meter min=0 max=100 value=" + percent +
             "></meter></td>";
    }
    case Cell::verdict:
      return std::string("<td class=") + (text == "kept" ? "kept" : "no") + ">" + text + "</td>";
  }
  return "";
}

// A heading, a sentence, and the rows of `sql`, one column of it for each of `columns`.
void section(std::ostream& out, const ledger::Database& db, const char* title, const char* sentence,
             const std::vector<Column>& columns, const std::string& sql) {
  out << "<h2>" << title << "</h2>\n<p>" << sentence << "</p>\n";
  ledger::Statement row(db, sql);
  int rows = 0, left_out = 0;
  while (row.next()) {
    if (rows >= kMostRows) {
      ++left_out;
      continue;
    }
    if (rows == 0) {
      out << "<table><tr>";
      for (const Column& column : columns) {
        const bool right = column.cell == Cell::number || column.cell == Cell::seconds ||
                           column.cell == Cell::share;
        out << (right ? "<th class=n>" : "<th>") << column.title << "</th>";
      }
      out << "</tr>\n";
    }
    ++rows;
    out << "<tr>";
    for (size_t i = 0; i < columns.size(); ++i) {
      out << cell_html(row, static_cast<int>(i), columns[i].cell);
    }
    out << "</tr>\n";
  }
  out << (rows > 0 ? "</table>\n" : "<p class=quiet>None.</p>\n");
  if (left_out > 0) {
    out << "<p class=quiet>" << left_out
        << " more rows: sqlite3 or Datasette open the ledger itself.</p>\n";
  }
}

void write_refusals(std::ostream& out, const ledger::Store& store) {
  std::vector<std::pair<std::string, int64_t>> rules;
  ledger::Statement row(store.db(),
                        "SELECT rule, COUNT(*) FROM refusal GROUP BY 1 ORDER BY 2 DESC");
  while (row.next()) rules.emplace_back(row.text(0), row.integer(1));
  if (rules.empty()) {
    out << "<p class=quiet>None.</p>\n";
  } else {
    write_bars(out, "Refusals, by rule", rules);
  }
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
  fact(seconds_text(count("SELECT COALESCE(SUM(duration_us), 0) FROM source")) + " s",
       "of footage");
  const int64_t kept =
      store.db().integer("SELECT COUNT(*) FROM clip c JOIN source s ON s.seq = c.source WHERE " +
                         ledger::standing_sql() + " = 'kept'");
  fact(std::to_string(kept), "clips kept");
  fact(std::to_string(count("SELECT COUNT(*) FROM clip") - kept), "clips left out");
  fact(std::to_string(count("SELECT COUNT(*) FROM refusal")), "refusals");
  fact(std::to_string(count("SELECT COUNT(*) FROM shard")), "shards");
  out << "</ul>\n";
}

}  // namespace

std::string visible_html(std::string_view text) {
  return escape_html(printable(text));
}

std::string html_report(const ledger::Store& store, const ReportOptions& options,
                        const Limits& limits) {
  const ledger::Database& db = store.db();
  std::ostringstream out;
  out << html_head("what this ledger holds, and why", kStyle);
  summary(out, store);
  section(out, db, "Licences and attribution",
          "What each licence covers here, and the words that have to go with it.",
          {{"Licence"},
           {"Licensor"},
           {"Valid"},
           {"Now", Cell::word},
           {"Attribution"},
           {"Sources", Cell::number},
           {"Footage, s", Cell::seconds},
           {"Of all", Cell::share},
           {"Clips kept", Cell::number}},
          "SELECT l.ref, l.licensor, l.valid_from || ' to ' || l.valid_to, "
          "COALESCE((SELECT 'revoked ' || substr(MIN(r.at), 1, 10) FROM revocation r WHERE "
          "r.licence = l.id), CASE WHEN EXISTS (SELECT 1 FROM licence n WHERE n.id = l.id AND "
          "n.version > l.version) THEN 'superseded' WHEN date('now') < l.valid_from THEN 'not yet' "
          "WHEN date('now') > l.valid_to THEN 'expired' ELSE 'in force' END), l.attribution, "
          "COUNT(s.digest), COALESCE(SUM(s.duration_us), 0), "
          "COALESCE(SUM(s.duration_us) * 1.0 / (SELECT SUM(duration_us) FROM source), 0), "
          "COALESCE(SUM(k.clips), 0) "
          "FROM licence l LEFT JOIN source_cover x ON x.licence = l.seq "
          "LEFT JOIN source s ON s.seq = x.source "
          "LEFT JOIN (SELECT c.source, COUNT(*) AS clips FROM clip c JOIN source s "
          "ON s.seq = c.source WHERE " +
              ledger::standing_sql() +
              " = 'kept' GROUP BY c.source) k ON k.source = s.seq GROUP BY l.seq ORDER BY l.ref");
  write_histograms(out, store);
  out << "<h2>Refused, by reason</h2>\n";
  write_refusals(out, store);
  section(
      out, db, "Refused, one by one",
      "What was delivered and not taken, by rule. Nothing of a file refused at ingest was decoded.",
      {{"Rule", Cell::word}, {"Act", Cell::word}, {"Subject", Cell::subject}, {"Why"}},
      "SELECT rule, act, subject, fact FROM refusal ORDER BY rule, subject, seq");
  section(out, db, "Sources", "Every file that was decoded.",
          {{"Path"},
           {"Status", Cell::verdict},
           {"Clips kept", Cell::number},
           {"Licences"},
           {"Picture", Cell::word},
           {"Sound"},
           {"Seconds", Cell::seconds},
           {"Frames", Cell::number},
           {"Shots", Cell::number},
           {"Caption"},
           {"Digest", Cell::digest}},
          "SELECT s.path, CASE WHEN k.conflicts > 0 THEN 'conflict' ELSE s.status END, "
          "COALESCE(k.kept || ' of ' || k.clips, '0'), (SELECT GROUP_CONCAT(l.ref, ', ') FROM "
          "source_cover x "
          "JOIN licence l ON l.seq = x.licence WHERE x.source = s.seq), s.video_codec || ' ' || "
          "s.width || ' x ' || s.height || "
          "CASE s.variable_frame_rate WHEN 1 THEN ', variable rate' ELSE '' END, s.audio_codec, "
          "s.duration_us, s.frames, s.shots, s.caption, s.digest FROM source s LEFT JOIN ("
          "SELECT source, COUNT(*) AS clips, SUM(standing = 'kept') AS kept, "
          "SUM(standing = 'conflict') AS conflicts FROM (SELECT c.source, " +
              ledger::standing_sql() +
              " AS standing FROM clip c JOIN source s ON s.seq = c.source) GROUP BY source) k "
              "ON k.source = s.seq ORDER BY s.path, s.seq");
  section(
      out, db, "Problems",
      "Files whose good part was kept: where the rest breaks off. What could not be used at all, "
      "and words that were left out, are among the refusals.",
      {{"Path"}, {"Problem"}, {"Seconds that are good", Cell::seconds}, {"Digest", Cell::digest}},
      "SELECT path, problem, duration_us, digest FROM source WHERE problem <> '' "
      "ORDER BY path, seq");
  write_groups(out, store, options, limits);
  section(out, db, "Protected works",
          "What must never be taken in: whatever shows a part of one is refused under the rule "
          "<code>protected</code>, with the span and the distance.",
          {{"Work"}, {"Record", Cell::number}, {"Fingerprint", Cell::digest}},
          "SELECT name, record, fingerprint FROM protected_work ORDER BY name, record");
  section(out, db, "Around and over the picture, and in the sound",
          "Bars, logos in a corner, silence, how loud it is (LUFS), and what is special about the "
          "file.",
          {{"Source"},
           {"What"},
           {"From, s", Cell::seconds},
           {"To, s", Cell::seconds},
           {"Value", Cell::number},
           {"Place"}},
          "SELECT s.path, CASE m.note WHEN '' THEN m.kind ELSE m.note END, m.start_us, m.end_us, "
          "printf('%.1f', m.value), CASE m.width WHEN 0 THEN '' ELSE m.width || ' x ' || m.height "
          "|| ' at ' || m.x || ', ' || m.y END FROM measure m JOIN source s ON s.seq = m.source "
          "WHERE m.kind <> 'shot' ORDER BY s.path, m.kind, m.start_us");
  section(out, db, "Clips", "The spans that were cut, and those that were looked at and left out.",
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
          "SELECT s.path, c.start_us, c.end_us, c.shot, " + ledger::standing_sql() +
              ", printf('%.0f', c.luma), "
              "printf('%.0f', c.sharpness), printf('%.2f', c.motion), "
              "COALESCE((SELECT GROUP_CONCAT(h.name, ', ') FROM sample p JOIN shard h ON h.seq = "
              "p.shard "
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
  out << kHtmlEnd;
  return std::move(out).str();
}

}  // namespace cleared::curate
