#include "curate/look_files.h"

#include <algorithm>
#include <optional>

#include "curate/looks.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/looks.pb.h"

namespace cleared::curate {
namespace {

template <class Times>
bool increase(const Times& times) {
  return std::adjacent_find(times.begin(), times.end(),
                            [](uint64_t a, uint64_t b) { return a >= b; }) == times.end();
}

std::filesystem::path path_of(const std::filesystem::path& folder, const Digest& digest) {
  return folder / (to_hex(digest) + ".looks");
}

// One series a look, from what is stored time by time.
std::vector<Track> tracks_of(const google::protobuf::RepeatedField<uint64_t>& pts_us,
                             std::string_view pdq, std::string_view quality, size_t looks) {
  std::vector<Track> out(looks);
  for (size_t look = 0; look < looks; ++look) {
    out[look].pts_us.assign(pts_us.begin(), pts_us.end());
    for (size_t i = look; i < quality.size(); i += looks) {
      out[look].prints.push_back(
          {.bits = pdq_at(pdq, i), .quality = static_cast<uint8_t>(quality[i])});
    }
  }
  return out;
}

bool tells(char quality) {
  return static_cast<uint8_t>(quality) >= kFeatureless;
}

// What the file says, as far as it was kept.
std::optional<Analysis> read(const std::filesystem::path& folder, const Digest& digest) {
  const auto path = path_of(folder, digest);
  std::error_code none;
  if (!std::filesystem::exists(path, none)) return std::nullopt;
  std::string bytes;
  try {
    bytes = read_file(path);
  } catch (const Error&) {  // as one that is damaged
  }
  ledger::SourceLooks looks;
  Analysis out;
  const std::string_view body = std::string_view(bytes).substr(std::min<size_t>(bytes.size(), 32));
  if (bytes.size() > 32 && ledger::sha256(body).text() == bytes.substr(0, 32) &&
      looks.ParseFromArray(body.data(), static_cast<int>(body.size())) &&
      looks.digest() == digest.text()) {
    *out.mutable_kept_pts_us() = looks.kept_pts_us();
    out.set_kept_pdq(looks.kept_pdq());
    out.set_kept_quality(looks.kept_quality());
    *out.mutable_inset_pts_us() = looks.inset_pts_us();
    out.set_inset_quality(looks.inset_quality());
    size_t at = 0;
    for (const char quality : looks.inset_quality()) {
      out.mutable_inset_pdq()->append(tells(quality) && at + 32 <= looks.inset_pdq().size()
                                          ? looks.inset_pdq().substr(at, 32)
                                          : std::string(32, '\0'));
      if (tells(quality)) at += 32;
    }
    if (looks_are_whole(out) && at == looks.inset_pdq().size()) return out;
  }
  log(Level::warn, "curate.index", {{"damaged", path.string()}});
  return std::nullopt;
}

}  // namespace

bool looks_are_whole(const Analysis& a) {
  const auto whole = [](const auto& pts_us, std::string_view pdq, std::string_view quality,
                        size_t looks) {
    const size_t count = static_cast<size_t>(pts_us.size()) * looks;
    return pdq.size() == 32 * count && quality.size() == count && increase(pts_us);
  };
  return whole(a.kept_pts_us(), a.kept_pdq(), a.kept_quality(), kKeptLooks) &&
         whole(a.turned_pts_us(), a.turned_pdq(), a.turned_quality(), kTurns) &&
         whole(a.inset_pts_us(), a.inset_pdq(), a.inset_quality(), kInsets) &&
         static_cast<size_t>(a.square_pts_us_size()) <= kMostSquares &&
         a.square_luma().size() == static_cast<size_t>(a.square_pts_us_size()) * kSquareBytes &&
         increase(a.square_pts_us());
}

std::vector<Track> kept_looks(const Analysis& a) {
  return tracks_of(a.kept_pts_us(), a.kept_pdq(), a.kept_quality(), kKeptLooks);
}

std::vector<Track> asked_looks(const Analysis& a) {
  std::vector<Track> out = tracks_of(a.turned_pts_us(), a.turned_pdq(), a.turned_quality(), kTurns);
  for (Track& inset : tracks_of(a.inset_pts_us(), a.inset_pdq(), a.inset_quality(), kInsets)) {
    out.push_back(std::move(inset));
  }
  return out;
}

Squares squares_of(const Analysis& a) {
  Squares out{.pts_us = {a.square_pts_us().begin(), a.square_pts_us().end()},
              .luma = a.square_luma(),
              .rough = {}};
  out.rough = rough_prints(out);
  return out;
}

std::string looks_file(const Digest& digest, const Analysis& analysis) {
  ledger::SourceLooks looks;
  looks.set_digest(std::string(digest.text()));
  *looks.mutable_kept_pts_us() = analysis.kept_pts_us();
  looks.set_kept_pdq(analysis.kept_pdq());
  looks.set_kept_quality(analysis.kept_quality());
  *looks.mutable_inset_pts_us() = analysis.inset_pts_us();
  looks.set_inset_quality(analysis.inset_quality());
  for (size_t i = 0; i < analysis.inset_quality().size(); ++i) {
    if (tells(analysis.inset_quality()[i]))
      looks.mutable_inset_pdq()->append(analysis.inset_pdq(), 32 * i, 32);
  }
  const std::string body = looks.SerializeAsString();
  return std::string(ledger::sha256(body).text()) + body;
}

void write_looks(const std::filesystem::path& folder, const Digest& digest,
                 const std::string& file) {
  make_folders(folder);
  write_file(path_of(folder, digest), file);
}

bool has_looks(const std::filesystem::path& folder, const Digest& digest) {
  const auto path = path_of(folder, digest);
  std::error_code none;
  const auto status = std::filesystem::status(path, none);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
    log(Level::warn, "curate.index", {{"damaged", path.string()}});
  }
  return std::filesystem::exists(status);
}

std::vector<Track> read_looks(const std::filesystem::path& folder, const Digest& digest) {
  const auto analysis = read(folder, digest);
  return analysis ? kept_looks(*analysis) : std::vector<Track>();
}

std::vector<Track> read_insets(const std::filesystem::path& folder, const Digest& digest) {
  const auto analysis = read(folder, digest);
  if (!analysis || analysis->inset_pts_us_size() == 0) return {};
  return asked_looks(*analysis);
}

}  // namespace cleared::curate
