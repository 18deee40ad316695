// Where marks are: in the bytes of a delivered file, and in sidecars beside it. The parent only
// looks for byte patterns and copies sidecars; what is found is parsed in a worker child
// (curate/marks.h). A file without a trace of marks costs one pass over its bytes and no child.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <vector>

#include "curate/delivery.h"
#include "curate/worker.h"
#include "ledger/marks.h"
#include "ledger/record.pb.h"

namespace cleared::curate {

class FoundMarks;
class Limits;
class ReadMarks;

// Where marks are looked for: beside a file that no licence covers, but not in it, nor in a C2PA
// store, which is about its bytes.
enum class LookFor { all, beside_alone };

// Of the marks of a delivered file, those that are there, in the order: C2PA, XMP, sidecars nearest
// first. A child that dies, hangs or answers nonsense is a mark that is unclear. Any thread. Throws
// Error{io} for the machine's troubles alone.
std::vector<ledger::Mark> read_marks(const DeliveredFile& file,
                                     const std::filesystem::path& delivery, const Fd& source,
                                     const Limits& limits, const WorkerOptions& options,
                                     const Folders& folders = {}, LookFor look = LookFor::all);

ledger::Fact mark_fact(const Digest& source, const ledger::Mark& mark);

// Child's side (curate/mark_child.cpp). prepare_marks() before the sandbox closes, found_marks()
// after it.
class MarkReader {
 public:
  explicit MarkReader(const ReadMarks& request);  // loads what the request needs
  ~MarkReader();
  MarkReader(const MarkReader&) = delete;
  MarkReader& operator=(const MarkReader&) = delete;
  void read(int source, FoundMarks& out) const;

 private:
  struct Loaded;
  const ReadMarks& request_;
  std::unique_ptr<Loaded> loaded_;
};

// Traces of marks in a file: no parsing, a search for fixed byte strings.
struct MarkTraces {
  bool c2pa = false;          // a manifest store (ISO 19566-5 box "c2pa"), or its ISO BMFF box
  size_t manifests = 0;       // boxes "c2ma", "c2um" and "c2cm": what the reader must tell of
  std::vector<uint64_t> xmp;  // where RDF's namespace is declared, at most kMostPackets
  bool wide_xmp = false;      // RDF's namespace in UTF-16 or UTF-32, of either byte order
};
constexpr size_t kMostPackets = 64;
MarkTraces find_mark_traces(int fd);
constexpr std::string_view kRdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";

// What both sides need. How many bytes were read at `offset`, fewer at the end alone.
size_t read_at(int fd, uint64_t offset, char* data, size_t size);
size_t count_manifests(std::string_view bytes);
// Does the request have C2PA manifests, in the file or beside it?
bool has_store(const ReadMarks& request);

}  // namespace cleared::curate
