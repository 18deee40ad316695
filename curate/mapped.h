// Files that are mapped into memory, and memory by pages. Safe from any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>

namespace cleared::curate {

// As long as `owner` lives. What others do to the file later shows, or stops the program where it
// was cut: files that are mapped are only ever replaced.
struct Mapped {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> bytes;
};
// Error{not_found}, Error{io}; Error{corrupt} when it is empty.
Mapped map_file(const std::filesystem::path& path);

// Zeros, in large pages where there are some: look-ups that jump cost a walk through the tables of
// small ones.
struct Memory {
  std::shared_ptr<const void> owner;
  std::byte* bytes;
};
Memory map_memory(size_t size);

// write_file() for what is too large to be held twice: `fill` writes to the descriptor. What can be
// made again, and has a digest of all its bytes by which its reader sees that it was lost, need not
// wait for the disk.
enum class OnDisk { now, later };
void write_large_file(const std::filesystem::path& path, const std::function<void(int fd)>& fill,
                      OnDisk when = OnDisk::now);

}  // namespace cleared::curate
