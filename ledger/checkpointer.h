// Moves the write-ahead file into the database beside the writer: while one batch is being prepared
// the last one's pages are copied, by a thread with a connection of its own. SQLite's automatic
// checkpoints make the writer wait, and fail in silence; a failure here is thrown at the next call.
// One thread, the writer's.
#pragma once

#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

namespace cleared::ledger {

class Checkpointer {
 public:
  explicit Checkpointer(std::filesystem::path database) : database_(std::move(database)) {}
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // After a commit: starts copying when enough has been written since the last time. `pages` are
  // in the file now.
  void committed(int pages);
  // Before a transaction: when the file has grown large, waits until it has been copied, so that
  // the transaction begins it anew.
  void before_transaction(int pages);
  // Waits for the copying that was started.
  void finish();

 private:
  void work(const std::stop_token& stop);

  const std::filesystem::path database_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool asked_ = false;
  bool busy_ = false;
  int asked_pages_ = 0;  // in the file when copying was last asked for
  std::exception_ptr failure_;
  std::jthread thread_;  // started when there is work
};

}  // namespace cleared::ledger
