#include "curate/looks.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>

namespace cleared::curate {
namespace {

constexpr double kFlat = 5;       // standard deviation of luma along a line of a border
constexpr int kRim = 2;           // lines beside a bar that did not end with the picture
constexpr int kHalved = 128;      // a side with fewer pixels is not halved
constexpr double kLittle = 0.45;  // parts below this share are taken from the unhalved picture
// Sum of the waves for one point of quality: at a quality of 50 the pictures tried agree with PDQ.
constexpr int64_t kWavesPerPoint = int64_t{65536} * 40;

using Part = Looks::Part;
constexpr Part middle(double share) {
  return {(1 - share) / 2, (1 - share) / 2, share, share};
}
constexpr Part kKeptParts[kKeptLooks] = {
    middle(1),        middle(0.95),    middle(0.9),         middle(0.85),         middle(0.8),
    middle(0.75),     middle(0.7),     {0.125, 0, 0.75, 1}, {0.22, 0, 0.5625, 1}, {0, 0, 1, 0.8},
    {0, 0.2, 1, 0.8}, {0, 0, 0.75, 1}, {0.25, 0, 0.75, 1},
};
constexpr double kMiddles[kMiddleInsets] = {0.5, 0.6, 2.0 / 3, 0.75, 0.85};

using kernels::PartPicture;
using kernels::PartWaves;
using kernels::SmallLuma;

constexpr size_t kLookWaves = kernels::kPdqWaves;

// Where the wave is odd along an axis, turning the picture over along it changes the sign: bit 0 of
// `flips` is along rows of waves, bit 1 down them.
PartWaves flipped(const PartWaves& waves, size_t flips) {
  PartWaves out = waves;
  if (flips == 0) return out;
  for (size_t y = 0; y < kLookWaves; ++y) {
    const bool down = (flips & 2) != 0 && y % 2 == 0;
    const int32_t even = down != ((flips & 1) != 0) ? -1 : 1, odd = down ? -1 : 1;
    for (size_t x = 0; x < kLookWaves; x += 2) {
      out[y * kLookWaves + x] *= even;
      out[y * kLookWaves + x + 1] *= odd;
    }
  }
  return out;
}

size_t axes_swapped(size_t flips) {
  return flips >> 1 | (flips & 1) << 1;
}

Fingerprint print_transposed(const Fingerprint& print) {
  return {.bits = transposed(print.bits), .quality = print.quality};
}

Fingerprint fingerprint_of(const PartWaves& waves) {
  const kernels::WaveBits made = kernels::bits_above(waves, kernels::lower_median(waves));
  Fingerprint out;
  out.bits = made.bits;
  out.quality = static_cast<int>(std::min<int64_t>(100, made.sum / kWavesPerPoint));
  return out;
}

// A row or a column of the small picture.
struct Line {
  const uint8_t* pixels;
  ptrdiff_t step;
  int count;
};

bool flat(const Line& line) {
  int64_t sum = 0, squares = 0;
  for (int i = 0; i < line.count; ++i) {
    const int value = line.pixels[i * line.step];
    sum += value;
    squares += value * value;
  }
  const double mean = double(sum) / line.count;
  return double(squares) / line.count - mean * mean < kFlat * kFlat;
}

// Flat lines from the first on, at most `most`; or behind `rim` others at most, where they are
// many.
template <class LineAt>
int flat_from(int most, int rim, const LineAt& line_at) {
  for (int from = 0; from <= rim; ++from) {
    int end = from;
    while (end < most && flat(line_at(end))) ++end;
    if (end > from && (from == 0 || end - from >= most / 6)) return end;
  }
  return 0;
}

// Flat lines at both ends, at most 40 percent from each; none when it is flat as far as that.
template <class LineAt>
std::pair<int, int> without_flat(int count, int rim, const LineAt& line_at) {
  const int first = flat_from(count * 2 / 5, rim, line_at);
  const int end =
      count - flat_from(count - count * 3 / 5, rim, [&](int i) { return line_at(count - 1 - i); });
  if (first == count * 2 / 5 || end == count * 3 / 5) return {0, count};
  // The line beside a border is half border.
  return {first > 0 ? first + 1 : 0, end < count ? end - 1 : count};
}

// One of kSquareSide boxes over a range of at most twice as many pixels: it has a share of three.
struct Shares {
  size_t first = 0;
  std::array<float, 3> of{};
};
std::array<Shares, kSquareSide> boxes(double start, double end) {
  std::array<Shares, kSquareSide> out;
  const double step = (end - start) / kSquareSide;
  for (size_t box = 0; box < kSquareSide; ++box) {
    const double from = start + double(box) * step, to = from + step;
    out[box].first = static_cast<size_t>(from);
    for (size_t i = 0; i < 3; ++i) {
      const auto pixel = double(out[box].first + i);
      const double share = std::min(to, pixel + 1) - std::max(from, pixel);
      out[box].of[i] = static_cast<float>(std::max(0.0, share) / step);
    }
  }
  return out;
}

}  // namespace

Fingerprint print_of_waves(const PartWaves& waves, size_t flips) {
  return fingerprint_of(flipped(waves, flips));
}

Looks::Box Looks::trimmed(const SmallLuma& small, int rim) {
  const int rows = small.by_column ? small.places : small.lines;
  const int columns = small.by_column ? small.lines : small.places;
  const ptrdiff_t down = small.by_column ? 1 : small.stride;
  const ptrdiff_t right = small.by_column ? small.stride : 1;
  const uint8_t* pixels = small.pixels.data();
  const auto [top, bottom] = without_flat(rows, rim, [&](int y) {
    return Line{pixels + y * down, right, columns};
  });
  const auto [left, end] = without_flat(columns, rim, [&, first = top, last = bottom](int x) {
    return Line{pixels + first * down + x * right, down, last - first};
  });
  return small.by_column ? Box{double(left), double(end), double(top), double(bottom)}
                         : Box{double(top), double(bottom), double(left), double(end)};
}

Looks::Plan Looks::make_plan(const std::vector<Wanted>& wanted, const PartPicture& picture,
                             double scale) {
  Plan out;
  // Parts side by side do not share: the lines between them would be summed for nothing.
  using Key = std::tuple<double, double, bool>;
  std::vector<Key> known;
  for (const auto& [look, box] : wanted) {
    const Key places{box.place * scale, box.place_end * scale,
                     box.line * scale * 2 >= picture.lines};
    const auto at =
        static_cast<size_t>(std::find(known.begin(), known.end(), places) - known.begin());
    if (at == known.size()) {
      known.push_back(places);
      out.ranges.push_back(
          {.axis = kernels::part_axis(box.place * scale, box.place_end * scale, picture.places),
           .first_line = picture.lines,
           .end_line = 0});
    }
    kernels::PartAxis across =
        kernels::part_axis(box.line * scale, box.line_end * scale, picture.lines);
    Plan::Range& range = out.ranges[at];
    range.first_line = std::min(range.first_line, across.first / 4 * 4);
    range.end_line = std::max(range.end_line, across.first + 2 * across.pairs);
    out.parts.push_back({.range = at, .look = look, .axis = std::move(across)});
  }
  std::stable_sort(out.parts.begin(), out.parts.end(),
                   [](const Plan::Part& a, const Plan::Part& b) { return a.range < b.range; });
  return out;
}

Looks::Box Looks::box_of(const Part& part, const Box& frame) const {
  const double lines = frame.line_end - frame.line, places = frame.place_end - frame.place;
  const auto& [x, y, width, height] = part;
  return by_column_ ? Box{frame.line + x * lines, frame.line + (x + width) * lines,
                          frame.place + y * places, frame.place + (y + height) * places}
                    : Box{frame.line + y * lines, frame.line + (y + height) * lines,
                          frame.place + x * places, frame.place + (x + width) * places};
}

void Looks::plan_middles(const SmallLuma& small) {
  const Box all{0, double(small.lines), 0, double(small.places)};
  std::vector<Wanted> wanted;
  for (const double share : kMiddles) wanted.push_back({wanted.size(), box_of(middle(share), all)});
  middles_ = make_plan(wanted, half_, scale());
}

void Looks::plan(const SmallLuma& small) {
  const bool same =
      lines_ == small.lines && places_ == small.places && by_column_ == small.by_column;
  lines_ = small.lines;
  places_ = small.places;
  by_column_ = small.by_column;
  if (!same) {
    planned_middles_ = false;
    finder_ = {};
    found_ = {};
  }
  const Box box = trimmed(small, 0);
  if (same && box == box_) return;
  box_ = box;
  std::vector<Wanted> wanted;
  for (size_t look = 0; look < kKeptLooks; ++look) {
    wanted.push_back({look, box_of(kKeptParts[look], box)});
  }
  kept_ = make_plan(wanted, half_, scale());
  all_ = make_plan({wanted[kept_all]}, half_, scale());
}

template <class Put>
void Looks::run(const Plan& plan, const PartPicture& picture, const Put& put) {
  size_t made = plan.ranges.size();  // the range that lies in along_
  for (const Plan::Part& part : plan.parts) {
    const Plan::Range& range = plan.ranges[part.range];
    if (part.range != made) {
      made = part.range;
      const int fours = (range.end_line - range.first_line + 3) / 4;
      along_.resize(static_cast<size_t>(2 * fours) * kLookWaves);
      kernels::waves_along(picture, range.first_line, fours, range.axis, along_.data());
    }
    const PartWaves waves = kernels::waves_across(along_.data(), range.first_line, part.axis);
    put(part.look, waves);
  }
}

// Columns are lines: what went along them is y. Which waves are above the median does not depend on
// their order, so that bits are put in order and waves are not.
Fingerprint Looks::print_of(const PartWaves& waves, size_t flips) const {
  const Fingerprint print = print_of_waves(waves, by_column_ ? axes_swapped(flips) : flips);
  return by_column_ ? print_transposed(print) : print;
}

void Looks::take_found(const SmallLuma& small) {
  const std::array<Box, kFoundInsets>& boxes = finder_.find(small);
  for (size_t i = 0; i < kFoundInsets; ++i) {
    const Box& box = boxes[i];
    Fingerprint* prints = &taken_.insets[kMiddleInsets + 2 * i];
    if (box.empty()) {
      prints[0] = prints[1] = {};
      continue;
    }
    const bool little = box.line_end - box.line <= kLittle * small.lines ||
                        box.place_end - box.place <= kLittle * small.places;
    const PartPicture& picture = little ? whole_ : half_;
    if (box != found_[i]) {
      found_plans_[i] = make_plan({{i, box}}, picture, little ? 1 : scale());
      found_[i] = box;
    }
    run(found_plans_[i], picture, [&](size_t, const PartWaves& waves) {
      prints[0] = print_of(waves);
      prints[1] = print_of(waves, static_cast<size_t>(Turn::mirrored));
    });
  }
}

const Looks::Taken& Looks::take(const SmallLuma& small, What what) {
  if (std::max(small.lines, small.places) > kHalved) {
    kernels::halve(small, half_);
  } else {
    kernels::widen(small, half_);
  }
  if (std::min(half_.lines, half_.places) < 8) return taken_ = {};
  plan(small);
  run(what.kept ? kept_ : all_, half_, [&](size_t look, const PartWaves& waves) {
    if (what.kept) taken_.kept[look] = print_of(waves);
    for (size_t turn = 0; look == kept_all && what.turns && turn < kTurns / 2; ++turn) {
      const Fingerprint print = print_of(waves, turn);
      taken_.turns[turn] = print;
      taken_.turns[kTurns / 2 + axes_swapped(turn)] = print_transposed(print);
    }
  });
  if (!what.insets) return taken_;
  kernels::widen(small, whole_);
  if (!planned_middles_) plan_middles(small);
  planned_middles_ = true;
  run(middles_, half_,
      [&](size_t look, const PartWaves& waves) { taken_.insets[look] = print_of(waves); });
  take_found(small);
  return taken_;
}

// Loops of a fixed length, which become vectors.
bool Looks::square(const SmallLuma& small, std::string& out) const {
  if (std::min(half_.lines, half_.places) < 8) return false;
  constexpr size_t kAtOnce = 16;
  using Line = std::array<float, size_t{kHalved} + kAtOnce>;
  const Box box = trimmed(small, kRim);
  const double by = scale();
  const auto across = boxes(box.line * by, std::min(box.line_end * by, double(half_.lines)));
  const auto along = boxes(box.place * by, std::min(box.place_end * by, double(half_.places)));
  const size_t places = static_cast<size_t>(half_.places) + 2;  // the last box reaches beyond
  std::vector<Line> lines(static_cast<size_t>(half_.lines) + 2);
  for (size_t line = 0; line + 2 < lines.size(); ++line) {
    const int16_t* pixels = half_.pixels.data() + line * static_cast<size_t>(half_.stride);
    for (size_t at = 0; at < places; at += kAtOnce) {  // below the last line is room
      for (size_t i = 0; i < kAtOnce; ++i) lines[line][at + i] = pixels[at + i];
    }
  }
  const size_t before = out.size();
  out.resize(before + size_t{kSquareSide} * kSquareSide);
  const size_t down = by_column_ ? 1 : kSquareSide, right = by_column_ ? kSquareSide : 1;
  for (size_t y = 0; y < kSquareSide; ++y) {
    const Line* from = lines.data() + across[y].first;
    Line line;
    for (size_t at = 0; at < places; at += kAtOnce) {
      for (size_t i = at; i < at + kAtOnce; ++i) {
        line[i] = across[y].of[0] * from[0][i] + across[y].of[1] * from[1][i] +
                  across[y].of[2] * from[2][i];
      }
    }
    char* to = out.data() + before + y * down;
    for (size_t x = 0; x < kSquareSide; ++x) {
      const auto& [first, of] = along[x];
      const float mean = of[0] * line[first] + of[1] * line[first + 1] + of[2] * line[first + 2];
      to[x * right] = static_cast<char>(static_cast<uint8_t>(static_cast<int>(mean + 128.5F)));
    }
  }
  return true;
}

Part kept_part(KeptLook look) {
  return kKeptParts[look];
}

const std::vector<LookPair>& look_pairs() {
  static const std::vector<LookPair> pairs = [] {
    std::vector<LookPair> out;
    const auto add = [&](size_t asked, size_t kept) {
      out.push_back({static_cast<uint8_t>(asked), static_cast<uint8_t>(kept)});
    };
    for (size_t turn = 0; turn < kTurns; ++turn) {
      for (size_t kept = kept_all; kept < kKeptLooks; ++kept) add(turn, kept);
    }
    for (size_t inset = kTurns; inset < kAskedLooks; ++inset) add(inset, kept_all);
    for (size_t kept = kept_middle_95; kept < kept_top; ++kept) add(kAskedLooks + kept, kept_all);
    for (size_t kept = kept_top; kept < kKeptLooks; ++kept) add(kAskedLooks + kept, kept);
    return out;
  }();
  return pairs;
}

const char* describe(LookPair pair) {
  static const char* const turns[kTurns] = {"whole",      "mirrored", "upside down", "by 180",
                                            "transposed", "by 90",    "by 270",      "transversed"};
  if (pair.asked < kTurns && (pair.kept == kept_all || pair.asked != 0)) return turns[pair.asked];
  if (pair.asked < kTurns) return "cropped";
  if (pair.asked < kAskedLooks) return "inset";
  return pair.kept == kept_all ? "uncropped" : "partly covered";
}

}  // namespace cleared::curate
