// The first byte says which parser: C2PA's JSON, XMP, TDMRep, RSL, a face cascade. Whatever the
// rest is, marks have names of the vocabulary and short texts, and nothing but Error{corrupt} is
// thrown.
#include <cstddef>
#include <cstdint>

#include "curate/faces.h"
#include "curate/marks.h"
#include "ledger/base/check.h"
#include "ledger/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cleared::curate;
  static const bool kReady = [] {
    prepare_xmp();
    return true;
  }();
  if (!kReady || size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  std::vector<Mark> marks;
  switch (data[0] % 5) {
    case 0:
      marks_of_c2pa(text, 1, marks);
      break;
    case 1:
      marks_of_xmp(text, marks);
      names_remote_manifest(text);
      break;
    case 2:
      marks_of_tdmrep(text, "/a/b.mp4", "tdmrep.json", marks);
      break;
    case 3:
      marks_of_rsl(text, "/a/b.mp4", "rsl.xml", marks);
      break;
    default:
      try {
        const FaceDetector detector(text);
        detector.find({32, 32, 1, std::vector<uint8_t>(size_t{32} * 32, 7)}, 1);
      } catch (const cleared::Error& error) {
        CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
      }
  }
  for (const Mark& mark : marks) {
    CLEARED_CHECK(cleared::ledger::find_mark_name(mark.name) != nullptr);
    CLEARED_CHECK(mark.value.size() <= 200 && mark.place.size() <= 200);
  }
  return 0;
}
