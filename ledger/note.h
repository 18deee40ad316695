// Signed notes and their Ed25519 keys, as C2SP signed-note (https://c2sp.org/signed-note): a text,
// a blank line, one line a signature: "— name base64(id, 4 bytes big-endian || signature)".
//
// Pure functions: no storage, no clock. Safe from any thread. Malformed input is Error{corrupt}
// that says where; a signature that does not verify is an answer.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

// Signature types: the byte before the public key in a verifier key. Keys of other types are
// Error{unsupported}; signature lines of other types are lines of a key that nobody asks for.
enum class SignatureType : uint8_t {
  ed25519 = 1,
  ed25519_cosignature = 4,  // of a witness: ledger/cosignature.h
};

// "name+id+base64(type || key)". `key` is 32 bytes for every type known here.
struct VerifierKey {
  std::string name;  // not empty, no white space, no '+'
  uint32_t id = 0;   // first 4 bytes of SHA-256(name "\n" type key)
  SignatureType type = SignatureType::ed25519;
  std::string key;
  bool operator==(const VerifierKey&) const = default;
};
VerifierKey parse_verifier_key(std::string_view text);
std::string format_verifier_key(const VerifierKey& key);

// "PRIVATE+KEY+name+id+base64(type || seed)", the form of golang.org/x/mod/sumdb/note.
struct SignerKey {
  VerifierKey verifier;
  std::string seed;  // 32 bytes
};
SignerKey parse_signer_key(std::string_view text);
std::string format_signer_key(const SignerKey& key);
// From the system's random source.
SignerKey new_signer_key(std::string_view name, SignatureType type = SignatureType::ed25519);

struct NoteSignature {
  std::string name;
  uint32_t id = 0;
  std::string signature;  // raw, without the id
};

struct Note {
  std::string text;  // ends with a newline, which is signed too
  std::vector<NoteSignature> signatures;
};

// At most 1 MB and 100 signatures; UTF-8 without control characters below 0x20 but newline. Errors
// begin with `where`, as the name of the file.
Note parse_note(std::string_view note, std::string_view where = "note");
std::string format_note(const Note& note);

// Error{usage} for a key of type 04, which may sign only with a time: see ledger/cosignature.h.
NoteSignature sign_note(std::string_view text, const SignerKey& key);

// Adds a signature, replacing earlier ones by the same key.
void add_signature(Note& note, const SignerKey& key);
void add_signature(Note& note, NoteSignature signature);

// `note` with the signature lines of `more`, too; as it is when that is about another text.
Note with_signatures_of(Note note, const Note& more);

// Whether `note` has a line that says it is of this key; it need not verify.
bool has_line_of(const Note& note, const VerifierKey& key);

// True when `note` has a signature line of this key, of type 01, and it verifies. A line of this
// key that does not verify makes the answer false whatever the other lines say.
[[nodiscard]] bool signed_by(const Note& note, const VerifierKey& key);

// The same for keys that may sign in each other's place, as those of a log of which one replaces
// another: at least one has signed, and no line of any of them fails to verify.
[[nodiscard]] bool signed_by_any(const Note& note, std::span<const VerifierKey> keys);

// Ed25519 (RFC 8032) over any bytes with a key of any type: the caller keeps the messages of
// different formats apart. For formats that are not plain notes (DSSE, cosignatures).
std::string sign_bytes(ByteView message, const SignerKey& key);
[[nodiscard]] bool verify_bytes(ByteView message, std::string_view signature,
                                const VerifierKey& key);

}  // namespace cleared::ledger
