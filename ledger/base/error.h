// The one exception type of this project, and what each kind means to the caller.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace cleared {

// docs/exit-codes.md gives the exit status of each; tools/cli.cpp is the one place that maps them.
enum class Errc {
  usage,        // a flag is wrong: the person who typed it can fix it
  refused,      // the gate said no where only a yes lets the work go on
  corrupt,      // bytes do not parse, or a digest or a signature does not match
  unsupported,  // well formed, but this build cannot handle it (a newer version, a codec)
  not_found,    // a file, a record or a stream that was named is not there
  io,           // the disk, the network or a device failed: trying again may help
  busy,         // someone else holds the lock: try again later
  permission,   // a key or a file that may not be used as it is
  config,       // a config file parses but makes no sense
};

// what() reads as one line: what was being done, to which object, what went wrong, and the way out.
class Error : public std::runtime_error {
 public:
  template <class... Parts>
  explicit Error(Errc code, const Parts&... parts)
      : std::runtime_error(join(parts...)), code_(code) {}
  Errc code() const noexcept { return code_; }

 private:
  template <class... Parts>
  static std::string join(const Parts&... parts) {
    std::ostringstream out;
    (out << ... << parts);
    return std::move(out).str();
  }
  Errc code_;
};

}  // namespace cleared
