// How often the detectors of curate/findings.h find something, for docs/accuracy.md.
//
//     finding_bench FILE...      grey pictures (.pgm, binary) and sound (.raw, mono, s16le, 8,000
//     Hz)
//
// One line a file: how many faces, and milliseconds; or in how many windows of two seconds, half a
// second apart, somebody speaks.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <sstream>

#include "curate/findings.h"
#include "ledger/base/file.h"

namespace {

using namespace cleared;
using namespace cleared::curate;

void look(const FaceFinder& finder, const std::string& file) {
  std::istringstream in(read_file(file));
  std::string magic;
  Picture grey;
  int white = 0;
  in >> magic >> grey.width >> grey.height >> white;
  in.get();
  grey.pixels.resize(static_cast<size_t>(grey.width) * static_cast<size_t>(grey.height));
  in.read(reinterpret_cast<char*>(grey.pixels.data()),
          static_cast<std::streamsize>(grey.pixels.size()));
  const auto start = std::chrono::steady_clock::now();
  const size_t faces = finder.find(grey).size();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  std::printf("%s faces %zu ms %.1f\n", file.c_str(), faces, took.count());
}

void listen(const std::string& file) {
  const std::string bytes = read_file(file);
  std::vector<int16_t> samples(bytes.size() / 2);
  std::memcpy(samples.data(), bytes.data(), samples.size() * 2);
  SpeechFinder finder;
  finder.add(samples);
  size_t windows = 0, speech = 0;
  for (size_t first = 0; first + 100 <= finder.moments(); first += 25, ++windows) {
    speech += is_speech(finder.signs(first)) ? 1 : 0;
  }
  std::printf("%s speech %zu of %zu\n", file.c_str(), speech, windows);
}

}  // namespace

int main(int argc, char** argv) {
  const FaceCascades cascades = read_cascades(kCascadeFolder);
  const FaceFinder finder(cascades.quick, cascades.sure);
  for (int i = 1; i < argc; ++i) {
    const std::string file = argv[i];
    if (file.ends_with(".raw")) {
      listen(file);
    } else {
      look(finder, file);
    }
  }
}
