// What the marks in and beside a file say (docs/formats/marks.md). Parses hostile bytes: for a
// worker child, after enter_sandbox(). Each function adds to `out` what it finds; damage and words
// that it does not know are marks that are unclear, and no error. One thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ledger/marks.h"

namespace cleared::curate {

using ledger::Mark;

// A C2PA manifest store as C2pa::read() gives it, and how many manifests its bytes hold at least.
// One that does not validate, or tells of fewer, is the mark "c2pa", unclear; what its manifests
// say is told all the same.
void marks_of_c2pa(std::string_view json, size_t manifests, std::vector<Mark>& out);

// Before the sandbox closes, once: exempi makes its tables.
void prepare_xmp();
// One XMP packet, from "<rdf:RDF ...>" to its end tag.
void marks_of_xmp(std::string_view packet, std::vector<Mark>& out);
// True when the packet names a C2PA manifest store that lies elsewhere (dcterms:provenance).
bool names_remote_manifest(std::string_view packet);

// A TDMRep file. `path` begins with "/" and is that of the footage below the folder that the file
// speaks for; empty: it speaks for this footage alone, whatever its locations are.
void marks_of_tdmrep(std::string_view json, std::string_view path, std::string_view place,
                     std::vector<Mark>& out);
// An RSL file, likewise.
void marks_of_rsl(std::string_view xml, std::string_view path, std::string_view place,
                  std::vector<Mark>& out);

// Does a rule for this location (TDMRep's `location`, RSL's `url`: a path, a pattern or a URL,
// whose path counts) speak for `path`? What is none of these is unclear.
enum class Speaks { no, yes, unclear };
Speaks speaks_for(std::string_view location, std::string_view path);

// Does a path match a pattern of RFC 9309, section 2.2.2: a prefix, with "*" for any run of
// characters and "$" at the end for the end?
bool matches_location(std::string_view pattern, std::string_view path);

}  // namespace cleared::curate
