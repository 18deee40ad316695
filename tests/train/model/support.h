// What several of these tests need: a folder that goes away, and other programs.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

namespace cleared::train::testing {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "cleared_test_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct Output {
  int status = -1;
  std::string text;  // stdout and stderr
};

// The most bytes that tensors on the CPU, and what oneDNN takes beside them, held at once since it
// was made, beyond what there was before. One at a time.
class MemoryPeak final : public c10::Allocator {
 public:
  MemoryPeak() : below_(c10::GetCPUAllocator()) {
    held() = most() = 0;
    c10::SetCPUAllocator(this, kPriority);
  }
  ~MemoryPeak() override { c10::SetCPUAllocator(below_, kPriority); }
  MemoryPeak(const MemoryPeak&) = delete;
  MemoryPeak& operator=(const MemoryPeak&) = delete;
  size_t bytes() const { return static_cast<size_t>(most()); }

  c10::DataPtr allocate(size_t bytes) override {
    // Each block begins with its size, and is aligned as vectors want it.
    void* const block = std::aligned_alloc(kHead, (bytes + 2 * kHead - 1) / kHead * kHead);
    if (block == nullptr) std::abort();
    *static_cast<size_t*>(block) = bytes;
    most() = std::max(most(), held() += static_cast<int64_t>(bytes));
    void* const data = static_cast<char*>(block) + kHead;
    return {data, data, give_back, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return give_back; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(to, from, bytes);
  }

 private:
  static constexpr size_t kHead = 64;
  static constexpr uint8_t kPriority = 1;  // as use_pooled_memory's, which may be called after it
  static void give_back(void* data) {
    if (data == nullptr) return;
    void* const block = static_cast<char*>(data) - kHead;
    held() -= static_cast<int64_t>(*static_cast<size_t*>(block));
    std::free(block);
  }
  static std::atomic<int64_t>& held() {
    static std::atomic<int64_t> bytes;
    return bytes;
  }
  static int64_t& most() {
    static int64_t bytes;
    return bytes;
  }
  c10::Allocator* below_;
};

inline Output run_command(const std::string& command) {
  Output out;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return out;
  std::array<char, 4096> buffer;
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    out.text.append(buffer.data(), n);
  }
  const int status = ::pclose(pipe);
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  return out;
}

// Runs a script in `folder`.
inline Output run_python(const TemporaryFolder& folder, const std::string& script) {
  std::ofstream(folder.path() / "script.py") << script;
  return run_command("cd '" + folder.path().string() + "' && " CLEARED_PYTHON " script.py");
}

inline bool python_has(const std::string& package) {
  return run_command(CLEARED_PYTHON " -c 'import " + package + "'").status == 0;
}

}  // namespace cleared::train::testing
