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
  // Before a transaction: when the file has grown large, or by small commits, waits until it has
  // been copied, so that the transaction begins it anew. Small commits are then as quick as the
  // disk allows: to sync what is written over costs half of what it costs to sync a longer file.
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
  int pages_ = 0;        // in the file after the last commit
  int asked_pages_ = 0;  // in the file when copying was last asked for
  bool small_ = false;   // the commit that asked for it
  std::exception_ptr failure_;
  std::jthread thread_;  // started when there is work
};

}  // namespace cleared::ledger
