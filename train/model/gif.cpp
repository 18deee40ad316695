#include "train/model/gif.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include <gif_lib.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

void gif_check(int result, const GifFileType* gif) {
  if (result == GIF_OK) return;
  const char* text = GifErrorString(gif->Error);
  throw Error(Errc::io, "write GIF: ", text != nullptr ? text : "unknown error");
}

int append_bytes(GifFileType* gif, const GifByteType* bytes, int count) {
  static_cast<std::string*>(gif->UserData)
      ->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(count));
  return count;
}

struct CloseGif {
  void operator()(GifFileType* gif) const noexcept { EGifCloseFile(gif, nullptr); }
};
struct FreeMap {
  void operator()(ColorMapObject* map) const noexcept { GifFreeMapObject(map); }
};

// Colour planes of one frame, each pixel `scale` times in both directions.
struct Planes {
  std::vector<GifByteType> red, green, blue;
};
Planes planes_of(std::span<const uint8_t> frame, const GifOptions& o) {
  Planes planes;
  for (int y = 0; y < o.height * o.scale; ++y) {
    for (int x = 0; x < o.width * o.scale; ++x) {
      const auto at = static_cast<size_t>(((y / o.scale) * o.width + x / o.scale) * 3);
      planes.red.push_back(frame[at]);
      planes.green.push_back(frame[at + 1]);
      planes.blue.push_back(frame[at + 2]);
    }
  }
  return planes;
}

void put_frame(GifFileType* gif, Planes planes, int width, int height, int delay_hundredths) {
  GraphicsControlBlock control{DISPOSE_DO_NOT, false, delay_hundredths, NO_TRANSPARENT_COLOR};
  GifByteType extension[4];
  EGifGCBToExtension(&control, extension);
  gif_check(EGifPutExtension(gif, GRAPHICS_EXT_FUNC_CODE, sizeof extension, extension), gif);

  int colours = 256;
  const std::unique_ptr<ColorMapObject, FreeMap> map(GifMakeMapObject(colours, nullptr));
  std::vector<GifByteType> indexes(planes.red.size());
  if (!map || GifQuantizeBuffer(static_cast<unsigned>(width), static_cast<unsigned>(height),
                                &colours, planes.red.data(), planes.green.data(),
                                planes.blue.data(), indexes.data(), map->Colors) != GIF_OK) {
    throw Error(Errc::io, "write GIF: out of memory");
  }
  gif_check(EGifPutImageDesc(gif, 0, 0, width, height, false, map.get()), gif);
  for (int y = 0; y < height; ++y) {
    gif_check(EGifPutLine(gif, indexes.data() + y * width, width), gif);
  }
}

}  // namespace

std::string encode_gif(std::span<const uint8_t> rgb, const GifOptions& o) {
  constexpr int kMaxSide = 4096;  // keeps products of sides far from overflow
  if (o.width < 1 || o.height < 1 || o.scale < 1 || o.scale > kMaxSide || o.width > kMaxSide ||
      o.height > kMaxSide || o.width * o.scale > kMaxSide || o.height * o.scale > kMaxSide) {
    throw Error(Errc::unsupported, "write GIF: sides must be from 1 to ", kMaxSide, " pixels");
  }
  const size_t frame_bytes = static_cast<size_t>(o.width) * static_cast<size_t>(o.height) * 3;
  if (rgb.empty() || rgb.size() % frame_bytes != 0) {
    throw Error(Errc::unsupported, "write GIF: ", rgb.size(), " bytes are no whole frames of ",
                o.width, "x", o.height);
  }
  if (!(o.frames_per_second > 0)) throw Error(Errc::unsupported, "write GIF: no frame rate");
  const double hundredths = std::clamp(100.0 / o.frames_per_second, 2.0, 65535.0);
  const int delay = static_cast<int>(std::lround(hundredths));  // below 2 players slow down

  const int width = o.width * o.scale, height = o.height * o.scale;
  std::string out;
  int error = 0;
  std::unique_ptr<GifFileType, CloseGif> gif(EGifOpen(&out, append_bytes, &error));
  if (!gif) throw Error(Errc::io, "write GIF: cannot open an encoder");
  EGifSetGifVersion(gif.get(), true);
  gif_check(EGifPutScreenDesc(gif.get(), width, height, 8, 0, nullptr), gif.get());
  gif_check(EGifPutExtensionLeader(gif.get(), APPLICATION_EXT_FUNC_CODE), gif.get());
  gif_check(EGifPutExtensionBlock(gif.get(), 11, "NETSCAPE2.0"), gif.get());
  const GifByteType for_ever[3] = {1, 0, 0};
  gif_check(EGifPutExtensionBlock(gif.get(), sizeof for_ever, for_ever), gif.get());
  gif_check(EGifPutExtensionTrailer(gif.get()), gif.get());
  for (size_t at = 0; at < rgb.size(); at += frame_bytes) {
    put_frame(gif.get(), planes_of(rgb.subspan(at, frame_bytes), o), width, height, delay);
  }
  if (EGifCloseFile(gif.release(), &error) != GIF_OK) {  // writes the trailer
    throw Error(Errc::io, "write GIF: ", GifErrorString(error));
  }
  return out;
}

}  // namespace cleared::train
