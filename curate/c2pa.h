// C2PA manifests, read by the C library of the Content Authenticity Initiative (c2pa-rs), as PyPI's
// wheel c2pa-python ships it: https://github.com/contentauth/c2pa-rs. It is loaded when a file has
// manifests and not before, so that nothing here is linked to it; the prototypes are ours.
//
// For a worker child: load before enter_sandbox(), read after it. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace cleared::curate {

class C2pa {
 public:
  // Error{not_found} when there is no such library, Error{unsupported} when it lacks a function.
  explicit C2pa(const std::filesystem::path& library);

  // Every manifest of the file, and what validating them found, as c2pa-rs writes a reader as
  // JSON. `format` is a media type. `store` not empty: the manifest store that came beside the
  // file. Nothing is fetched from anywhere. Error{corrupt} with the library's own words.
  std::string read(int file, const std::string& format, std::string_view store) const;

 private:
  struct Functions;
  const Functions* functions_;  // for as long as the process lives, as the library
};

}  // namespace cleared::curate
