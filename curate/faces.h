// Frontal faces in a grey picture, by two classical detectors: multi-block local binary patterns
// and a boosted cascade (Viola and Jones 2001; Zhang and others, Face Detection Based on
// Multi-Block LBP Representation, 2007). It reads the cascades that OpenCV's data has, as
// opencv_objdetect does, without linking to it: that library would bring 24 others into every
// worker child. What it finds only ever asks for a person to look. How often it is wrong:
// docs/accuracy.md.
//
// One thread; the cascade is parsed from bytes that the parent read.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "curate/picture.h"
#include "kernels/cascade.h"

namespace cleared::curate {

struct Face {
  double x = 0, y = 0, side = 0;  // pixels, a square
  int windows = 0;                // how many overlapping windows agree
};

class FaceDetector {
 public:
  // Error{corrupt} for anything but a cascade of stumps over LBP features.
  explicit FaceDetector(std::string_view cascade_xml);

  // The largest first, those on which at least so many windows agree. `grey` has one channel. Faces
  // below the cascade's window are not found; above it each size a tenth larger than the one before
  // is tried.
  std::vector<Face> find(const Picture& grey, int least_windows) const;

 private:
  struct Cell {
    int x, y, width, height;  // of one of the 3 x 3 blocks, in the window
  };
  struct Stump {
    size_t feature;
    std::array<float, 256> leaf;  // by pattern, as kernels/cascade.h has it
  };
  struct Stage {
    std::vector<Stump> stumps;
    float threshold;
  };
  using Sums = std::vector<uint32_t>;  // of all pixels above and left, (width + 1) x (height + 1)
  kernels::Cascade laid_out(size_t stride, size_t half) const;

  int side_ = 0;
  std::vector<Cell> features_;
  std::vector<Stage> stages_;
};

// One cascade of small windows looks everywhere, one of large windows looks again, at what the
// first found, enlarged. OpenCV's lbpcascade_frontalface.xml (24 pixels) and
// lbpcascade_frontalface_improved.xml (45 pixels) are made for it.
class FaceFinder {
 public:
  FaceFinder(std::string_view quick_xml, std::string_view sure_xml)
      : quick_(quick_xml), sure_(sure_xml) {}
  std::vector<Face> find(const Picture& grey) const;

 private:
  FaceDetector quick_, sure_;
};

}  // namespace cleared::curate
