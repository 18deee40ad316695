#include "ledger/extraction.h"

#include <algorithm>
#include <string>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/terms.h"
#include "ledger/textproto.h"

namespace cleared::ledger {
namespace {

constexpr uint64_t kMaxNoteBytes = 64 << 10;

// Why the test is none of these weights, or nothing.
std::string untested(std::string_view weights, uint64_t clips,
                     const std::optional<ExtractionTest>& test) {
  const auto number = [](uint64_t n) { return std::to_string(n); };
  if (!test) return "nobody tested weights " + std::string(weights);
  if (test->weights() != "sha256:" + std::string(weights)) {
    return "the test is of weights " + test->weights() + ", not of " + std::string(weights);
  }
  if (test->clips() < kLeastExtractionClips) {
    return "the test made " + number(test->clips()) + " clips, and takes " +
           number(kLeastExtractionClips);
  }
  if (!test->has_captions() || !test->has_steps() || !test->has_guidance() || !test->has_seed()) {
    return "the test does not say how its clips were made: it is of an older program";
  }
  const uint64_t captions = std::min(test->clips(), clips);
  if (test->captions() < captions) {
    return "the test asked for captions of " + number(test->captions()) +
           " clips of the footage, and takes " + number(captions);
  }
  if (test->steps() < kLeastExtractionSteps) {
    return "the test sampled in " + number(test->steps()) + " steps, and takes " +
           number(kLeastExtractionSteps);
  }
  if (test->copy_bits() < kLeastCopyBits) {
    return "the test calls a copy what differs by " + number(test->copy_bits()) +
           " bits, and must what differs by " + number(kLeastCopyBits);
  }
  if (test->compared() < std::max(test->consumed(), clips)) {
    return "the test compared with " + number(test->compared()) + " of " +
           number(std::max(test->consumed(), clips)) + " samples that the weights consumed";
  }
  return {};
}

}  // namespace

bool limits_memorisation(const LicenceText& terms, Use use) {
  return terms.limits().has_memorisation_max() &&
         (use == RELEASE_WEIGHTS || use == SUBLICENSE || use == GENERATE_COMMERCIAL);
}

Verdict judge_extraction(const LicenceText& terms, std::string_view weights, uint64_t clips,
                         const std::optional<ExtractionTest>& test) {
  const double most = terms.limits().memorisation_max();
  const std::string ref = licence_ref(terms);
  const std::string limit =
      ref + " limits copies at release to " + short_number(most * 100) + " % of clips";
  if (const std::string why = untested(weights, clips, test); !why.empty()) {
    return no("memorisation_untested", limit + ", and " + why,
              "licence " + ref + " limits copies at release, and " + why);
  }
  const double rate = static_cast<double>(test->copies()) / static_cast<double>(test->clips());
  if (rate > most) {
    return no("memorisation_exceeded",
              limit + ", and " + std::to_string(test->copies()) + " of " +
                  std::to_string(test->clips()) + " clips came as near to the footage as a copy",
              "more clips came as near to the footage as a copy than a term of licence " + ref +
                  " allows");
  }
  return yes();
}

ExtractionTest read_extraction(const std::filesystem::path& path, const Authority& authority,
                               uint64_t seq) {
  const std::string where = path.string();
  const Note note = parse_note(read_file(path, kMaxNoteBytes), where);
  ExtractionText text;
  parse_textproto(note.text, where, text);
  const ExtractionTest& test = text.extraction();
  if (!parse_digest_name(test.weights()) || !parse_time(test.at()) || test.clips() == 0 ||
      test.copies() > test.clips() || test.compared() > test.consumed() ||
      test.captions() > std::min(test.clips(), test.consumed())) {
    throw Error(Errc::corrupt, where, ": contradicts itself, or does not say when and of what");
  }
  authority.require(note, "trainer", "", seq, where);
  return test;
}

}  // namespace cleared::ledger
