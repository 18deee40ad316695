#include "ledger/similarity.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <tuple>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/looks.pb.h"

namespace cleared::ledger {
namespace {

// Below it a picture has too little in it to be told apart from others, says PDQ.
constexpr uint8_t kFeatureless = 50;

// Of the looks that are kept of a picture those of its middle in width (docs/formats/index.md):
// what a clip shows that is narrower.
struct NarrowLook {
  size_t look;
  double share;
};
constexpr size_t kLooks = 13;
constexpr NarrowLook kNarrow[] = {{7, 0.75}, {8, 0.5625}};

using Prints = std::map<std::tuple<Digest, uint32_t, uint32_t>, std::vector<Print>>;

// Of each `step` fingerprints the one at `first`, but for featureless ones.
void add(std::string_view pdq, std::string_view quality, size_t first, size_t step,
         std::vector<Print>& out) {
  for (size_t i = first; i < quality.size(); i += step) {
    if (static_cast<uint8_t>(quality[i]) < kFeatureless) continue;
    std::memcpy(out.emplace_back().data(), pdq.data() + i * sizeof(Print), sizeof(Print));
  }
}

void add_narrow(const std::filesystem::path& folder, const Digest& source, uint32_t width,
                uint32_t height, Prints& out) {
  const auto path = folder / (to_hex(source) + ".looks");
  if (!std::filesystem::exists(path)) return;
  const std::string bytes = read_file(path);
  const std::string_view body = std::string_view(bytes).substr(std::min<size_t>(bytes.size(), 32));
  SourceLooks looks;
  if (bytes.size() < 32 || sha256(body).text() != bytes.substr(0, 32) ||
      !looks.ParseFromArray(body.data(), static_cast<int>(body.size())) ||
      looks.digest() != source.text() || looks.kept_quality().size() % kLooks != 0 ||
      looks.kept_pdq().size() != sizeof(Print) * looks.kept_quality().size()) {
    throw Error(Errc::corrupt, path.string(), ": damaged; delete it, and curate ingest makes it ",
                "again where the footage is");
  }
  for (const NarrowLook& narrow : kNarrow) {
    const auto narrower = static_cast<uint32_t>(std::lround(narrow.share * width));
    add(looks.kept_pdq(), looks.kept_quality(), narrow.look, kLooks,
        out[{source, narrower, height}]);
  }
}

}  // namespace

bool limits_similarity(const LicenceText& terms, Use use) {
  return terms.limits().has_similarity_max() && terms.limits().similarity_max() < 1 &&
         (use == RELEASE_WEIGHTS || use == SUBLICENSE || use == GENERATE_INTERNAL ||
          use == GENERATE_COMMERCIAL);
}

Verdict judge_fingerprints(const Store& store, std::span<const uint64_t> sources) {
  Statement source(store.db(), "SELECT path, frames FROM source WHERE seq = ?");
  Statement prints(store.db(),
                   "SELECT first_frame, frames FROM fingerprint WHERE source = ? "
                   "ORDER BY first_frame");
  for (const uint64_t seq : sources) {
    if (!source.with(seq).next()) continue;
    uint64_t there = 0;
    for (prints.with(seq); prints.next() && prints.unsigned_integer(0) == there;) {
      there += prints.unsigned_integer(1);
    }
    if (there > 0 && there >= source.unsigned_integer(1)) continue;
    return no("similarity_unknown", "a licence limits how alike clips may be to " + source.text(0) +
                                        ", which the weights consumed, and fingerprints of " +
                                        std::to_string(there) + " of its " + source.text(1) +
                                        " frames are on record");
  }
  return yes();
}

Footage footage_of(const Store& store, std::span<const uint64_t> sources) {
  const std::filesystem::path index = store.path().string() + ".index";
  Statement source(store.db(), "SELECT digest, width, height FROM source WHERE seq = ?");
  Statement prints(store.db(),
                   "SELECT pdq, quality FROM fingerprint WHERE source = ? ORDER BY first_frame");
  Prints found;
  for (const uint64_t seq : sources) {
    if (!source.with(seq).next()) continue;
    const Digest digest = parse_digest(source.text(0)).value_or(Digest{});
    const auto width = static_cast<uint32_t>(source.integer(1));
    const auto height = static_cast<uint32_t>(source.integer(2));
    std::vector<Print>& whole = found[{digest, width, height}];
    for (prints.with(seq); prints.next();) add(prints.view(0), prints.view(1), 0, 1, whole);
    add_narrow(index, digest, width, height, found);
  }
  Footage out;
  for (auto& [name, all] : found) {
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    const auto& [digest, width, height] = name;
    out.push_back({digest, width, height, std::move(all)});
  }
  return out;
}

}  // namespace cleared::ledger
