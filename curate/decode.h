// What is computed from the frames of one source or clip. Runs inside the worker child: no files,
// no clock, one thread. Errors are those of curate/reader.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "curate/picture.h"
#include "curate/reader.h"

namespace cleared::curate {

class Analyse;
class Analysis;
class Cut;
class Thumbs;

// One pass: fingerprint and measures of every frame, fingerprint of the sound, faces and speech.
// With `keyframes_every_us` in the request: of frames that decode by themselves, and no sound.
void analyse(Reader& reader, const Analyse& request, Analysis& out);
void analyse(Reader& reader, Analysis& out);  // without looking for faces

// One pass: the samples cut out of a source, each a WebM file.
std::vector<std::string> cut(Reader& reader, const Cut& request);

// One pass: at each time the first picture from there on, small, as JPEG.
std::vector<std::string> thumbnails(Reader& reader, const Thumbs& request);

struct ClipShape {
  int width = 0, height = 0, frames = 0;  // 0: as in the file
};

struct RawClip {
  int width = 0, height = 0, frames = 0;
  std::string rgb;  // frames x height x width x 3
};

// The frames of a sample that `shape` asks for, all where it asks for none: of a longer one from
// `start` on, in 2^-32 of the room there is, or `whole`, all of them. Error{corrupt} when it has
// fewer than asked for.
struct ClipPart {
  uint32_t start = 0;
  bool whole = false;
  Place place = {};
};
RawClip decode_clip(std::string_view webm, const ClipShape& shape, const ClipPart& part = {});

}  // namespace cleared::curate
