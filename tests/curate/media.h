// Small media files for the tests, made on the spot by FFmpeg's own encoders. A scene is drawn: a
// pattern that moves, different for every seed, rich enough for a fingerprint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "curate/picture.h"

namespace cleared::curate::testing {

Picture draw(unsigned seed, int frame, int width, int height);
Picture mirrored(const Picture& in);
Picture axes_swapped(const Picture& in);

struct MediaOptions {
  const char* container = "matroska";
  const char* codec = "ffv1";
  AVPixelFormat format = AV_PIX_FMT_YUV420P;
  int width = 160, height = 120, fps = 16;
  std::vector<unsigned> scenes = {1};  // shots one after the other
  int frames_per_scene = 32;
  int first_frame = 0;    // of each scene's drawing
  int rotation = 0;       // display matrix, degrees clockwise
  int start_ticks = 0;    // time of the first frame, in frames
  bool uneven = false;    // every third frame stays twice as long
  bool mirrored = false;  // left to right
  bool picture = true;
  bool sound = false;       // a second of noise for every 16 frames
  unsigned sound_seed = 0;  // another one, another sound; 0: the first scene's
};

std::string make_media(const MediaOptions& options);

// The folder of sample footage: CLEARED_FOOTAGE, or where try.sh puts it. Empty when `name` is not
// below it: the test then skips aloud.
std::filesystem::path footage(const std::string& name);

// An empty folder of this test's own, removed at the end of the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace cleared::curate::testing
