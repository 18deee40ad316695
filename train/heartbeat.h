// Whether the other ranks are still there. A thread of each rank tells rank 0 so, and rank 0 tells
// the others, ten times within the limit, over connections of its own: one star of TCP around rank
// 0. A rank that computes, reads or writes for long still beats. One that was killed, that was
// stopped, or whose machine froze does not, and then every rank is told which one it was. A rank
// whose process runs and whose collective hangs is not noticed here: that is the process group's
// timeout.
//
// What a process missed because it was stopped itself it does not hold against the others: time
// counts as silence only as far as this thread was there to listen. So ranks that are stopped and
// continued together, or on a machine that slept, go on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "ledger/base/file.h"

namespace cleared::train {

struct HeartbeatOptions {
  int rank = 0;
  int size = 1;
  std::string address;                      // of rank 0's machine, as the others reach it
  std::chrono::milliseconds silence{1000};  // of a rank that is taken for lost; rank 0's counts
  std::chrono::seconds patience{300};       // for all ranks to connect

  // Called once, from the heartbeat's thread, with one line that names the rank. The run's own
  // thread may be in a collective that never returns, so it had better end the process.
  std::function<void(const std::string&)> on_lost;
};

class Heartbeat {
 public:
  // Every rank at about the same time. `broadcast` gives rank 0's text to every rank, which is how
  // the others learn where to connect; who does not know what it says is not taken for a rank.
  // Error{io} when they do not find each other.
  Heartbeat(const HeartbeatOptions& options,
            const std::function<std::string(const std::string&)>& broadcast);
  ~Heartbeat();  // says goodbye: the others no longer listen for this rank
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // For a rank whose collective has failed: which rank it is for is known here, or will be within
  // the limit. Returns when on_lost has, or after that time if nobody is missed.
  void await_verdict();

 private:
  struct Peer {
    int rank = 0;
    std::string host;
    Fd socket;
    std::string heard;  // the beginning of a message
    std::chrono::steady_clock::duration silence{};
  };
  struct Lost {
    int rank = 0;
    std::string host;
  };
  enum class Heard { nothing, something, goodbye, loss, end };

  void accept_all(const Fd& listener, const std::string& token);
  void connect(const std::string& port, const std::string& token);
  void beat();
  void tell_all(const std::string& bytes);
  Heard hear(Peer& peer, Lost& lost) const;
  void lose(const Lost& lost, const std::string& how);

  const HeartbeatOptions options_;
  std::chrono::milliseconds silence_{};
  std::vector<Peer> peers_;  // the thread's, once it runs
  Fd wake_, woken_;          // two ends of a pipe: closing one ends the thread
  enum class Verdict { none, being_told, told };
  std::mutex mutex_;
  std::condition_variable changed_;
  Verdict verdict_ = Verdict::none;  // under the mutex
  std::jthread thread_;
};

}  // namespace cleared::train
