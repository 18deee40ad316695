#include "curate/picture.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

constexpr int64_t kMostScaled = 64'000'000;  // pixels; 8192 x 4320 are 35 million

Picture upright(Picture in, Orientation orientation) {
  const auto [rotation, mirrored] = orientation;
  if (rotation == 0 && !mirrored) return in;
  const bool sideways = rotation == 90 || rotation == 270;
  Picture out{.width = sideways ? in.height : in.width,
              .height = sideways ? in.width : in.height,
              .channels = in.channels,
              .pixels = std::vector<uint8_t>(in.pixels.size())};
  uint8_t* to = out.pixels.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      int from_x = sideways ? y : x, from_y = sideways ? x : y;
      if ((rotation == 180 || rotation == 270) != mirrored) from_x = in.width - 1 - from_x;
      if (rotation == 90 || rotation == 180) from_y = in.height - 1 - from_y;
      const auto from = static_cast<size_t>((from_y * in.width + from_x) * in.channels);
      to = std::copy_n(&in.pixels[from], in.channels, to);
    }
  }
  return out;
}

Picture cropped(const Picture& in, int width, int height, const Place& place) {
  const int left = share_of(place.across, in.width - width);
  const int top = share_of(place.down, in.height - height);
  Picture out{.width = width, .height = height, .channels = in.channels, .pixels = {}};
  for (int y = 0; y < height; ++y) {
    const auto row = in.pixels.begin() + ((top + y) * in.width + left) * in.channels;
    if (!place.mirror) out.pixels.insert(out.pixels.end(), row, row + width * in.channels);
    for (int x = width; place.mirror && x-- > 0;) {
      out.pixels.insert(out.pixels.end(), row + x * in.channels, row + (x + 1) * in.channels);
    }
  }
  return out;
}

// The formats "J" say their range in their name; FFmpeg has retired them, decoders have not.
AVPixelFormat plain_format(const AVFrame& frame) {
  switch (frame.format) {
    case AV_PIX_FMT_YUVJ420P:
      return AV_PIX_FMT_YUV420P;
    case AV_PIX_FMT_YUVJ422P:
      return AV_PIX_FMT_YUV422P;
    case AV_PIX_FMT_YUVJ444P:
      return AV_PIX_FMT_YUV444P;
    case AV_PIX_FMT_YUVJ440P:
      return AV_PIX_FMT_YUV440P;
    case AV_PIX_FMT_YUVJ411P:
      return AV_PIX_FMT_YUV411P;
    default:
      return static_cast<AVPixelFormat>(frame.format);
  }
}

const int* colour_coefficients(const AVFrame& frame) {
  switch (frame.colorspace) {
    case AVCOL_SPC_BT709:
      return sws_getCoefficients(SWS_CS_ITU709);
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL:
      return sws_getCoefficients(SWS_CS_BT2020);
    case AVCOL_SPC_SMPTE240M:
      return sws_getCoefficients(SWS_CS_SMPTE240M);
    case AVCOL_SPC_FCC:
      return sws_getCoefficients(SWS_CS_FCC);
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M:
      return sws_getCoefficients(SWS_CS_ITU601);
    default:  // not said: what players assume, by size
      return sws_getCoefficients(frame.height >= 720 ? SWS_CS_ITU709 : SWS_CS_ITU601);
  }
}

bool is_full_range(const AVFrame& frame) {
  return frame.color_range == AVCOL_RANGE_JPEG || plain_format(frame) != frame.format;
}

}  // namespace

std::optional<kernels::Luma> plain_luma(const AVFrame& frame, std::vector<uint8_t>& bytes) {
  const AVPixFmtDescriptor* format = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(frame.format));
  constexpr uint64_t kOther = AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL | AV_PIX_FMT_FLAG_BE |
                              AV_PIX_FMT_FLAG_BITSTREAM | AV_PIX_FMT_FLAG_HWACCEL |
                              AV_PIX_FMT_FLAG_FLOAT;
  if (format == nullptr || (format->flags & kOther) != 0) return {};
  const AVComponentDescriptor& luma = format->comp[0];
  const bool wide = luma.depth > 8;
  if (luma.plane != 0 || luma.offset != 0 || luma.depth < 8 || luma.depth > 16 ||
      luma.step != (wide ? 2 : 1) || std::max(frame.width, frame.height) > kernels::kMostPixels) {
    return {};
  }
  const kernels::Luma plane = {.pixels = frame.data[0],
                               .stride = frame.linesize[0],
                               .width = frame.width,
                               .height = frame.height,
                               .limited = !is_full_range(frame)};
  return wide ? kernels::narrowed(plane, luma.depth + luma.shift, bytes) : plane;
}

Size display_size(const AVFrame& frame, Orientation orientation) {
  double width = frame.width, height = frame.height;
  const AVRational aspect = frame.sample_aspect_ratio;
  if (aspect.num > 0 && aspect.den > 0) {
    // A ratio beyond 8 is damage, not a lens.
    width *= std::clamp(double(aspect.num) / aspect.den, 0.125, 8.0);
  }
  Size size{std::max(1, static_cast<int>(std::lround(width))),
            std::max(1, static_cast<int>(std::lround(height)))};
  if (orientation.rotation % 180 != 0) std::swap(size.width, size.height);
  return size;
}

Picture PictureMaker::scale(const AVFrame& frame, int width, int height, AVPixelFormat format) {
  // Area averaging when it factors: every pixel of the frame counts.
  const int method = width < frame.width || height < frame.height ? SWS_AREA : SWS_BICUBIC;
  scaler_.reset(sws_getCachedContext(
      scaler_.release(), frame.width, frame.height, plain_format(frame), width, height, format,
      method | SWS_ACCURATE_RND | SWS_BITEXACT | SWS_FULL_CHR_H_INT, nullptr, nullptr, nullptr));
  if (!scaler_) throw Error(Errc::unsupported, "cannot scale frames of this pixel format");
  const int full = 1 << 16;
  // A scaler without a notion of range (RGB in) refuses this, and needs none.
  sws_setColorspaceDetails(scaler_.get(), colour_coefficients(frame), is_full_range(frame),
                           sws_getCoefficients(SWS_CS_ITU601), 1, 0, full, full);
  Picture out{.width = width,
              .height = height,
              .channels = format == AV_PIX_FMT_GRAY8 ? 1 : 3,
              .pixels = {}};
  // The scaler writes whole vectors: rows get room at their end.
  const int stride = (width * out.channels + 63) / 64 * 64;
  std::vector<uint8_t> padded(static_cast<size_t>(stride) * static_cast<size_t>(height) + 64);
  uint8_t* planes[4] = {padded.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {stride, 0, 0, 0};
  av_check(sws_scale(scaler_.get(), frame.data, frame.linesize, 0, frame.height, planes, strides),
           "scale a frame");
  out.pixels.reserve(static_cast<size_t>(width * height * out.channels));
  for (int y = 0; y < height; ++y) {
    const auto row = padded.begin() + y * stride;
    out.pixels.insert(out.pixels.end(), row, row + width * out.channels);
  }
  return out;
}

Picture PictureMaker::luma(const AVFrame& frame, Orientation orientation, int longest,
                           bool enlarge) {
  const double scaled = double(longest) / std::max(frame.width, frame.height);
  const double factor = enlarge ? scaled : std::min(1.0, scaled);
  const int width = std::max(1, static_cast<int>(std::lround(frame.width * factor)));
  const int height = std::max(1, static_cast<int>(std::lround(frame.height * factor)));
  return upright(scale(frame, width, height, AV_PIX_FMT_GRAY8), orientation);
}

Picture PictureMaker::rgb(const AVFrame& frame, Orientation orientation, int width, int height,
                          const Place& place) {
  const Size shown = display_size(frame, orientation);
  const double cover = std::max(double(width) / shown.width, double(height) / shown.height);
  int scaled_width = std::max(width, static_cast<int>(std::lround(shown.width * cover)));
  int scaled_height = std::max(height, static_cast<int>(std::lround(shown.height * cover)));
  if (int64_t{scaled_width} * scaled_height > kMostScaled) {
    throw Error(Errc::unsupported, "a picture of ", shown.width, " x ", shown.height, " would be ",
                scaled_width, " x ", scaled_height, " before it is cut to ", width, " x ", height);
  }
  if (orientation.rotation % 180 != 0) std::swap(scaled_width, scaled_height);
  return cropped(upright(scale(frame, scaled_width, scaled_height, AV_PIX_FMT_RGB24), orientation),
                 width, height, place);
}

}  // namespace cleared::curate
