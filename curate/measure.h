// Measures of single frames that shot detection and the quality filters work on. Luma of full
// range. Pure; safe from any thread.
#pragma once

#include <array>

#include "curate/picture.h"

namespace cleared::curate {

float mean_luma(const Picture& luma);

// Variance of the Laplacian: low where nothing is in focus. Pech-Pacheco and others, 2000.
float sharpness(const Picture& luma);

// Mean absolute difference, [0, 255]. Pictures of different sizes: 255.
float motion(const Picture& luma, const Picture& before);

// Share of pixels in each of 64 bands of luma.
using Histogram = std::array<float, 64>;
Histogram histogram(const Picture& luma);

// Half the sum of absolute differences, [0, 1].
float difference(const Histogram& a, const Histogram& b);

}  // namespace cleared::curate
