#include "curate/places.h"

#include <algorithm>
#include <cmath>

#include "ledger/base/check.h"

namespace cleared::curate {
namespace {

using Part = Looks::Part;

constexpr int kMargin = 12;  // pixels around the square that continue its last ones
constexpr int kPadded = kSquareSide + 2 * kMargin;
constexpr double kMostBeyond = double(kMargin - 1) / kSquareSide;
constexpr double kStep = 0.04;  // of a part's side, from place to place
constexpr uint64_t kRoughUs = 2'000'000;
constexpr uint64_t kRoughPictures = 16;  // at least, where there are so many

constexpr Part middle(double share) {
  return {(1 - share) / 2, (1 - share) / 2, share, share};
}

// Values from `from` to `to`, both ends among them, at most `step` apart.
std::vector<double> steps(double from, double to, double step) {
  const int n = std::max(1, int(std::ceil((to - from) / step - 1e-6)));
  std::vector<double> out;
  for (int i = 0; i <= n; ++i) out.push_back(from + (to - from) * i / n);
  return out;
}

// The part in a picture that is `crop` of the original.
Part inside(const Part& part, const Part& crop) {
  return {(part.x - crop.x) / crop.width, (part.y - crop.y) / crop.height, part.width / crop.width,
          part.height / crop.height};
}

bool is_middle(const Part& crop) {
  return std::abs(crop.x + crop.width / 2 - 0.5) < 1e-6 &&
         std::abs(crop.y + crop.height / 2 - 0.5) < 1e-6;
}

std::vector<KeptPlace> make_places() {
  std::vector<KeptPlace> out;
  const auto add = [&](const Part& part, KeptLook kept) {
    out.push_back({part, kept});
    const Part mirrored{1 - part.x - part.width, part.y, part.width, part.height};
    if (kept != kept_all) out.push_back({mirrored, kept, true});
  };
  // Of one shape with the original, anywhere: asked for by the largest middle that lies in all of
  // them, or nearly.
  struct Size {
    double share;
    KeptLook kept;
    double middle, from;  // from where on the crop begins at least, and as far from the other end
  };
  constexpr Size sizes[] = {{0.95, kept_middle_90, 0.9, 0},    {0.91, kept_middle_85, 0.85, 0},
                            {0.875, kept_middle_80, 0.8, 0},   {0.84, kept_middle_75, 0.75, 0},
                            {0.805, kept_middle_70, 0.7, 0},   {0.775, kept_middle_70, 0.7, 0.02},
                            {0.745, kept_middle_70, 0.7, 0.06}};
  for (const Size& size : sizes) {
    const auto at = steps(size.from, 1 - size.share - size.from, size.middle * kStep);
    for (const double y : at) {
      for (const double x : at) {
        const Part crop{x, y, size.share, size.share};
        if (!is_middle(crop)) add(inside(middle(size.middle), crop), size.kept);
      }
    }
  }
  // One side cut away, or covered and taken for a border.
  for (const double left : steps(0.75, 1, 0.03)) {
    const double cut = 1 - left;
    add(inside({0.25, 0, 0.75, 1}, {cut, 0, left, 1}), kept_right);
    add(inside({0, 0, 0.75, 1}, {0, 0, left, 1}), kept_left);
    add(inside({0, 0.2, 1, 0.8}, {0, cut, 1, left}), kept_bottom);
    add(inside({0, 0, 1, 0.8}, {0, 0, 1, left}), kept_top);
  }
  // Narrow windows, as for other screens.
  struct Window {
    double share, from;
  };
  for (const Window& window :
       {Window{0.75, 0}, {0.66, 0.1}, {0.5625, 0.16}, {0.45, 0.24}, {0.42, 0.26}}) {
    for (const double x : steps(window.from, 1 - window.share - window.from, 0.5625 * kStep)) {
      add(inside({0.22, 0, 0.5625, 1}, {x, 0, window.share, 1}), kept_narrow_56);
    }
  }
  // The original is what was cut out.
  for (const double share : {0.95, 0.91, 0.875, 0.84, 0.8}) {
    const auto at = steps(0, 1 - share, share * kStep);
    for (const double y : at) {
      for (const double x : at) {
        const Part crop{x, y, share, share};
        if (!is_middle(crop)) add(crop, kept_all);
      }
    }
  }
  return out;
}

kernels::PartAxis axis(double start, double size) {
  return kernels::part_axis(kMargin + start * kSquareSide, kMargin + (start + size) * kSquareSide,
                            kPadded);
}

bool lies_inside(const Part& part, double beyond) {
  return part.x >= -beyond && part.y >= -beyond && part.x + part.width <= 1 + beyond &&
         part.y + part.height <= 1 + beyond;
}

bool fits(const Part& part) {
  return part.width > 0.3 && part.height > 0.3 && lies_inside(part, kMostBeyond);
}

}  // namespace

const std::vector<KeptPlace>& places() {
  static const std::vector<KeptPlace> all = [] {
    std::vector<KeptPlace> out = make_places();
    std::erase_if(out, [](const KeptPlace& place) { return !fits(place.part); });
    return out;
  }();
  return all;
}

bool lies_inside(const Part& part) {
  return lies_inside(part, 0.005);
}

std::vector<KeptPlace> other_looks(const KeptPlace& place) {
  const auto seen = [&](KeptLook look) {  // in the original, or in its mirror image
    Part out = kept_part(look);
    if (place.mirrored) out.x = 1 - out.x - out.width;
    return out;
  };
  const Part here = seen(place.kept);
  const double width = place.part.width / here.width, height = place.part.height / here.height;
  std::vector<KeptPlace> out;
  for (uint8_t look = kept_all; look < kKeptLooks; ++look) {
    const Part there = seen(static_cast<KeptLook>(look));
    const Part part{place.part.x + (there.x - here.x) * width,
                    place.part.y + (there.y - here.y) * height, there.width * width,
                    there.height * height};
    if (look != place.kept && lies_inside(part)) {
      out.push_back({part, static_cast<KeptLook>(look), place.mirrored});
    }
  }
  return out;
}

void PlacePrinter::open(const Squares& squares, size_t picture) {
  CLEARED_CHECK((picture + 1) * kSquareBytes <= squares.luma.size());
  const auto* luma = reinterpret_cast<const uint8_t*>(squares.luma.data()) + picture * kSquareBytes;
  kernels::SmallLuma padded{
      .lines = kPadded, .places = kPadded, .stride = kPadded, .by_column = false, .pixels = {}};
  padded.pixels.resize(size_t{kPadded} * kPadded + 64);
  for (int y = 0; y < kPadded; ++y) {
    const uint8_t* row = luma + std::clamp(y - kMargin, 0, kSquareSide - 1) * kSquareSide;
    uint8_t* out = padded.pixels.data() + y * kPadded;
    std::fill(out, out + kMargin, row[0]);
    std::copy(row, row + kSquareSide, out + kMargin);
    std::fill(out + kMargin + kSquareSide, out + kPadded, row[kSquareSide - 1]);
  }
  kernels::widen(padded, picture_);
}

void PlacePrinter::go_along(const kernels::PartAxis& across) {
  constexpr int fours = (kPadded + 3) / 4;
  along_.resize(size_t{2} * fours * kernels::kPdqWaves);
  kernels::waves_along(picture_, 0, fours, across, along_.data());
}

Fingerprint PlacePrinter::print(const kernels::PartAxis& down, bool mirrored) const {
  return print_of_waves(kernels::waves_across(along_.data(), 0, down),
                        mirrored ? static_cast<size_t>(Turn::mirrored) : 0);
}

PlacePrinter::Axes::Axes(const Part& part)
    : across(axis(part.x, part.width)), down(axis(part.y, part.height)) {}

Fingerprint PlacePrinter::print(const Axes& axes, bool mirrored) {
  go_along(axes.across);
  return print(axes.down, mirrored);
}

void PlacePrinter::print_all(std::vector<Fingerprint>& out) {
  struct Range {  // places with the same part of the rows
    kernels::PartAxis across;
    std::vector<std::pair<size_t, kernels::PartAxis>> down;
  };
  static const std::vector<Range> ranges = [] {
    std::vector<Range> made;
    std::vector<std::pair<double, double>> known;
    for (size_t i = 0; i < places().size(); ++i) {
      const Part& part = places()[i].part;
      const std::pair key{part.x, part.width};
      const auto at =
          static_cast<size_t>(std::find(known.begin(), known.end(), key) - known.begin());
      if (at == known.size()) {
        known.push_back(key);
        made.push_back({axis(part.x, part.width), {}});
      }
      made[at].down.emplace_back(i, axis(part.y, part.height));
    }
    return made;
  }();
  out.resize(places().size());
  for (const Range& range : ranges) {
    go_along(range.across);
    for (const auto& [place, down] : range.down) out[place] = print(down, places()[place].mirrored);
  }
}

std::vector<size_t> rough_pictures(const Squares& squares) {
  std::vector<size_t> out;
  if (squares.pts_us.empty()) return out;
  const uint64_t length_us = squares.pts_us.back() - squares.pts_us.front();
  const uint64_t every_us = std::clamp<uint64_t>(length_us / kRoughPictures, 1, kRoughUs);
  const PlacePrinter::Axes whole({0, 0, 1, 1});
  PlacePrinter printer;
  int best = -1;
  uint64_t stretch = 0;
  for (size_t i = 0; i < squares.pts_us.size(); ++i) {
    printer.open(squares, i);
    const int quality = printer.print(whole, false).quality;
    const uint64_t now = (squares.pts_us[i] - squares.pts_us.front()) / every_us;
    if (out.empty() || now != stretch) {
      out.push_back(i);
      stretch = now;
    } else if (quality > best) {
      out.back() = i;
    } else {
      continue;
    }
    best = quality;
  }
  return out;
}

std::vector<RoughPrint> rough_prints(const Squares& squares) {
  std::vector<RoughPrint> out;
  PlacePrinter printer;
  std::vector<Fingerprint> prints;
  for (const size_t picture : rough_pictures(squares)) {
    printer.open(squares, picture);
    printer.print_all(prints);
    for (size_t place = 0; place < prints.size(); ++place) {
      if (prints[place].quality < kFeatureless) continue;
      out.push_back(
          {static_cast<uint32_t>(picture), static_cast<uint32_t>(place), prints[place].bits});
    }
  }
  return out;
}

double fit(const Squares& squares, const std::vector<PlacedPair>& pairs, KeptPlace& place) {
  CLEARED_CHECK(!pairs.empty());
  std::vector<PlacePrinter> printers(pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) printers[i].open(squares, pairs[i].picture);
  const auto bits_at = [&](const Part& part) {
    const PlacePrinter::Axes axes(part);
    int sum = 0;
    for (size_t i = 0; i < pairs.size(); ++i) {
      sum += distance(printers[i].print(axes, place.mirrored).bits, pairs[i].of);
    }
    return sum;
  };
  int best = bits_at(place.part);
  for (double step = 0.02; step > 0.002; step /= 2) {
    for (int turn = 0; turn < 8; ++turn) {
      const Part from = place.part;
      const double w = step * from.width, h = step * from.height;
      const Part moves[] = {{w, 0, 0, 0},      {-w, 0, 0, 0},          {0, h, 0, 0},
                            {0, -h, 0, 0},     {-w / 2, -h / 2, w, h}, {w / 2, h / 2, -w, -h},
                            {-w / 2, 0, w, 0}, {w / 2, 0, -w, 0},      {0, -h / 2, 0, h},
                            {0, h / 2, 0, -h}};
      for (const Part& move : moves) {
        const Part to{from.x + move.x, from.y + move.y, from.width + move.width,
                      from.height + move.height};
        if (!fits(to)) continue;
        const int bits = bits_at(to);
        if (bits >= best) continue;
        best = bits;
        place.part = to;
      }
      if (place.part.x == from.x && place.part.y == from.y && place.part.width == from.width &&
          place.part.height == from.height) {
        break;
      }
    }
  }
  return double(best) / double(pairs.size());
}

Track track_at(const Squares& squares, const KeptPlace& place) {
  Track out{.pts_us = squares.pts_us, .prints = {}};
  const PlacePrinter::Axes axes(place.part);
  PlacePrinter printer;
  for (size_t i = 0; i < squares.pts_us.size(); ++i) {
    printer.open(squares, i);
    out.prints.push_back(printer.print(axes, place.mirrored));
  }
  return out;
}

}  // namespace cleared::curate
