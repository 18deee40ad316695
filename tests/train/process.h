// Programs under test: started, watched line by line, told to end.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

#include "ledger/base/file.h"

namespace cleared::train {

class Process {
 public:
  // stdout and stderr go into one pipe.
  Process(const std::filesystem::path& program, const std::vector<std::string>& args);
  ~Process();  // kills what still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Reads until a line contains `text`; false when the program ends first.
  bool wait_for(const std::string& text);
  void send(int signal) const;
  int wait();  // exit code, or 128 + signal
  const std::string& output() const { return output_; }
  pid_t pid() const { return pid_; }

 private:
  bool read_more();
  pid_t pid_ = -1;
  Fd out_;
  std::string output_;
};

std::vector<pid_t> children_of(pid_t pid);
bool is_gone(pid_t pid);  // or ended and not yet waited for

}  // namespace cleared::train
