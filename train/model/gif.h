// Animated GIFs, for people to look at. Source: GIF89a specification, CompuServe 1990; giflib
// writes it. Every frame has a palette of its own, so colours are as good as the format can do.
// Any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace cleared::train {

struct GifOptions {
  int width = 0;
  int height = 0;
  double frames_per_second = 12;  // GIF counts in hundredths of a second
  int scale = 1;                  // each pixel becomes scale x scale
};

// `rgb` is frames x height x width x 3. Plays for ever. Error{unsupported} when the sizes do not
// fit each other or the format.
std::string encode_gif(std::span<const uint8_t> rgb, const GifOptions& options);

}  // namespace cleared::train
