#include "curate/findings.h"

#include <algorithm>
#include <cstdio>

#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/record.pb.h"

namespace cleared::curate {
namespace {

constexpr const char *kQuick = "lbpcascade_frontalface.xml",
                     *kSure = "lbpcascade_frontalface_improved.xml";
constexpr size_t kMostPictureBytes = 1 << 16;
// Sound and picture need not begin together; what is heard this close to a clip counts.
constexpr uint64_t kSoundSlackUs = 500'000;

}  // namespace

FaceCascades read_cascades(const std::filesystem::path& folder) {
  for (const char* name : {kQuick, kSure}) {
    if (!std::filesystem::is_regular_file(folder / name)) {
      throw Error(Errc::not_found, "face cascade ", (folder / name).string(),
                  ": is not there; install Debian's opencv-data, or name its folder: --cascades");
    }
  }
  return {read_file(folder / kQuick, 1 << 20), read_file(folder / kSure, 1 << 20)};
}

// Both lists rise (check_findings()), and each of a film's thousands of clips looks at its own
// part.
std::vector<ledger::ClipFinding> findings_in(const Analysis& a, const Clip& clip) {
  std::vector<ledger::ClipFinding> out;
  const auto& looked = a.looked_pts_us();
  const auto first = std::lower_bound(looked.begin(), looked.end(), clip.start_us);
  const auto looks = std::lower_bound(first, looked.end(), clip.end_us) - first;
  const auto faces = a.faces().begin() + (first - looked.begin());
  const auto with_faces = std::count_if(faces, faces + looks, [](auto n) { return n > 0; });
  if (with_faces > 0) {
    out.push_back({"face",
                   "in " + std::to_string(with_faces) + " of " + std::to_string(looks) +
                       (looks == 1 ? " picture" : " pictures"),
                   "curate/faces.h"});
  }
  const uint64_t from_us = clip.start_us - std::min(clip.start_us, kSoundSlackUs);
  const uint64_t to_us = clip.end_us + kSoundSlackUs;
  const auto& speech = a.speech_us();
  const auto heard = std::upper_bound(speech.begin(), speech.end(), from_us) - speech.begin();
  uint64_t heard_us = 0;
  for (int i = static_cast<int>(heard) & ~1; i + 1 < speech.size() && speech[i] < to_us; i += 2) {
    heard_us += std::min(speech[i + 1], to_us) - std::max(speech[i], from_us);
  }
  if (heard_us > 0) {
    char text[60];
    std::snprintf(text, sizeof text, "for about %.1f s", double(heard_us) / 1e6);
    out.push_back({"speech", text, "curate/speech.h"});
  }
  return out;
}

std::string review_pictures(const Analysis& analysis) {
  ledger::ReviewPictures out;
  for (const auto& picture : analysis.face_picture()) {
    auto& kept = *out.add_picture();
    kept.set_pts_us(picture.pts_us());
    kept.set_png(picture.png());
  }
  return out.SerializeAsString();
}

void check_findings(const Analysis& a) {
  const auto require = [](bool ok) {
    if (!ok) throw Error(Errc::corrupt, "its worker gave an answer that contradicts itself: faces");
  };
  require(a.looked_pts_us_size() == a.faces_size() && a.speech_us_size() % 2 == 0 &&
          a.face_picture_size() <= a.faces_size());
  require(std::is_sorted(a.looked_pts_us().begin(), a.looked_pts_us().end()) &&
          std::is_sorted(a.speech_us().begin(), a.speech_us().end()));
  for (const auto& picture : a.face_picture()) {
    require(picture.png().size() <= kMostPictureBytes && picture.png().starts_with(kPngMagic));
  }
}

}  // namespace cleared::curate
