// How like the pictures of a film are at 16 x 16 (Analysis::thumb), and in what way they differ: by
// what moved, by light, by what was laid over them, or altogether. Integers but for the last
// divisions. PictureRow are numbered from 0. One object per thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace cleared::curate {

class Analysis;

// The thumbs of `analysis`, each stretched over the bars that nearly all of them have: black is no
// likeness.
std::string without_bars(const Analysis& analysis);

class PictureRow {
 public:
  static constexpr int kSide = 16;
  static constexpr size_t kPixels = size_t{kSide} * kSide;

  // Of these frames, in order; `thumbs` as of without_bars(analysis). All outlive it.
  PictureRow(const Analysis& analysis, const std::string& thumbs, const std::vector<int>& frames);

  int size() const { return static_cast<int>(frames_.size()); }
  int frame(int at) const { return frames_[static_cast<size_t>(at)]; }
  const Analysis& analysis() const { return analysis_; }
  const uint8_t* thumb(int at) const;
  uint64_t us_between(int a, int b) const;

  bool is_flat(int at) const;   // nothing to see, as in black, white and fog
  bool is_black(int at) const;  // and no dark room either
  float mean(int at) const { return lights_[static_cast<size_t>(at)].mean; }  // luma
  // Variance of the Laplacian, in that of the picture: little where it is smeared.
  float sharpness(int at) const;
  // Mean difference of luma, of 255.
  float luma(int a, int b) const;
  // The same in standard deviations of each picture's luma: whatever the light. About 1.1 between
  // pictures that have nothing in common.
  float change(int a, int b) const;
  // [0, 1]: the share of the variance that neither motion of up to 3 pixels in blocks of 4 x 4 nor
  // another light makes of the other picture; the smaller one of both ways, where neither is flat.
  float unlike(int a, int b) const;
  // Did luma change much more than `change` says, as where a light is switched?
  bool is_relit(int a, int b) const;
  // Did only an upright box change, as where a title is laid over the picture?
  bool is_overlaid(int a, int b) const;
  // Did it only jump as a whole, as what is scrolled does?
  bool is_shifted(int a, int b) const;

 private:
  // A picture of mean 0 and deviation kUnit.
  static constexpr int kUnit = 256;
  using Pixels = std::array<int16_t, kPixels>;
  struct Kept {
    int at = -1;
    Pixels pixels{};
    std::array<Pixels, 4> half{};  // and half a pixel to the right, down, and both
    bool has_half = false;
  };
  struct Light {
    float mean, deviation;
  };
  Kept& kept(int at) const;
  const std::array<Pixels, 4>& half(int at) const;
  float left_of(int from, int to) const;

  const Analysis& analysis_;
  const std::string& thumbs_;
  const std::vector<int>& frames_;
  std::vector<Light> lights_;
  mutable std::vector<Kept> kept_;  // of the pictures that were asked about last
};

}  // namespace cleared::curate
