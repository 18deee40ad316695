#include <cstring>
#include <filesystem>
#include <set>
#include <span>
#include <string_view>

#include <link.h>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "train/run_folder.h"
#include "train/version.h"

namespace cleared::train {
namespace {

// What the linker put into the notes of an object (NT_GNU_BUILD_ID), in hex; empty: nothing.
std::string build_id_of(const dl_phdr_info& object) {
  for (int i = 0; i < object.dlpi_phnum; ++i) {
    const ElfW(Phdr)& part = object.dlpi_phdr[i];
    if (part.p_type != PT_NOTE) continue;
    const auto* notes = reinterpret_cast<const char*>(object.dlpi_addr + part.p_vaddr);
    const size_t align = part.p_align == 8 ? 8 : 4;
    const auto padded = [&](size_t size) { return (size + align - 1) / align * align; };
    for (size_t at = 0; at + sizeof(ElfW(Nhdr)) <= part.p_memsz;) {
      ElfW(Nhdr) note;
      std::memcpy(&note, notes + at, sizeof note);
      const char* name = notes + at + sizeof note;
      const char* said = name + padded(note.n_namesz);
      if (note.n_type == NT_GNU_BUILD_ID &&
          std::string_view(name, note.n_namesz) == std::string_view("GNU", sizeof "GNU")) {
        return to_hex(std::as_bytes(std::span(said, note.n_descsz)));
      }
      at += sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
    }
  }
  return "";
}

std::string digest_or_unknown(const char* path) try {
  return to_hex(digest_of_file(path));
} catch (const Error&) {
  return "unknown";
}

int add_library(dl_phdr_info* object, size_t /*size*/, void* to) {
  const std::string name = std::filesystem::path(object->dlpi_name).filename();
  // The program itself has no name, and what the kernel brings computes nothing.
  if (name.empty() || name.starts_with("linux-vdso")) return 0;
  std::string id = build_id_of(*object);
  if (id.empty()) id = digest_or_unknown(object->dlpi_name);
  static_cast<std::set<std::string>*>(to)->insert(name + " " + id + "\n");
  return 0;
}

}  // namespace

std::string program_digest() {
  return to_hex(digest_of_file("/proc/self/exe"));
}

std::string loaded_libraries() {
  std::set<std::string> all;
  ::dl_iterate_phdr(add_library, &all);
  std::string out;
  for (const std::string& line : all) out += line;
  return out;
}

}  // namespace cleared::train
