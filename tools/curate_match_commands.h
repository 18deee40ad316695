// `curate fingerprint`, `curate match`, `curate duplicates` and `curate protect`: what footage is
// known, and what must not be. Main thread.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace cleared::tools {

class MatchCommands {
 public:
  explicit MatchCommands(CLI::App& app);
  ~MatchCommands();
  // Is one of these the command that was given?
  bool parsed() const;
  int run();  // exit code

 private:
  struct Options;
  std::unique_ptr<Options> options_;
  CLI::App *fingerprint_, *match_, *duplicates_, *protect_, *add_, *list_, *check_, *remove_;
};

}  // namespace cleared::tools
