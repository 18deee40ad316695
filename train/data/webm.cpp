#include "train/data/webm.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"

extern char** environ;

namespace cleared::train {
namespace fs = std::filesystem;

void write_webm(const fs::path& path, const Frames& rgb, const WebmOptions& options) {
  const fs::path program =
      options.program.empty() ? program_beside_this("curate") : options.program;
  int ends[2];
  // A socket, so that a child that dies is an error of send() and not the end of this process.
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw Error(Errc::io, "start ", program.string(), ": ", std::generic_category().message(errno));
  }
  Fd ours(ends[0]);
  Fd theirs(ends[1]);
  std::string args[] = {program.string(), "webm",
                        "--width",        std::to_string(options.width),
                        "--height",       std::to_string(options.height),
                        "--fps",          std::to_string(options.frames_per_second),
                        "--out",          path.string()};
  std::array<char*, std::size(args) + 1> argv{};
  for (size_t i = 0; i < std::size(args); ++i) argv[i] = args[i].data();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), STDIN_FILENO);
  pid_t child = -1;
  const int failed = ::posix_spawn(&child, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    throw Error(failed == ENOENT ? Errc::not_found : Errc::io, "start ", argv[0], ": ",
                std::generic_category().message(failed));
  }
  theirs.reset();
  for (size_t sent = 0; sent < rgb.size();) {
    const ssize_t n = ::send(ours.get(), rgb.data() + sent, rgb.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // its exit status says more
    sent += static_cast<size_t>(n);
  }
  ours.reset();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw Error(Errc::io, "write ", path.string(), ": ", program.string(), " webm failed");
  }
}

}  // namespace cleared::train
