#include "curate/fingerprint.h"

#include <cstring>

#include "curate/delivery.h"
#include "curate/facts.h"
#include "curate/fingerprint.pb.h"
#include "curate/sound.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"

namespace cleared::curate {
namespace {

constexpr std::string_view kFirstLine = "cleared fingerprint 2\n";
constexpr size_t kLongestName = 1000;

std::string file_name(const std::filesystem::path& path) {
  return printable(path.filename().string());
}

}  // namespace

std::string format_fingerprint(std::string_view name, const Digest& digest,
                               const Analysis& analysis) {
  FootagePrint print;
  print.set_name(printable(name));
  print.set_digest(std::string(digest.text()));
  *print.mutable_pts_us() = analysis.pts_us();
  print.set_pdq(analysis.pdq());
  print.set_quality(analysis.pdq_quality());
  print.set_chromaprint(analysis.chromaprint());
  *print.mutable_kept_pts_us() = analysis.kept_pts_us();
  print.set_kept_pdq(analysis.kept_pdq());
  print.set_kept_quality(analysis.kept_quality());
  const std::string body = print.SerializeAsString();
  return std::string(kFirstLine) + std::string(ledger::sha256(body).text()) + body;
}

NamedFootage parse_fingerprint(std::string_view bytes, std::string_view what) {
  const auto corrupt = [&](const char* why) { throw Error(Errc::corrupt, what, ": ", why); };
  if (!bytes.starts_with(kFirstLine)) corrupt("no fingerprint, or of another version");
  bytes.remove_prefix(kFirstLine.size());
  if (bytes.size() < 32 || ledger::sha256(bytes.substr(32)).text() != bytes.substr(0, 32)) {
    corrupt("this fingerprint was cut short or damaged");
  }
  bytes.remove_prefix(32);
  FootagePrint print;
  if (!print.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      print.digest().size() != 32) {
    corrupt("this fingerprint does not parse");
  }
  if (print.name().empty() || print.name().size() > kLongestName) {
    corrupt("this fingerprint has no name, or one of more than 1,000 bytes");
  }
  Analysis analysis;
  analysis.set_container("");
  *analysis.mutable_pts_us() = print.pts_us();
  analysis.set_pdq(print.pdq());
  analysis.set_pdq_quality(print.quality());
  analysis.set_chromaprint(print.chromaprint());
  *analysis.mutable_kept_pts_us() = print.kept_pts_us();
  analysis.set_kept_pdq(print.kept_pdq());
  analysis.set_kept_quality(print.kept_quality());
  check_prints(analysis, what);
  Digest digest;
  std::memcpy(digest.bytes.data(), print.digest().data(), 32);
  return {.name = printable(print.name()), .footage = footage_of(digest, analysis)};
}

ExaminedFile examine_file(const std::filesystem::path& path, const Limits& limits,
                          const WorkerOptions& worker) {
  const OpenedSource opened = open_source(path);
  char start[kFirstLine.size()] = {};
  const ssize_t got = ::pread(opened.fd.get(), start, sizeof start, 0);
  if (got == static_cast<ssize_t>(sizeof start) &&
      std::string_view(start, sizeof start) == kFirstLine) {
    ExaminedFile out{.named = {}, .fingerprint = read_file(path)};
    out.named = parse_fingerprint(out.fingerprint, path.string());
    return out;
  }
  Analysis analysis;
  try {
    analysis = analyse_in_worker(opened, limits, worker);
  } catch (const Error& error) {
    throw Error(error.code(), printable(path.string()), ": ", error.what());
  }
  const std::string name = file_name(path);
  return {.named = {.name = name, .footage = footage_of(opened.digest, analysis)},
          .fingerprint = format_fingerprint(name, opened.digest, analysis)};
}

}  // namespace cleared::curate
