// Stands in for `curate decode --serve` where a test needs a child that misbehaves. What it does is
// in the environment variable FAKE_CURATE:
//   echo          frames of which every byte is the first byte of the video
//   part          the same, but the first 16 bytes are the part of the sample that is asked for
//   text          status 1 and "no key frame"
//   die           ends after reading a request
//   die_once FILE the same, but only while FILE does not exist, which it makes; then as echo
//   short         answers with one byte too few
//   long          as echo, of twice as many frames
//   hang          reads, and never answers
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

namespace {

bool read_all(void* data, size_t size) {
  auto at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = ::read(0, at, size);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

void answer(uint8_t status, const std::string& body) {
  const uint64_t size = body.size();
  std::string all(1, static_cast<char>(status));
  all.append(reinterpret_cast<const char*>(&size), sizeof size);
  all += body;
  for (size_t done = 0; done < all.size();) {
    const ssize_t n = ::write(1, all.data() + done, all.size() - done);
    if (n <= 0) std::exit(1);
    done += static_cast<size_t>(n);
  }
}

size_t flag(int argc, char** argv, const char* name) {
  for (int i = 0; i + 1 < argc; ++i) {
    if (std::strcmp(argv[i], name) == 0) return std::stoul(argv[i + 1]);
  }
  std::exit(2);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = std::getenv("FAKE_CURATE");
  const size_t size =
      3 * flag(argc, argv, "--width") * flag(argc, argv, "--height") * flag(argc, argv, "--frames");
  uint64_t n = 0;
  uint32_t part[4];
  while (read_all(&n, sizeof n) && read_all(part, sizeof part)) {
    std::string video(n, '\0');
    if (!read_all(video.data(), n)) return 1;
    if (mode == "die") return 1;
    if (mode.rfind("die_once ", 0) == 0 && !std::filesystem::exists(mode.substr(9))) {
      std::ofstream(mode.substr(9)) << "died";
      return 1;
    }
    if (mode == "hang") ::pause();
    std::string frames(mode == "short" ? size - 1 : mode == "long" ? 2 * size : size, video[0]);
    if (mode == "part") std::memcpy(frames.data(), part, sizeof part);
    if (mode == "text") answer(1, "no key frame");
    else answer(0, frames);
  }
  return 0;
}
