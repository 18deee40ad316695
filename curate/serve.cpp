#include "curate/serve.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <unistd.h>

#include "curate/sandbox.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/shard.h"

namespace cleared::curate {
namespace {

constexpr uint64_t kMaxClipBytes = uint64_t{1} << 28;

// False at the end of input, which may come only before the first byte.
bool read_all(int fd, char* to, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::read(fd, to + done, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw Error(Errc::io, "read a clip: ", std::strerror(errno));
    if (n == 0 && done == 0) return false;
    if (n == 0) throw Error(Errc::corrupt, "read a clip: the input ends inside it");
    done += static_cast<size_t>(n);
  }
  return true;
}

template <class Number>
Number take_little_endian(const char*& at) {
  Number value = 0;
  for (size_t i = sizeof value; i-- > 0;) value = value << 8 | static_cast<uint8_t>(at[i]);
  at += sizeof value;
  return value;
}

void answer(int fd, char status, std::string_view body) {
  std::string head(1, status);
  for (int i = 0; i < 8; ++i) head.push_back(static_cast<char>(uint64_t{body.size()} >> (8 * i)));
  write_all(fd, head, "the answer");
  write_all(fd, body, "the answer");
}

constexpr SandboxLimits kDecoderLimits = {
    .memory_bytes = uint64_t{2} << 30,
    .cpu_s = UINT64_MAX,  // a service lives as long as a run: CPU time does not limit a clip
    .output_bytes = UINT64_MAX,
};

void enter_decoder() {
  enter_sandbox(kDecoderLimits, 2);
}

}  // namespace

void serve(int in, int out, const ClipShape& shape) {
  enter_decoder();
  std::array<char, 24> head{};
  std::string webm;
  while (read_all(in, head.data(), head.size())) {
    const char* at = head.data();
    const auto size = take_little_endian<uint64_t>(at);
    ClipPart part;
    for (uint32_t* share : {&part.start, &part.place.across, &part.place.down}) {
      *share = take_little_endian<uint32_t>(at);
    }
    const auto how = take_little_endian<uint32_t>(at);
    part.place.mirror = (how & 1) != 0;
    part.whole = (how & 2) != 0;
    if (size > kMaxClipBytes)
      throw Error(Errc::corrupt, "read a clip: ", size, " bytes are too many");
    webm.resize(size);
    if (size > 0 && !read_all(in, webm.data(), size)) {
      throw Error(Errc::corrupt, "read a clip: the input ends inside it");
    }
    try {
      answer(out, 0, decode_clip(webm, shape, part).rgb);
    } catch (const Error& error) {
      if (error.code() == Errc::io) throw;
      answer(out, 1, error.what());
    }
  }
}

RawClip decode_sample(const std::filesystem::path& tar, std::string_view key,
                      const ClipShape& shape) {
  const ledger::Manifest manifest = ledger::read_manifest(tar);
  const auto sample = std::find_if(manifest.samples.begin(), manifest.samples.end(),
                                   [&](const auto& s) { return s.key == key; });
  if (sample == manifest.samples.end()) {
    std::string keys;
    for (const auto& s : manifest.samples) keys += " " + s.key;
    throw Error(Errc::not_found, "shard ", tar.string(), ": has no sample ", key, ", but", keys);
  }
  const std::string bytes = read_range(tar, sample->offset, sample->size_bytes);
  if (ledger::sha256(bytes) != sample->digest) {
    throw Error(Errc::corrupt, "shard ", tar.string(), ": sample ", key,
                " does not have the digest that its manifest says");
  }
  const auto members = ledger::parse_sample(bytes, key);
  const auto webm = members.find("webm");
  if (webm == members.end()) {
    throw Error(Errc::corrupt, "shard ", tar.string(), ": sample ", key, " has no webm");
  }
  enter_decoder();
  return decode_clip(webm->second, shape);
}

}  // namespace cleared::curate
