#include "tools/launch.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "tools/cli.h"

namespace cleared::tools {
namespace {

using Clock = std::chrono::steady_clock;

// From the signal handler to the waiting loop.
std::atomic<int> g_signal = 0;
bool g_asked_to_end = false;

// What torchrun calls it, too.
constexpr const char* kAttempt = "TORCHELASTIC_RESTART_COUNT";

constexpr auto kPatience = std::chrono::seconds(120);  // from asking a rank to end to killing it

// What rank 0's store is served on. Bound here, so that nobody else takes the port before rank 0
// is there, and reached from this machine only.
struct StoreSocket {
  Fd fd;
  int port;
};

StoreSocket bind_store_socket() {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (!fd || ::bind(fd.get(), any, size) != 0 || ::getsockname(fd.get(), any, &size) != 0) {
    throw Error(Errc::io, "bind a port: ", std::generic_category().message(errno));
  }
  return {std::move(fd), ntohs(address.sin_port)};
}

// In a process group of its own, so that a terminal's Ctrl-C reaches the launcher alone, which
// passes it on once.
[[noreturn]] void become_rank(int rank, const std::vector<int>& places, const StoreSocket& store,
                              int attempt, char** argv) {
  const auto ranks = static_cast<int>(places.size());
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  const auto set = [](const char* name, int value) {
    ::setenv(name, std::to_string(value).c_str(), 1);
  };
  set("RANK", rank);
  set("LOCAL_RANK", places[static_cast<size_t>(rank)]);
  set("WORLD_SIZE", ranks);
  set("LOCAL_WORLD_SIZE", ranks);
  set("MASTER_PORT", store.port);
  if (rank == 0) {
    ::fcntl(store.fd.get(), F_SETFD, 0);  // keep it over exec
    set("CLEARED_STORE_SOCKET", store.fd.get());
  }
  set(kAttempt, attempt);
  ::setenv("MASTER_ADDR", "127.0.0.1", 1);
  ::setenv("OMP_WAIT_POLICY", "passive", 0);  // ranks share the cores: waiting must not spin
  ::execv("/proc/self/exe", argv);
  std::perror("exec /proc/self/exe");
  ::_exit(127);
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void tell(const std::vector<pid_t>& ranks, int signal) {
  for (const pid_t pid : ranks) ::kill(pid, signal);
}

// One attempt: starts all ranks, and ends all when one ends badly.
struct Attempt {
  int code = 0;             // of the first that failed
  std::vector<pid_t> lost;  // ended by a signal that was not ours, or stopped
  bool crashed = false;     // by one that it brought about itself: it would do so again
};

bool is_crash(int status) {
  if (!WIFSIGNALED(status)) return false;
  const int signal = WTERMSIG(status);
  return signal == SIGABRT || signal == SIGSEGV || signal == SIGILL || signal == SIGFPE;
}

// One for each place.
std::vector<pid_t> start_ranks(const std::vector<int>& places, int attempt, char** argv) {
  const StoreSocket store = bind_store_socket();
  std::vector<pid_t> running;
  for (int rank = 0; rank < static_cast<int>(places.size()); ++rank) {
    const pid_t pid = ::fork();
    if (pid == 0) become_rank(rank, places, store, attempt, argv);
    if (pid < 0) {
      tell(running, SIGKILL);
      throw Error(Errc::io, "start rank ", rank, ": ", std::generic_category().message(errno));
    }
    running.push_back(pid);
  }
  return running;
}

void add(const std::vector<pid_t>& more, std::vector<pid_t>& to) {
  to.insert(to.end(), more.begin(), more.end());
}

Attempt watch(const std::vector<pid_t>& ranks) {
  Attempt attempt;
  std::vector<pid_t> running = ranks;
  auto deadline = Clock::time_point::max();
  bool killed = false;
  std::vector<pid_t> stopped;  // SIGSTOP: they hear no SIGTERM
  while (!running.empty()) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, WNOHANG | WUNTRACED | WCONTINUED);
    if (ended > 0 && (WIFSTOPPED(status) || WIFCONTINUED(status))) {
      std::erase(stopped, ended);
      if (WIFSTOPPED(status)) stopped.push_back(ended);
    } else if (ended > 0) {
      std::erase(running, ended);
      std::erase(stopped, ended);
      // What we ended ourselves is not lost: ranks that do not catch SIGTERM die of it.
      const bool ours = killed || (attempt.code != 0 && WTERMSIG(status) == SIGTERM);
      // One that crashes when another is lost does so because of it.
      if (is_crash(status) && attempt.lost.empty()) {
        const auto rank = std::find(ranks.begin(), ranks.end(), ended) - ranks.begin();
        std::fprintf(stderr, "train: rank %td crashed (%s): a bug: report it with what it said\n",
                     rank, ::strsignal(WTERMSIG(status)));
        attempt.crashed = true;
      }
      if (WIFSIGNALED(status) && !ours && !g_asked_to_end) attempt.lost.push_back(ended);
      if (attempt.code == 0 && exit_code(status) != 0) {
        attempt.code = exit_code(status);
        tell(running, SIGTERM);
        deadline = Clock::now() + kPatience;
      }
    }
    if (attempt.code != 0 && !stopped.empty()) {
      if (attempt.code == exit_busy && !g_asked_to_end) add(stopped, attempt.lost);
      killed = true;
      tell(std::exchange(stopped, {}), SIGKILL);
    }
    if (ended > 0) continue;
    if (const int signal = g_signal.exchange(0); signal != 0) {
      g_asked_to_end = true;
      tell(running, signal);
    }
    if (Clock::now() > deadline) {
      if (attempt.code == exit_busy && !g_asked_to_end) add(running, attempt.lost);  // frozen
      killed = true;
      tell(running, SIGKILL);
    }
    ::usleep(20'000);
  }
  return attempt;
}

// The places that are left, and then those of ranks that were lost, should there be too few.
std::vector<int> without_lost(const std::vector<int>& places, const std::vector<pid_t>& ranks,
                              const std::vector<pid_t>& lost) {
  std::vector<int> good, bad;
  for (size_t i = 0; i < places.size(); ++i) {
    const bool is_lost = std::find(lost.begin(), lost.end(), ranks[i]) != lost.end();
    (is_lost ? bad : good).push_back(places[i]);
  }
  good.insert(good.end(), bad.begin(), bad.end());
  return good;
}

}  // namespace

void end_with_parent() {
  const pid_t parent = ::getppid();
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  // It may have gone before the kernel knew that we ask.
  if (::getppid() != parent) ::raise(SIGTERM);
}

void end_lost(const std::string& line) {
  std::fprintf(stderr, "train: %s\n", printable(line).c_str());
  ::_exit(exit_busy);
}

int launch_ranks(const LaunchOptions& options, char** argv) {
  struct sigaction pass_on {};
  pass_on.sa_handler = [](int signal) { g_signal = signal; };
  ::sigaction(SIGINT, &pass_on, nullptr);
  ::sigaction(SIGTERM, &pass_on, nullptr);
  std::vector<int> places(static_cast<size_t>(options.ranks));
  std::iota(places.begin(), places.end(), 0);
  int left = options.restarts;
  for (int n = 0;; ++n) {
    const std::vector<pid_t> ranks = start_ranks(places, n, argv);
    const Attempt attempt = watch(ranks);
    if (attempt.crashed) return exit_internal;
    if (attempt.lost.empty()) return attempt.code;
    if (left-- == 0) {
      const size_t fewer = std::bit_floor(places.size() - 1);
      if (!options.least || fewer < static_cast<size_t>(*options.least)) return exit_busy;
      places = without_lost(places, ranks, attempt.lost);
      places.resize(fewer);
      left = options.restarts;
    }
    log(Level::warn, "launch.restart",
        {{"ended_with", attempt.code}, {"attempt", n + 1}, {"ranks", places.size()}});
  }
}

}  // namespace cleared::tools
