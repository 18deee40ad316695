// Faces and speech on the way from the frames to the record: a finding about a clip, which the gate
// lets a person decide about where the licence says that there are none (ledger/clearances.h), and
// small grey pictures for that person. The first class runs inside the worker child.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "curate/clips.h"
#include "curate/faces.h"
#include "curate/speech.h"
#include "kernels/luma.h"
#include "ledger/clearances.h"

namespace cleared::curate {

class Analysis;
class Analyse;

// The two cascades, as their files hold them. Error{not_found} that says what to install.
struct FaceCascades {
  std::string quick, sure;
};
FaceCascades read_cascades(const std::filesystem::path& folder);
inline constexpr const char* kCascadeFolder = "/usr/share/opencv4/lbpcascades";

inline constexpr uint64_t kFaceLookUs = 500'000;

class FaceLooker {
 public:
  explicit FaceLooker(const Analyse& request);  // looks for nothing without cascades
  void look(uint64_t pts_us, const kernels::SmallLuma& small, Analysis& out);

 private:
  std::unique_ptr<FaceFinder> finder_;
  uint64_t next_ = 0;
};

// Upright and row by row.
Picture picture_of(const kernels::SmallLuma& small);
// A PNG file of a grey picture (ISO/IEC 15948).
inline constexpr std::string_view kPngMagic("\x89PNG\r\n\x1A\n", 8);
std::string grey_png(const Picture& picture);

// Mono sound at any rate in, spans of speech out.
class SpeechListener {
 public:
  void add(const AVFrame& frame);
  // `start_us`: of the sound, from the first frame.
  void finish(int64_t start_us, Analysis& out);

 private:
  void feed(const AVFrame* frame);
  Resampler resampler_;
  int format_ = -1, rate_ = 0, channels_ = 0;
  SpeechFinder finder_;
};

// What was found in one clip: nothing, "face", "speech" or both.
std::vector<ledger::ClipFinding> findings_in(const Analysis& analysis, const Clip& clip);

// Bytes of a ledger::ReviewPictures, to lie beside the ledger; empty when there are none.
std::string review_pictures(const Analysis& analysis);

// Error{corrupt} when the worker's lists contradict each other.
void check_findings(const Analysis& analysis);

}  // namespace cleared::curate
