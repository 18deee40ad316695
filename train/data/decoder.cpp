#include "train/data/decoder.h"

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/log.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "train/run_folder.h"

extern char** environ;

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

static_assert(std::endian::native == std::endian::little, "the protocol is little-endian");

constexpr uint64_t kErrorTextLimit = 64 << 10;
constexpr uint64_t kMostWhole = uint64_t{2} << 30;  // bytes of all frames: the child has no more

// The child broke the protocol, died or hung: worth one more try with a new one.
struct ChildFailed {
  std::string how;
};

std::string reason(int error) {
  return std::generic_category().message(error);
}

}  // namespace

fs::path program_beside_this(const std::string& name) {
  const fs::path path = fs::read_symlink("/proc/self/exe").parent_path() / name;
  if (!fs::exists(path)) {
    throw Error(Errc::not_found, "program ", path.string(),
                ": not there; build it, or name it with --", name);
  }
  return path;
}

std::string decoder_digest(const fs::path& curate) {
  try {
    const fs::path program = fs::canonical(curate.empty() ? program_beside_this("curate") : curate);
    const fs::path media = program.parent_path() / "curate-media";
    std::string digests = to_hex(digest_of_file(program));
    if (fs::exists(media)) digests += to_hex(digest_of_file(media));
    return to_hex(ledger::sha256(digests));
  } catch (const fs::filesystem_error&) {
    return "none";
  } catch (const Error&) {
    return "none";
  }
}

Decoder::Decoder(const DecoderOptions& options) : options_(options) {
  if (options_.program.empty()) options_.program = program_beside_this("curate");
  start();
}

Decoder::~Decoder() {
  stop();
}

void Decoder::start() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    throw Error(Errc::io, "start ", options_.program.string(), ": ", reason(errno));
  }
  socket_.reset(ends[0]);
  const Fd child_end(ends[1]);
  const timeval patience{.tv_sec = options_.timeout_ms / 1000,
                         .tv_usec = options_.timeout_ms % 1000 * 1000};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);

  std::string args[] = {options_.program.string(),
                        "decode",
                        "--serve",
                        "--width",
                        std::to_string(options_.width),
                        "--height",
                        std::to_string(options_.height),
                        "--frames",
                        std::to_string(options_.frames)};
  std::array<char*, std::size(args) + 1> argv{};
  for (size_t i = 0; i < std::size(args); ++i) argv[i] = args[i].data();

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, child_end.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, child_end.get(), STDOUT_FILENO);
  const int failed = ::posix_spawn(&child_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    child_ = -1;
    throw Error(failed == ENOENT ? Errc::not_found : Errc::io, "start ", argv[0], ": ",
                reason(failed));
  }
}

void Decoder::stop() noexcept {
  socket_.reset();
  if (child_ < 0) return;
  ::kill(child_, SIGKILL);
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {
  }
  child_ = -1;
}

Frames Decoder::decode(const ledger::ClearedSample& sample, const View& view) {
  const std::string& video = sample.member("webm");
  for (int attempt = 0;; ++attempt) {
    try {
      if (child_ < 0) start();
      return ask(sample.key(), video, view);
    } catch (const ChildFailed& failure) {
      stop();
      if (attempt == 1) {
        throw Error(Errc::io, "decode sample ", sample.key(), ": ", options_.program.string(), " ",
                    failure.how, ", twice");
      }
      log(Level::warn, "decoder.restart", {{"sample", sample.key()}, {"child", failure.how}});
    }
  }
}

Frames Decoder::ask(const std::string& key, const std::string& video, const View& view) {
  const uint64_t size = video.size();
  const uint32_t how = (view.mirror ? 1U : 0U) | (view.whole ? 2U : 0U);
  const uint32_t part[] = {view.start, view.across, view.down, how};
  send(&size, sizeof size);
  send(part, sizeof part);
  send(video.data(), video.size());

  uint8_t status = 0;
  uint64_t answer = 0;
  receive(&status, sizeof status);
  receive(&answer, sizeof answer);
  if (status == 0) {
    const uint64_t picture = uint64_t{3} * options_.height * options_.width;
    const uint64_t least = picture * options_.frames;
    const bool fits = view.whole ? answer >= least && answer <= kMostWhole && answer % picture == 0
                                 : answer == least;
    if (!fits) throw ChildFailed{"answered with another number of bytes"};
    Frames frames(answer);
    receive(frames.data(), frames.size());
    return frames;
  }
  if (status != 1 || answer > kErrorTextLimit) throw ChildFailed{"broke the protocol"};
  std::string text(answer, '\0');
  receive(text.data(), text.size());
  throw Error(Errc::corrupt, "decode sample ", key, ": ", text);
}

void Decoder::send(const void* data, size_t size_bytes) {
  auto at = static_cast<const char*>(data);
  while (size_bytes > 0) {
    // MSG_NOSIGNAL: a dead child is an answer here, not the end of this process.
    const ssize_t n = ::send(socket_.get(), at, size_bytes, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw ChildFailed{"ended: " + reason(errno)};
    at += n;
    size_bytes -= static_cast<size_t>(n);
  }
}

void Decoder::receive(void* data, size_t size_bytes) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::milliseconds(options_.timeout_ms);
  auto at = static_cast<char*>(data);
  while (size_bytes > 0) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    const int polled = left > 0 ? ::poll(&ready, 1, static_cast<int>(left)) : 0;
    if (polled < 0 && errno == EINTR) continue;
    if (polled == 0) throw ChildFailed{"gave no answer in time"};
    const ssize_t n = ::recv(socket_.get(), at, size_bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n == 0) throw ChildFailed{"ended"};
    if (n < 0) throw ChildFailed{"failed: " + reason(errno)};
    at += n;
    size_bytes -= static_cast<size_t>(n);
  }
}

}  // namespace cleared::train
