// A trace of what the machine does between two moments, in the form that chrome://tracing and
// Perfetto read. Costs time while it records. The thread that makes it is the one it watches, and
// the threads that autograd and the device start for it.
#pragma once

#include <filesystem>

namespace cleared::train {

class Profile {
 public:
  Profile();
  ~Profile();  // records no more; without save() nothing is written
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;

  // Ends it. Error{io} when the file cannot be written.
  void save(const std::filesystem::path& path);

 private:
  bool running_ = true;
};

}  // namespace cleared::train
