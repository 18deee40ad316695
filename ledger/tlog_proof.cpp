#include "ledger/tlog_proof.h"

#include <algorithm>
#include <charconv>

#include "ledger/base/error.h"
#include "ledger/merkle.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kProofHeader = "c2sp.org/tlog-proof@v1";
constexpr std::string_view kExtra = "extra ";
constexpr std::string_view kIndex = "index ";

// The lines of a proof, with their numbers for messages.
class ProofLines {
 public:
  explicit ProofLines(std::string_view text) : rest_(text) {}

  std::string_view next() {
    ++number_;
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) bad("is missing or cut short");
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return line;
  }
  std::string_view rest() const { return rest_; }
  [[noreturn]] void bad(std::string_view what) const {
    throw Error(Errc::corrupt, "proof: line ", number_, " ", what);
  }

 private:
  std::string_view rest_;
  int number_ = 0;
};

uint64_t parse_index(std::string_view line, const ProofLines& lines) {
  if (!line.starts_with(kIndex)) lines.bad("is not an index");
  const std::string_view digits = line.substr(kIndex.size());
  uint64_t index = 0;
  const auto [end, problem] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  if (problem != std::errc() || end != digits.data() + digits.size() ||
      std::to_string(index) != digits) {
    lines.bad("has an index that is not a decimal number");
  }
  return index;
}

}  // namespace

TlogProof parse_tlog_proof(std::string_view text) {
  TlogProof proof;
  ProofLines lines(text);
  if (lines.next() != kProofHeader) lines.bad("is not c2sp.org/tlog-proof@v1");
  std::string_view line = lines.next();
  if (line.starts_with(kExtra)) {
    proof.extra = parse_base64(line.substr(kExtra.size()));
    if (!proof.extra) lines.bad("has extra data that is not base64");
    line = lines.next();
  }
  proof.index = parse_index(line, lines);
  for (line = lines.next(); !line.empty(); line = lines.next()) {
    const auto raw = parse_base64(line);
    const auto digest = raw ? digest_from_raw(*raw) : std::nullopt;
    if (!digest) lines.bad("is not base64 of 32 bytes");
    proof.path.push_back(*digest);
  }
  proof.head = lines.rest();
  try {
    parse_tree_head(parse_note(proof.head).text);
  } catch (const Error& error) {
    throw Error(Errc::corrupt, "proof: ", error.what());
  }
  return proof;
}

std::string format_tlog_proof(const TlogProof& proof) {
  std::string out(kProofHeader);
  out += '\n';
  if (proof.extra) out.append(kExtra).append(to_base64(as_bytes(*proof.extra))).append("\n");
  out.append(kIndex).append(std::to_string(proof.index)).append("\n");
  for (const Digest& digest : proof.path) out.append(to_base64(digest.bytes)).append("\n");
  return out + '\n' + proof.head;
}

bool verify_tlog_proof(const TlogProof& proof, ByteView record, const VerifierKey& log_key) {
  try {
    const Note note = parse_note(proof.head);
    const TreeHead head = parse_tree_head(note.text);
    return signed_by(note, log_key) && head.origin == log_key.name &&
           verify_inclusion(leaf_digest(record), proof.index, head.size, proof.path, head.root);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace cleared::ledger
