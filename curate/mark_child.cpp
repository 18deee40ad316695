#include <memory>
#include <optional>

#include "curate/c2pa.h"
#include "curate/mark_files.h"
#include "curate/marks.h"
#include "curate/worker.pb.h"
#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

using ledger::Mark;
using ledger::MarkSays;

constexpr uint64_t kBeforeRdf = 1 << 16, kPacketBytes = 16 << 20;

// The XMP packet in which RDF's namespace is declared at `at`: from the start of that very tag to
// its end tag. Nothing when it is no attribute. `cut` when one of the two tags is not there.
struct FoundPacket {
  std::string text;
  uint64_t end = 0;
  bool cut = false;
};
std::optional<FoundPacket> packet_in(std::string_view bytes, size_t at) {
  size_t before = bytes.find_last_not_of(" \t\r\n\"'", at == 0 ? 0 : at - 1);
  if (before == std::string::npos || bytes[before] != '=') return std::nullopt;
  const size_t start = bytes.rfind('<', at);
  if (start == std::string::npos) return FoundPacket{"", at + kRdf.size(), true};
  const size_t name_end = bytes.find_first_of(" \t\r\n>", start);
  const std::string name(bytes.substr(start + 1, name_end - start - 1));
  const size_t close = bytes.find("</" + name, at);
  const size_t end = close == std::string::npos ? close : bytes.find('>', close);
  if (end == std::string::npos) return FoundPacket{"", at + kRdf.size(), true};
  return FoundPacket{std::string(bytes.substr(start, end + 1 - start)), end + 1, false};
}

// The same at `offset` of a file.
std::optional<FoundPacket> packet_at(int fd, uint64_t offset) {
  const uint64_t from = offset < kBeforeRdf ? 0 : offset - kBeforeRdf;
  std::string bytes(kPacketBytes, '\0');
  bytes.resize(read_at(fd, from, bytes.data(), bytes.size()));
  auto packet = packet_in(bytes, offset - from);
  if (packet) packet->end += from;
  return packet;
}

}  // namespace

struct MarkReader::Loaded {
  std::optional<C2pa> c2pa;
  std::string problem;  // why there is none
};

MarkReader::MarkReader(const ReadMarks& request)
    : request_(request), loaded_(std::make_unique<Loaded>()) {
  prepare_xmp();
  if (!has_store(request)) return;
  try {
    if (request.c2pa_library().empty()) throw Error(Errc::not_found, "no C2PA library is known");
    loaded_->c2pa.emplace(request.c2pa_library());
  } catch (const Error& error) {
    loaded_->problem = error.what();
  }
}
MarkReader::~MarkReader() = default;

void MarkReader::read(int source, FoundMarks& reply) const {
  std::vector<Mark> out;
  const MarkTraces traces = request_.beside_alone() ? MarkTraces() : find_mark_traces(source);
  const auto read_store = [&](std::string_view store) {
    if (!loaded_->c2pa) {
      out.push_back({"c2pa", MarkSays::unclear,
                     loaded_->problem + "; install PyPI's c2pa-python and name its libc2pa_c.so: "
                                        "--c2pa-library",
                     "C2PA"});
      return;
    }
    try {
      marks_of_c2pa(loaded_->c2pa->read(source, request_.format(), store),
                    store.empty() ? traces.manifests : count_manifests(store), out);
    } catch (const Error& error) {
      out.push_back({"c2pa", MarkSays::unclear, error.what(), "C2PA"});
    }
  };
  const auto read_packet = [&](const FoundPacket& packet) {
    if (packet.cut) {
      out.push_back({"xmp", MarkSays::unclear, "has no beginning or no end", "XMP"});
      return;
    }
    marks_of_xmp(packet.text, out);
    if (!has_store(request_) && names_remote_manifest(packet.text)) {
      out.push_back({"c2pa", MarkSays::unclear,
                     "its manifests lie elsewhere: have them delivered as NAME.c2pa", "XMP"});
    }
  };
  const auto read_xmp_file = [&](std::string_view bytes, const std::string& place) {
    const size_t before = out.size();
    bool empty = true;
    for (size_t at = 0; (at = bytes.find(kRdf, at)) != std::string_view::npos;) {
      const auto packet = packet_in(bytes, at);
      at = packet ? packet->end : at + kRdf.size();
      empty = empty && !packet;
      if (packet) read_packet(*packet);
    }
    if (empty) out.push_back({"xmp", MarkSays::unclear, "holds no XMP in UTF-8", "XMP"});
    for (size_t i = before; i < out.size(); ++i) out[i].place += " in " + place;
  };
  if (request_.c2pa()) read_store("");
  uint64_t end = 0;
  for (const uint64_t offset : traces.xmp) {
    if (offset < end) continue;  // in the packet before
    const auto packet = packet_at(source, offset);
    if (!packet) continue;
    end = packet->end;
    read_packet(*packet);
  }
  for (const auto& sidecar : request_.sidecar()) {
    switch (sidecar.kind()) {
      case ReadMarks::Sidecar::TDMREP:
        marks_of_tdmrep(sidecar.content(), sidecar.path(), sidecar.place(), out);
        break;
      case ReadMarks::Sidecar::RSL:
        marks_of_rsl(sidecar.content(), sidecar.path(), sidecar.place(), out);
        break;
      case ReadMarks::Sidecar::C2PA:
        read_store(sidecar.content());
        break;
      case ReadMarks::Sidecar::XMP:
        read_xmp_file(sidecar.content(), sidecar.place());
        break;
    }
  }
  for (const Mark& mark : out) {
    FoundMarks::Mark& found = *reply.add_mark();
    found.set_name(mark.name);
    found.set_says(std::string(ledger::says_word(mark.says)));
    found.set_value(mark.value.substr(0, 250));
    found.set_place(mark.place.substr(0, 250));
  }
}

}  // namespace cleared::curate
