// Fingerprint files (docs/formats/fingerprint.md): what an owner of footage makes of it and sends
// when the footage itself stays at home. Safe from any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "curate/config.pb.h"
#include "curate/dedup.h"
#include "curate/worker.h"

namespace cleared::curate {

class Analysis;

struct NamedFootage {
  std::string name;  // printable
  Footage footage;
};

std::string format_fingerprint(std::string_view name, const Digest& digest,
                               const Analysis& analysis);
// Error{corrupt} that begins with `what`: cut short, damaged, contradicts itself, another version.
NamedFootage parse_fingerprint(std::string_view bytes, std::string_view what);

// Decoded in a worker child, and everything that can be asked with. A fingerprint file is read as
// it is and can ask less: it has no insets. Throws as open_source() and run_worker() do.
struct ExaminedFile {
  NamedFootage named;
  std::string fingerprint;  // the bytes of its fingerprint file
};
ExaminedFile examine_file(const std::filesystem::path& path, const Limits& limits,
                          const WorkerOptions& worker);

}  // namespace cleared::curate
