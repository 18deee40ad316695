// `curate webm`: raw frames on stdin to a WebM file, for programs that do not link FFmpeg. Main
// thread.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace cleared::tools {

class WebmCommand {
 public:
  explicit WebmCommand(CLI::App& app);
  bool parsed() const;
  int run() const;

 private:
  CLI::App* app_;
  std::string out_, codec_ = "vp9";
  int width_ = 0, height_ = 0, fps_ = 16;
};

}  // namespace cleared::tools
