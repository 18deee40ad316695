#include <algorithm>
#include <array>
#include <cstdio>
#include <ostream>

#include "curate/report_parts.h"
#include "ledger/base/html.h"
#include "ledger/store.h"
#include "ledger/titles.h"

namespace cleared::curate {
namespace {

struct Band {
  const char* label;
  double below;  // the first number that is too large
};

// Rows of one number each, counted by the first step that they are below; the rest in the last.
template <size_t n>
std::vector<std::pair<std::string, int64_t>> counted(const ledger::Store& store,
                                                     const std::string& sql,
                                                     const std::array<Band, n>& steps) {
  std::vector<std::pair<std::string, int64_t>> out;
  for (const Band& step : steps) out.emplace_back(step.label, 0);
  for (ledger::Statement row(store.db(), sql); row.next();) {
    const double value = row.real(0);
    const auto step = std::find_if(steps.begin(), steps.end() - 1,
                                   [&](const Band& s) { return value < s.below; });
    ++out[static_cast<size_t>(step - steps.begin())].second;
  }
  return out;
}

constexpr std::array<Band, 8> kSeconds = {{{"under 1 s", 1},
                                           {"1 to 2 s", 2},
                                           {"2 to 4 s", 4},
                                           {"4 to 8 s", 8},
                                           {"8 to 15 s", 15},
                                           {"15 to 60 s", 60},
                                           {"1 to 10 min", 600},
                                           {"longer", 0}}};
constexpr std::array<Band, 6> kLines = {{{"under 360 lines", 360},
                                         {"360 to 575", 576},
                                         {"576 to 719", 720},
                                         {"720 to 1079", 1080},
                                         {"1080 to 2159", 2160},
                                         {"2160 and more", 0}}};
constexpr std::array<Band, 6> kMotionBands = {{{"nothing (under 0.05)", 0.05},
                                               {"hardly (to 0.5)", 0.5},
                                               {"a little (to 2)", 2},
                                               {"some (to 5)", 5},
                                               {"much (to 12)", 12},
                                               {"everything", 0}}};

}  // namespace

std::string seconds_text(int64_t us) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", double(us) / 1e6);
  return text;
}

void write_bars(std::ostream& out, const char* title,
                const std::vector<std::pair<std::string, int64_t>>& bars) {
  constexpr int kRow = 22, kLabel = 150, kLength = 240, kWidth = kLabel + kLength + 70;
  int64_t most = 1;
  for (const auto& [label, count] : bars) most = std::max(most, count);
  const int height = kRow * static_cast<int>(bars.size());
  out << "<figure><figcaption>" << escape_html(title)
      << "</figcaption><svg role=img width=" << kWidth << " height=" << height << " viewBox=\"0 0 "
      << kWidth << ' ' << height << "\">";
  int y = 0;
  for (const auto& [label, count] : bars) {
    const int64_t length = count == 0 ? 0 : std::max<int64_t>(1, count * kLength / most);
    out << "<text x=" << kLabel - 8 << " y=" << y + 15 << " text-anchor=end>" << visible_html(label)
        << "</text><rect x=" << kLabel << " y=" << y + 3 << " width=" << length
        << " height=" << kRow - 6 << "></rect><text x=" << kLabel + length + 6 << " y=" << y + 15
        << '>' << count << "</text>";
    y += kRow;
  }
  out << "</svg></figure>\n";
}

void write_histograms(std::ostream& out, const ledger::Store& store) {
  out << "<h2>How long, how large, how lively</h2>\n<p>Shots and clips by length, sources by the "
         "height of their picture, shots by motion: the mean change of luma from frame to frame, "
         "of "
         "255.</p>\n<div class=charts>\n";
  write_bars(out, "Shots, by length",
             counted(store, "SELECT (end_us - start_us) / 1e6 FROM measure WHERE kind = 'shot'",
                     kSeconds));
  write_bars(out, "Clips kept, by length",
             counted(store,
                     "SELECT (c.end_us - c.start_us) / 1e6 FROM clip c JOIN source s ON s.seq = "
                     "c.source WHERE " +
                         ledger::standing_sql() + " = 'kept'",
                     kSeconds));
  write_bars(out, "Sources, by lines",
             counted(store, "SELECT CAST(MIN(width, height) AS REAL) FROM source", kLines));
  write_bars(out, "Shots, by motion",
             counted(store, "SELECT value FROM measure WHERE kind = 'shot'", kMotionBands));
  std::vector<std::pair<std::string, int64_t>> verdicts;
  ledger::Statement row(
      store.db(),
      "SELECT " + ledger::standing_sql() +
          ", COUNT(*) FROM clip c JOIN source s ON s.seq = c.source GROUP BY 1 ORDER BY 2 DESC");
  while (row.next()) verdicts.emplace_back(row.text(0), row.integer(1));
  if (!verdicts.empty()) write_bars(out, "Clips, by verdict", verdicts);
  out << "</div>\n";
}

}  // namespace cleared::curate
