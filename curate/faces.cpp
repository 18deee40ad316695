#include "curate/faces.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <sstream>
#include <string>

#include <pugixml.hpp>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

constexpr double kScaleStep = 1.1;
constexpr int kLeastQuick = 3, kLeastSure = 2;  // windows that agree on a face
constexpr double kAround = 0.35;                // of its side, looked at again with it
constexpr int kEnlarged = 160;                  // pixels, the side of what is looked at again
constexpr double kSameFace = 0.2;               // of the side, between two windows on one face
constexpr int kLargestSide = 64;                // of a cascade's window
constexpr size_t kMostWindows = 20000;          // of one picture: more is no picture of faces

[[noreturn]] void malformed(const char* what) {
  throw Error(Errc::corrupt, "face cascade: ", what);
}

template <class Value, size_t N>
std::array<Value, N> numbers_of(const char* text) {
  std::istringstream in(text);
  std::array<Value, N> out{};
  for (Value& value : out) {
    if (!(in >> value)) malformed("a list is too short");
  }
  return out;
}

std::vector<uint32_t> sums_of(const Picture& in) {
  const auto stride = static_cast<size_t>(in.width) + 1;
  std::vector<uint32_t> out(stride * (static_cast<size_t>(in.height) + 1), 0);
  for (size_t y = 0; y < static_cast<size_t>(in.height); ++y) {
    uint32_t row = 0;
    for (size_t x = 0; x < static_cast<size_t>(in.width); ++x) {
      row += in.pixels[y * static_cast<size_t>(in.width) + x];
      out[(y + 1) * stride + x + 1] = out[y * stride + x + 1] + row;
    }
  }
  return out;
}

// Each row's even places, then its odd ones: windows at every other place lie side by side.
std::vector<uint32_t> even_then_odd(const std::vector<uint32_t>& sums, size_t stride) {
  std::vector<uint32_t> out;
  out.reserve(sums.size());
  for (size_t row = 0; row < sums.size(); row += stride) {
    for (size_t x = 0; x < stride; x += 2) out.push_back(sums[row + x]);
    for (size_t x = 1; x < stride; x += 2) out.push_back(sums[row + x]);
  }
  return out;
}

// By area, so that a smaller picture has less noise, too. `sums` are those of the picture.
Picture shrunk(const Picture& in, const std::vector<uint32_t>& sums, int width, int height) {
  const auto stride = static_cast<size_t>(in.width) + 1;
  std::vector<size_t> edges;  // of the columns
  for (int x = 0; x <= width; ++x) edges.push_back(static_cast<size_t>(x * in.width / width));
  Picture out{width, height, 1, {}};
  out.pixels.resize(static_cast<size_t>(width) * static_cast<size_t>(height));
  uint8_t* pixel = out.pixels.data();
  for (int y = 0; y < height; ++y) {
    const auto y0 = static_cast<size_t>(y * in.height / height);
    const auto y1 = static_cast<size_t>((y + 1) * in.height / height);
    const uint32_t *above = sums.data() + y0 * stride, *below = sums.data() + y1 * stride;
    uint32_t left = below[0] - above[0];
    for (size_t x = 0; x < static_cast<size_t>(width); ++x) {
      const size_t end = edges[x + 1];
      const uint32_t right = below[end] - above[end];
      const auto count = static_cast<uint32_t>((y1 - y0) * (end - edges[x]));
      *pixel++ = static_cast<uint8_t>((right - left + count / 2) / count);
      left = right;
    }
  }
  return out;
}

// The face and what is around it, by linear interpolation.
Picture enlarged(const Picture& in, const Face& face) {
  const double margin = kAround * face.side;
  const double x0 = std::max(0.0, face.x - margin), y0 = std::max(0.0, face.y - margin);
  const double x1 = std::min<double>(in.width, face.x + face.side + margin);
  const double y1 = std::min<double>(in.height, face.y + face.side + margin);
  Picture out{kEnlarged, kEnlarged, 1, std::vector<uint8_t>(size_t{kEnlarged} * kEnlarged)};
  const auto at = [&](int x, int y) {
    x = std::clamp(x, 0, in.width - 1);
    y = std::clamp(y, 0, in.height - 1);
    return double(
        in.pixels[static_cast<size_t>(y) * static_cast<size_t>(in.width) + static_cast<size_t>(x)]);
  };
  for (int j = 0; j < kEnlarged; ++j) {
    for (int i = 0; i < kEnlarged; ++i) {
      const double x = x0 + (i + 0.5) * (x1 - x0) / kEnlarged - 0.5;
      const double y = y0 + (j + 0.5) * (y1 - y0) / kEnlarged - 0.5;
      const int u = static_cast<int>(std::floor(x)), v = static_cast<int>(std::floor(y));
      const double right = x - u, down = y - v;
      const double value = (1 - down) * ((1 - right) * at(u, v) + right * at(u + 1, v)) +
                           down * ((1 - right) * at(u, v + 1) + right * at(u + 1, v + 1));
      out.pixels[static_cast<size_t>(j) * kEnlarged + static_cast<size_t>(i)] =
          static_cast<uint8_t>(std::lround(value));
    }
  }
  return out;
}

bool same(const Face& a, const Face& b) {
  const double near = kSameFace * std::min(a.side, b.side);
  return std::abs(a.x - b.x) <= near && std::abs(a.y - b.y) <= near &&
         std::abs(a.x + a.side - b.x - b.side) <= near &&
         std::abs(a.y + a.side - b.y - b.side) <= near;
}

// Windows that lie on one another, directly or over others, are one face: their mean.
std::vector<Face> grouped(const std::vector<Face>& windows, int least) {
  std::vector<size_t> parent(windows.size());
  std::iota(parent.begin(), parent.end(), size_t{0});
  const auto root = [&](size_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
  };
  for (size_t i = 0; i < windows.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (same(windows[i], windows[j])) parent[root(i)] = root(j);
    }
  }
  std::vector<Face> sums(windows.size()), out;
  for (size_t i = 0; i < windows.size(); ++i) {
    Face& sum = sums[root(i)];
    sum.x += windows[i].x;
    sum.y += windows[i].y;
    sum.side += windows[i].side;
    ++sum.windows;
  }
  for (const Face& sum : sums) {
    if (sum.windows == 0 || sum.windows < least) continue;
    out.push_back({sum.x / sum.windows, sum.y / sum.windows, sum.side / sum.windows, sum.windows});
  }
  std::sort(out.begin(), out.end(), [](const Face& a, const Face& b) { return a.side > b.side; });
  return out;
}

}  // namespace

FaceDetector::FaceDetector(std::string_view xml) {
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), xml.size())) malformed("is no XML");
  const pugi::xml_node cascade = document.child("opencv_storage").child("cascade");
  side_ = cascade.child("width").text().as_int();
  if (std::string_view(cascade.child_value("featureType")) != "LBP" || side_ < 8 ||
      side_ > kLargestSide || cascade.child("height").text().as_int() != side_) {
    malformed("is not of square windows and LBP features");
  }
  for (const pugi::xml_node& feature : cascade.child("features").children("_")) {
    const auto n = numbers_of<int, 4>(feature.child_value("rect"));
    const Cell cell{n[0], n[1], n[2], n[3]};
    if (cell.x < 0 || cell.y < 0 || cell.width < 1 || cell.height < 1 ||
        cell.x + 3 * cell.width > side_ || cell.y + 3 * cell.height > side_) {
      malformed("a feature is outside its window");
    }
    features_.push_back(cell);
  }
  for (const pugi::xml_node& in : cascade.child("stages").children("_")) {
    Stage stage{{}, in.child("stageThreshold").text().as_float() - 1e-5F};
    for (const pugi::xml_node& weak : in.child("weakClassifiers").children("_")) {
      const auto nodes = numbers_of<int64_t, 11>(weak.child_value("internalNodes"));
      const auto leaves = numbers_of<float, 2>(weak.child_value("leafValues"));
      if (nodes[0] != 0 || nodes[1] != -1 || nodes[2] < 0 ||
          static_cast<size_t>(nodes[2]) >= features_.size()) {
        malformed("has trees that are no stumps");
      }
      Stump stump{static_cast<size_t>(nodes[2]), {}};
      for (size_t i = 0; i < stump.leaf.size(); ++i) {
        const bool listed = (static_cast<uint32_t>(nodes[3 + i / 32]) >> i % 32 & 1U) != 0;
        stump.leaf[i] = leaves[listed ? 0 : 1];
      }
      stage.stumps.push_back(stump);
    }
    stages_.push_back(std::move(stage));
  }
  if (stages_.empty() || features_.empty()) malformed("has no stages");
}

// The cascade for sums that are `half` apart for even and for odd places, or not at all.
kernels::Cascade FaceDetector::laid_out(size_t stride, size_t half) const {
  kernels::Cascade out;
  for (const Stage& stage : stages_) {
    for (const Stump& stump : stage.stumps) {
      const Cell& cell = features_[stump.feature];
      kernels::Cascade::Stump& laid = out.stumps.emplace_back();
      for (size_t i = 0; i < 4; ++i) {
        const size_t x = static_cast<size_t>(cell.x) + i * static_cast<size_t>(cell.width);
        const size_t y = static_cast<size_t>(cell.y) + i * static_cast<size_t>(cell.height);
        laid.down[i] = static_cast<ptrdiff_t>(y * stride);
        laid.right[i] = static_cast<ptrdiff_t>(half == 0 ? x : x % 2 * half + x / 2);
      }
      laid.leaf = stump.leaf.data();
    }
    out.stages.push_back({out.stumps.size(), stage.threshold});
  }
  return out;
}

std::vector<Face> FaceDetector::find(const Picture& grey, int least_windows) const {
  std::vector<Face> windows;
  const Sums whole = sums_of(grey);
  for (double scale = 1;; scale *= kScaleStep) {
    const int width = static_cast<int>(std::lround(grey.width / scale));
    const int height = static_cast<int>(std::lround(grey.height / scale));
    if (width < side_ || height < side_) break;
    Sums sums = scale == 1 ? whole : sums_of(shrunk(grey, whole, width, height));
    const auto stride = static_cast<size_t>(width) + 1;
    const int step = scale < 2 ? 2 : 1;
    const size_t half = step == 2 ? (stride + 1) / 2 : 0;
    if (step == 2) sums = even_then_odd(sums, stride);
    sums.resize(sums.size() + kernels::kCascadeRoom);
    const kernels::Cascade cascade = laid_out(stride, half);
    std::vector<uint8_t> found(static_cast<size_t>((width - side_) / step + 1));
    for (int y = 0; y + side_ <= height; y += step) {
      kernels::cascade_windows(cascade, sums.data() + static_cast<size_t>(y) * stride, found.size(),
                               found.data());
      for (size_t i = 0; i < found.size(); ++i) {
        if (found[i] == 0) continue;
        windows.push_back({static_cast<double>(i) * step * scale, y * scale, side_ * scale, 1});
        if (windows.size() > kMostWindows) return {};
      }
    }
  }
  return grouped(windows, least_windows);
}

std::vector<Face> FaceFinder::find(const Picture& grey) const {
  std::vector<Face> out;
  for (const Face& face : quick_.find(grey, kLeastQuick)) {
    if (!sure_.find(enlarged(grey, face), kLeastSure).empty()) out.push_back(face);
  }
  return out;
}

}  // namespace cleared::curate
