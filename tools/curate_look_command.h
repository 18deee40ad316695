// `curate look`: a first look at a delivery.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace cleared::tools {

class LookCommand {
 public:
  explicit LookCommand(CLI::App& app);
  ~LookCommand();
  [[nodiscard]] bool parsed() const;
  [[nodiscard]] int run() const;

 private:
  struct Options;
  std::unique_ptr<Options> options_;
  CLI::App* command_;
};

}  // namespace cleared::tools
