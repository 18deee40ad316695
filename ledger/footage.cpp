#include "ledger/footage.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include "ledger/base/check.h"
#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kFirstLine = "cleared footage 1\n";
constexpr size_t kEntryBytes = 32 + 3 * 4;

bool rises(const Footage& footage) {
  const auto name = [](const FootagePictures& p) { return std::tie(p.source, p.width, p.height); };
  return std::adjacent_find(footage.begin(), footage.end(), [&](const auto& a, const auto& b) {
           return name(a) >= name(b);
         }) == footage.end();
}

bool rises(const std::vector<Print>& prints) {
  return std::adjacent_find(prints.begin(), prints.end(), std::greater_equal<>()) == prints.end();
}

void append_u32(std::string& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

uint32_t u32_at(std::string_view bytes, size_t at) {
  uint32_t out = 0;
  for (size_t i = 0; i < 4; ++i) out |= uint32_t{static_cast<uint8_t>(bytes[at + i])} << 8 * i;
  return out;
}

}  // namespace

std::filesystem::path footage_path(const std::filesystem::path& release) {
  return release.string() + ".footage";
}

std::string format_footage(const Footage& footage) {
  CLEARED_CHECK(rises(footage));
  std::string out(kFirstLine);
  append_u32(out, static_cast<uint32_t>(footage.size()));
  for (const FootagePictures& pictures : footage) {
    CLEARED_CHECK(rises(pictures.prints));
    out += pictures.source.text();
    append_u32(out, pictures.width);
    append_u32(out, pictures.height);
    append_u32(out, static_cast<uint32_t>(pictures.prints.size()));
  }
  for (const FootagePictures& pictures : footage) {
    for (const Print& print : pictures.prints) {
      out.append(reinterpret_cast<const char*>(print.data()), print.size());
    }
  }
  return out;
}

Footage parse_footage(std::string_view bytes, std::string_view what) {
  const auto corrupt = [&](const char* why) { throw Error(Errc::corrupt, what, ": ", why); };
  if (!bytes.starts_with(kFirstLine)) corrupt("no footage to compare with, or of another version");
  bytes.remove_prefix(kFirstLine.size());
  if (bytes.size() < 4) corrupt("cut short");
  const size_t count = u32_at(bytes, 0);
  bytes.remove_prefix(4);
  if (bytes.size() / kEntryBytes < count) corrupt("cut short");
  Footage out(count);
  std::string_view prints = bytes.substr(count * kEntryBytes);
  for (size_t i = 0; i < count; ++i) {
    const std::string_view entry = bytes.substr(i * kEntryBytes, kEntryBytes);
    FootagePictures& pictures = out[i];
    std::memcpy(pictures.source.bytes.data(), entry.data(), 32);
    pictures.width = u32_at(entry, 32);
    pictures.height = u32_at(entry, 36);
    const size_t of_it = u32_at(entry, 40);
    if (prints.size() / sizeof(Print) < of_it) corrupt("cut short");
    pictures.prints.resize(of_it);
    if (of_it > 0) std::memcpy(pictures.prints.data(), prints.data(), of_it * sizeof(Print));
    prints.remove_prefix(of_it * sizeof(Print));
    if (!rises(pictures.prints)) corrupt("fingerprints that do not rise");
  }
  if (!prints.empty()) corrupt("something follows the last fingerprint");
  if (!rises(out)) corrupt("pictures that do not rise");
  return out;
}

}  // namespace cleared::ledger
