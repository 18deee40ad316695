#include "curate/mark_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "curate/config.pb.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"

namespace cleared::curate {
namespace fs = std::filesystem;
namespace {

using ledger::Mark;
using ledger::MarkSays;

constexpr size_t kChunk = 1 << 20;
constexpr uint64_t kSidecarBytes = 1 << 20, kStoreBytes = 64 << 20;

// The description box of a C2PA manifest store, ISO 19566-5 and C2PA 2.1 section 11.1.4.2; the
// UUID of the box that holds it in ISO BMFF, section A.5.1.
constexpr std::string_view kStoreBox("jumdc2pa\x00\x11\x00\x10\x80\x00\x00\xAA\x00\x38\x9B\x71",
                                     20);
constexpr std::string_view kBmffBox(
    "\xD8\xFE\xC3\xD6\x1B\x0E\x48\x3C\x92\x97\x58\x28\x87\x7E\xC4\x81", 16);
// That of each manifest in it: standard, update, compressed.
constexpr std::string_view kManifestBoxes[] = {
    std::string_view("jumdc2ma\x00\x11\x00\x10\x80\x00\x00\xAA\x00\x38\x9B\x71", 20),
    std::string_view("jumdc2um\x00\x11\x00\x10\x80\x00\x00\xAA\x00\x38\x9B\x71", 20),
    std::string_view("jumdc2cm\x00\x11\x00\x10\x80\x00\x00\xAA\x00\x38\x9B\x71", 20),
};

// Where `what` is, from `from` on.
size_t find(std::string_view bytes, std::string_view what, size_t from = 0) {
  if (from >= bytes.size()) return std::string_view::npos;
  const void* at = ::memmem(bytes.data() + from, bytes.size() - from, what.data(), what.size());
  return at == nullptr ? std::string_view::npos
                       : static_cast<size_t>(static_cast<const char*>(at) - bytes.data());
}

// `text` with as many zeros between its characters: what UTF-16 (1) and UTF-32 (3) have, whichever
// byte comes first.
std::string spread(std::string_view text, size_t zeros) {
  std::string out;
  for (const char c : text) out += (out.empty() ? "" : std::string(zeros, '\0')) + c;
  return out;
}

}  // namespace

size_t read_at(int fd, uint64_t offset, char* data, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(fd, data + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Errc::io, "read a source: ", std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

size_t count_manifests(std::string_view bytes) {
  size_t count = 0;
  for (const std::string_view box : kManifestBoxes) {
    for (size_t at = 0; (at = find(bytes, box, at)) != std::string_view::npos; ++at) ++count;
  }
  return count;
}

bool has_store(const ReadMarks& request) {
  return request.c2pa() ||
         std::any_of(request.sidecar().begin(), request.sidecar().end(), [](const auto& sidecar) {
           return sidecar.kind() == ReadMarks::Sidecar::C2PA;
         });
}

namespace {

// The media type that c2pa-rs knows the container by.
std::string media_type(int fd) {
  std::array<char, 12> head{};
  const std::string_view bytes(head.data(), read_at(fd, 0, head.data(), head.size()));
  const std::string_view kind = bytes.size() < 12 ? "" : bytes.substr(4, 4);
  if (bytes.starts_with("RIFF")) return bytes.ends_with("WAVE") ? "audio/wav" : "video/avi";
  if (kind == "ftyp") return bytes.ends_with("qt  ") ? "video/quicktime" : "video/mp4";
  for (const std::string_view box : {"moov", "mdat", "wide", "free", "skip"}) {
    if (kind == box) return "video/quicktime";
  }
  return "application/octet-stream";
}

void add_sidecar(const fs::path& file, ReadMarks::Sidecar::Kind kind, const std::string& path,
                 ReadMarks& request, std::vector<Mark>& found) {
  const uint64_t limit = kind == ReadMarks::Sidecar::C2PA ? kStoreBytes : kSidecarBytes;
  const std::string place = printable(file.filename().string());
  const auto unclear = [&](const char* why) {
    const char* names[] = {"tdm-reservation", "rsl", "c2pa", "xmp"};
    found.push_back({names[kind], MarkSays::unclear, why, place});
  };
  try {
    if (!has_plain_file(file)) return;
  } catch (const Error& error) {
    if (error.code() != Errc::corrupt) throw;
    return unclear(error.what());
  }
  try {
    std::string content = read_file(file, limit);
    ReadMarks::Sidecar& sidecar = *request.add_sidecar();
    sidecar.set_kind(kind);
    sidecar.set_place(place);
    sidecar.set_path(path);
    sidecar.set_content(std::move(content));
  } catch (const Error& error) {
    if (error.code() != Errc::corrupt) throw;
    unclear("too long a file");
  }
}

void add_sidecars(const DeliveredFile& file, const fs::path& delivery, const Folders& folders,
                  ReadMarks& request, std::vector<Mark>& found) {
  using Sidecar = ReadMarks::Sidecar;
  const auto add = [&](const fs::path& name, Sidecar::Kind kind, const std::string& path) {
    for (const fs::path& sidecar : folders.find(name)) {
      add_sidecar(sidecar, kind, path, request, found);
    }
  };
  for (const std::string& name : names_of_sidecars(file)) {
    if (!request.beside_alone()) add(name + ".c2pa", Sidecar::C2PA, "");
    add(name + ".xmp", Sidecar::XMP, "");
    add(name + ".tdmrep.json", Sidecar::TDMREP, "");
    add(name + ".rsl.xml", Sidecar::RSL, "");
  }
  // Of the folder that it is in, and each above it up to the delivery's own.
  fs::path below = file.path;
  std::string path = "/" + below.filename().generic_string();
  while (true) {
    below = below.parent_path();
    const fs::path folder = delivery / below;
    add(folder / "tdmrep.json", Sidecar::TDMREP, path);
    for (const fs::path& known : folders.find(folder / ".well-known")) {
      const bool linked = fs::is_symlink(fs::symlink_status(known));
      add(linked ? known : known / "tdmrep.json", Sidecar::TDMREP, path);
    }
    add(folder / "rsl.xml", Sidecar::RSL, path);
    add(folder / "license.xml", Sidecar::RSL, path);
    if (below.empty()) return;
    path = "/" + below.filename().generic_string() + path;
  }
}

// What a child found, as far as it is in the vocabulary. It is input from a hostile file.
std::vector<Mark> checked(const FoundMarks& found) {
  std::vector<Mark> out;
  for (const auto& mark : found.mark()) {
    const auto says = ledger::parse_says(mark.says());
    if (ledger::find_mark_name(mark.name()) == nullptr || !says || mark.value().size() > 300 ||
        mark.place().size() > 300) {
      throw Error(Errc::corrupt, "its worker gave marks that are none");
    }
    out.push_back({mark.name(), *says, printable(mark.value()), printable(mark.place())});
  }
  return out;
}

}  // namespace

// One pass in chunks; each begins with the end of the one before, one byte less than a pattern.
MarkTraces find_mark_traces(int fd) {
  constexpr size_t kNone = std::string_view::npos;
  MarkTraces out;
  const std::string in_utf16 = spread(kRdf, 1), in_utf32 = spread(kRdf, 3);
  std::string chunk(kChunk + in_utf32.size(), '\0');
  size_t kept = 0;
  for (uint64_t offset = 0;;) {
    const size_t read = read_at(fd, offset, chunk.data() + kept, kChunk);
    if (read == 0) return out;
    const std::string_view bytes(chunk.data(), kept + read);
    const auto fresh = [&](size_t size) {  // what a pattern of this size was not looked for in yet
      return bytes.substr(kept < size ? 0 : kept - (size - 1));
    };
    out.c2pa = out.c2pa || find(fresh(kStoreBox.size()), kStoreBox) != kNone ||
               find(fresh(kBmffBox.size()), kBmffBox) != kNone;
    if (out.c2pa) out.manifests += count_manifests(fresh(kStoreBox.size()));
    for (size_t at = bytes.size() - fresh(kRdf.size()).size();
         (at = find(bytes, kRdf, at)) != kNone; ++at) {
      if (out.xmp.size() < kMostPackets) out.xmp.push_back(offset - kept + at);
    }
    for (const std::string& wide : {in_utf16, in_utf32}) {
      out.wide_xmp = out.wide_xmp || find(fresh(wide.size()), wide) != kNone;
    }
    offset += read;
    kept = std::min(bytes.size(), in_utf32.size() - 1);
    std::memmove(chunk.data(), bytes.data() + bytes.size() - kept, kept);
  }
}

std::vector<Mark> read_marks(const DeliveredFile& file, const fs::path& delivery, const Fd& source,
                             const Limits& limits, const WorkerOptions& options,
                             const Folders& folders, LookFor look) {
  std::vector<Mark> out;
  Request request;
  *request.mutable_limits() = limits;
  ReadMarks& task = *request.mutable_marks();
  task.set_beside_alone(look == LookFor::beside_alone);
  const MarkTraces traces = task.beside_alone() ? MarkTraces() : find_mark_traces(source.get());
  task.set_c2pa(traces.c2pa);
  add_sidecars(file, delivery, folders, task, out);
  if (traces.wide_xmp) {
    out.push_back({"xmp", MarkSays::unclear,
                   "is in UTF-16 or UTF-32, which is not read: have it delivered in UTF-8", "XMP"});
  }
  if (!has_store(task) && traces.xmp.empty() && task.sidecar().empty()) return out;
  if (has_store(task)) {
    task.set_format(media_type(source.get()));
    task.set_c2pa_library(options.c2pa_library.string());
  }
  if (traces.xmp.size() == kMostPackets) {
    out.push_back({"xmp", MarkSays::unclear, "too many packets to read them all", "XMP"});
  }
  try {
    const Reply reply = run_worker(request, source, options);
    if (!reply.has_marks()) throw Error(Errc::corrupt, "its worker answered another question");
    const auto found = checked(reply.marks());
    out.insert(out.end(), found.begin(), found.end());
  } catch (const Error& error) {
    if (error.code() == Errc::io) throw;
    out.push_back({has_store(task) ? "c2pa" : "xmp", MarkSays::unclear,
                   std::string("not read: ") + error.what(), "its reader"});
  }
  return out;
}

ledger::Fact mark_fact(const Digest& source, const Mark& mark) {
  ledger::Fact fact;
  ledger::MarkRecord& record = *fact.mutable_mark();
  record.set_source(std::string(source.text()));
  record.set_name(mark.name);
  record.set_says(std::string(ledger::says_word(mark.says)));
  record.set_value(mark.value);
  record.set_place(mark.place);
  return fact;
}

}  // namespace cleared::curate
