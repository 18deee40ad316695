#include "train/heartbeat.h"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// Wide enough for a machine that others use, too.
constexpr auto kSilence = 1000ms;

constexpr int kDone = 3, kLost = 75;  // exit codes of a rank in these tests

// Ranks as processes of their own, so that they can be stopped and killed. All are told to end, and
// continued, when the test ends.
class Ranks {
 public:
  // What a rank does once it hears the others; then it says goodbye and ends with kDone.
  using Body = std::function<void(int rank)>;

  Ranks(int size, const Body& body, std::chrono::milliseconds silence = kSilence) {
    std::vector<int> pipes;
    for (int rank = 1; rank < size; ++rank) {
      int ends[2];
      if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
      pipes.insert(pipes.end(), {ends[0], ends[1]});
    }
    for (int rank = 0; rank < size; ++rank) {
      const pid_t pid = ::fork();
      if (pid == 0) ::_exit(live(rank, size, pipes, body, silence));
      pids_.push_back(pid);
    }
    for (const int end : pipes) ::close(end);
    std::this_thread::sleep_for(300ms);  // they have met
  }
  ~Ranks() {
    for (const pid_t pid : pids_) {
      if (pid < 0) continue;
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  void send(int rank, int signal) const { ::kill(pids_[static_cast<size_t>(rank)], signal); }
  // Exit code, or 128 + signal.
  int end_of(int rank) {
    int status = 0;
    ::waitpid(std::exchange(pids_[static_cast<size_t>(rank)], -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  static int live(int rank, int size, const std::vector<int>& pipes, const Body& body,
                  std::chrono::milliseconds silence) {
    const auto broadcast = [&](const std::string& text) {
      if (rank == 0) {
        for (size_t i = 1; i < pipes.size(); i += 2) {
          if (::write(pipes[i], (text + "\n").data(), text.size() + 1) < 0) std::abort();
        }
        return text;
      }
      std::string heard;
      for (char c = 0; ::read(pipes[static_cast<size_t>(2 * rank - 2)], &c, 1) == 1 && c != '\n';) {
        heard += c;
      }
      return heard;
    };
    const Heartbeat heartbeat({.rank = rank,
                               .size = size,
                               .address = "127.0.0.1",
                               .silence = silence,
                               .patience = 20s,
                               .on_lost =
                                   [](const std::string& line) {
                                     const bool says_where = line.find(" on ") != line.npos;
                                     ::_exit(says_where ? kLost : 1);
                                   }},
                              broadcast);
    body(rank);
    return kDone;
  }

  std::vector<pid_t> pids_;
};

void sleep_long(int) {
  std::this_thread::sleep_for(60s);
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// 1.1 s where nothing else runs; on a busy machine later, and still long before anything else ends.
TEST(Heartbeat, AStoppedRankIsNoticedByAllOthers) {
  for (const int stopped : {0, 2}) {
    Ranks ranks(4, sleep_long);
    const auto start = Clock::now();
    ranks.send(stopped, SIGSTOP);
    for (int rank = 0; rank < 4; ++rank) {
      if (rank == stopped) continue;
      EXPECT_EQ(ranks.end_of(rank), kLost);
    }
    EXPECT_GE(seconds_since(start), 0.8);
    EXPECT_LT(seconds_since(start), 30);
    ranks.send(stopped, SIGCONT);
    EXPECT_EQ(ranks.end_of(stopped), kLost);  // and it learns that the others went on without it
  }
}

TEST(Heartbeat, AKilledRankIsNoticedAtOnce) {
  for (const int killed : {0, 1}) {
    Ranks ranks(3, sleep_long, 20s);
    const auto start = Clock::now();
    ranks.send(killed, SIGKILL);
    for (int rank = 0; rank < 3; ++rank) {
      EXPECT_EQ(ranks.end_of(rank), rank == killed ? 128 + SIGKILL : kLost);
    }
    EXPECT_LT(seconds_since(start), 15);  // before its silence would tell
  }
}

// A step, a checkpoint, a slow disk: the run's own thread does nothing for the heartbeat.
TEST(Heartbeat, ARankThatComputesForLongIsNotLost) {
  Ranks ranks(2, [](int rank) {
    const auto start = Clock::now();
    while (rank == 1 && seconds_since(start) < 2.5) {
    }
    if (rank == 0) std::this_thread::sleep_for(3s);
  });
  EXPECT_EQ(ranks.end_of(1), kDone);
  EXPECT_EQ(ranks.end_of(0), kDone);
}

// As when a machine sleeps, or its owner presses Ctrl-Z.
TEST(Heartbeat, RanksThatAreStoppedTogetherGoOn) {
  Ranks ranks(3, [](int) { std::this_thread::sleep_for(4s); });
  for (int rank = 0; rank < 3; ++rank) ranks.send(rank, SIGSTOP);
  std::this_thread::sleep_for(2500ms);
  for (int rank = 0; rank < 3; ++rank) ranks.send(rank, SIGCONT);
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(ranks.end_of(rank), kDone);
}

TEST(Heartbeat, RanksLeaveWheneverTheyAreDone) {
  for (const int first : {0, 1}) {
    Ranks ranks(3, [&](int rank) { std::this_thread::sleep_for(rank == first ? 400ms : 1900ms); });
    for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(ranks.end_of(rank), kDone);
  }
}

TEST(Heartbeat, ALimitOfNothingListensToNobody) {
  Ranks ranks(
      2, [](int) { std::this_thread::sleep_for(2s); }, 0ms);
  ranks.send(1, SIGKILL);
  EXPECT_EQ(ranks.end_of(0), kDone);
}

// Who connects without the token is no rank, and cannot end the run by going away.
TEST(Heartbeat, AStrangerIsNotTakenForARank) {
  std::promise<std::string> said;
  const auto options = [](int rank) {
    return HeartbeatOptions{.rank = rank,
                            .size = 2,
                            .address = "127.0.0.1",
                            .silence = 20s,
                            .patience = 20s,
                            .on_lost = [](const std::string& line) { ADD_FAILURE() << line; }};
  };
  std::unique_ptr<Heartbeat> zero;
  std::jthread first([&] {
    zero = std::make_unique<Heartbeat>(options(0), [&](const std::string& text) {
      said.set_value(text);
      return text;
    });
  });
  const std::string invitation = said.get_future().get();
  const Fd stranger(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(invitation)));
  ASSERT_EQ(::connect(stranger.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string guess =
      std::string(32, '0') + std::string("\0\0\0\1", 4) + std::string(64, 'x');
  ASSERT_EQ(::send(stranger.get(), guess.data(), guess.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(guess.size()));
  const Heartbeat one(options(1), [&](const std::string&) { return invitation; });
  first.join();
  char byte = 0;
  EXPECT_EQ(::recv(stranger.get(), &byte, 1, 0), 0);  // was shown the door
}

}  // namespace
}  // namespace cleared::train
