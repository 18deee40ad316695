// Decodes one media file of unknown origin. Only containers and codecs that we know are opened, and
// nothing else is: a playlist or a reference inside the file is never followed. Meant to run in a
// sandbox (curate/sandbox.h); one thread, no files, no clock.
//
// Times are those of the container, in microseconds, counted from the first frame.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "curate/av.h"
#include "curate/picture.h"

namespace cleared::curate {

struct ReaderLimits {
  uint64_t max_pixels = 8192 * 4320;  // of one frame
  uint64_t max_pixel_frames = UINT64_MAX;
};

struct ReaderSinks {
  // Frames in order of presentation; `pts_us` increases. False ends the reading.
  std::function<bool(const AVFrame&, uint64_t pts_us)> video;
  std::function<void(const AVFrame&)> audio;  // empty: sound is not decoded
};

class Reader {
 public:
  // Reads through pread(); the descriptor stays the caller's. Throws Error{corrupt} for what is no
  // media file, Error{unsupported} for a container or a codec that is not on our list, and
  // Error{not_found} for one without moving pictures.
  explicit Reader(int fd, const ReaderLimits& limits = {});
  // From memory, which has to outlive the reader.
  explicit Reader(std::string_view bytes, const ReaderLimits& limits = {});

  // Once. Returns where and how decoding broke off, or nothing: what decoded before is good.
  std::string read(const ReaderSinks& sinks);

  // From now on only frames that decode by themselves, one in `every_us` at most; 0: each of them.
  void keyframes_only(uint64_t every_us);

  std::string container() const;
  std::string video_codec() const;
  std::string audio_codec() const;  // empty: no sound
  uint64_t promised_us()
      const;  // length of the whole, from its first frame; 0: the container does not say
  int64_t sound_start_us() const { return sound_first_us_ - first_us_; }  // of what was read
  uint64_t frame_us() const;        // nominal; 0 when the container does not say
  Orientation orientation() const;  // for display
  // What is special about it, of the frames read so far, as "HDR (smpte2084), interlaced, mirrored,
  // rotated by 90 degrees, pixels 16:11, 2 audio tracks, timecode 01:00:00:00"; empty: nothing.
  std::string notes() const;

 private:
  // Input as FFmpeg's callbacks see it.
  struct Input {
    int fd = -1;
    std::string_view bytes;
    int64_t position = 0, size = 0;
  };
  static int read_input(void* input, uint8_t* out, int size);
  static int64_t seek_input(void* input, int64_t offset, int whence);

  void open();
  Codec open_codec(const AVStream& stream) const;
  int64_t promised_end_us() const;
  int64_t start_us() const;
  void note_sound(const AVFrame& frame);

  ReaderLimits limits_;
  Input input_;
  Io io_;  // before the demuxer, which uses it until it is closed
  Demuxer demuxer_;
  Codec video_, audio_;
  bool keyframes_ = false;
  uint64_t keyframe_every_us_ = 0;
  int video_index_ = -1, audio_index_ = -1;
  // Of the first frame, for notes().
  AVColorTransferCharacteristic transfer_ = AVCOL_TRC_UNSPECIFIED;
  AVRational aspect_ = {0, 1};
  bool interlaced_ = false;  // some frame is
  // Of the first frame and of the first sound, on the container's clock.
  int64_t first_us_ = 0, sound_first_us_ = 0;
  bool heard_ = false;
};

}  // namespace cleared::curate
