#include "ledger/note.h"

#include <algorithm>
#include <charconv>

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/base/handle.h"
#include "ledger/base/utf8.h"
#include "ledger/digest.h"

namespace cleared::ledger {
namespace {

using PrivateKey = Handle<EVP_PKEY, EVP_PKEY_free>;
using SignContext = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;

constexpr std::string_view kSignerPrefix = "PRIVATE+KEY+";
constexpr std::string_view kSignaturePrefix = "\u2014 ";  // em dash, space
constexpr size_t kLongestNote = 1'000'000;
constexpr size_t kMaxSignatures = 100;
constexpr size_t kKeyBytes = 32;

const unsigned char* as_uchar(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// Unicode White_Space, which a key name must not contain.
bool is_space(uint32_t c) {
  return c == 0x20 || (c >= 0x09 && c <= 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_key_name(std::string_view name) {
  if (name.empty()) return false;
  while (!name.empty()) {
    const CodePoint c = first_code_point(name);
    if (c.bytes == 0 || is_space(c.value) || c.value == '+' || c.value < 0x20) return false;
    name.remove_prefix(c.bytes);
  }
  return true;
}

bool is_note_text(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = first_code_point(text);
    if (c.bytes == 0 || (c.value < 0x20 && c.value != '\n')) return false;
    text.remove_prefix(c.bytes);
  }
  return true;
}

uint32_t read_id(std::string_view raw) {
  uint32_t id = 0;
  for (size_t i = 0; i < 4; ++i) id = id << 8 | static_cast<unsigned char>(raw[i]);
  return id;
}

std::string raw_id(uint32_t id) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(id >> shift & 255U);
  return out;
}

std::string hex_id(uint32_t id) {
  return to_hex(as_bytes(raw_id(id)));
}

uint32_t key_id(std::string_view name, SignatureType type, std::string_view key) {
  const std::string head = std::string(name) + '\n' + static_cast<char>(type);
  return read_id(sha256({as_bytes(head), as_bytes(key)}).text());
}

// "name+id+data" without a prefix: the common part of both kinds of key.
struct KeyParts {
  std::string name;
  uint32_t id = 0;
  SignatureType type = SignatureType::ed25519;
  std::string data;  // key or seed, 32 bytes
};
KeyParts parse_key_parts(std::string_view text, std::string_view what) {
  const size_t first = text.find('+');
  const size_t second = first == std::string_view::npos ? first : text.find('+', first + 1);
  if (second == std::string_view::npos) {
    throw Error(Errc::corrupt, what, ": not of the form name+id+key");
  }
  KeyParts parts;
  parts.name = text.substr(0, first);
  const std::string_view id = text.substr(first + 1, second - first - 1);
  const auto [end, problem] = std::from_chars(id.data(), id.data() + id.size(), parts.id, 16);
  if (!is_key_name(parts.name)) throw Error(Errc::corrupt, what, ": bad name");
  if (problem != std::errc() || end != id.data() + id.size() || hex_id(parts.id) != id) {
    throw Error(Errc::corrupt, what, " ", parts.name, ": the id is not 8 lower-case hex digits");
  }
  const auto data = parse_base64(text.substr(second + 1));
  if (!data || data->empty()) {
    throw Error(Errc::corrupt, what, " ", parts.name, ": not base64 of a type and a key");
  }
  parts.type = static_cast<SignatureType>((*data)[0]);
  parts.data = data->substr(1);
  if (parts.type != SignatureType::ed25519 && parts.type != SignatureType::ed25519_cosignature) {
    throw Error(Errc::unsupported, what, " ", parts.name, ": unknown signature type");
  }
  if (parts.data.size() != kKeyBytes) {
    throw Error(Errc::corrupt, what, " ", parts.name, ": the key is not 32 bytes");
  }
  return parts;
}

PrivateKey private_key(std::string_view seed) {
  PrivateKey key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, as_uchar(seed), seed.size()));
  CLEARED_CHECK(key != nullptr);
  return key;
}

std::string public_part(std::string_view seed) {
  const PrivateKey key = private_key(seed);
  std::string out(kKeyBytes, '\0');
  size_t size = out.size();
  CLEARED_CHECK(EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(out.data()),
                                            &size) == 1 &&
                size == kKeyBytes);
  return out;
}

SignerKey make_signer(std::string_view name, SignatureType type, std::string seed) {
  SignerKey out;
  out.verifier.name = name;
  out.verifier.type = type;
  out.verifier.key = public_part(seed);
  out.verifier.id = key_id(name, type, out.verifier.key);
  out.seed = std::move(seed);
  return out;
}

}  // namespace

VerifierKey parse_verifier_key(std::string_view text) {
  const KeyParts parts = parse_key_parts(text, "verifier key");
  VerifierKey key;
  key.name = parts.name;
  key.id = parts.id;
  key.type = parts.type;
  key.key = parts.data;
  if (key_id(key.name, key.type, key.key) != key.id) {
    throw Error(Errc::corrupt, "verifier key ", key.name, ": the id is not that of the key");
  }
  return key;
}

std::string format_verifier_key(const VerifierKey& key) {
  const std::string data = static_cast<char>(key.type) + key.key;
  return key.name + '+' + hex_id(key.id) + '+' + to_base64(as_bytes(data));
}

SignerKey parse_signer_key(std::string_view text) {
  if (!text.starts_with(kSignerPrefix)) {
    throw Error(Errc::corrupt, "private key: does not start with ", kSignerPrefix);
  }
  const KeyParts parts = parse_key_parts(text.substr(kSignerPrefix.size()), "private key");
  SignerKey key = make_signer(parts.name, parts.type, parts.data);
  if (key.verifier.id != parts.id) {
    throw Error(Errc::corrupt, "private key ", parts.name, ": the id is not that of the key");
  }
  return key;
}

std::string format_signer_key(const SignerKey& key) {
  const std::string data = static_cast<char>(key.verifier.type) + key.seed;
  return std::string(kSignerPrefix) + key.verifier.name + '+' + hex_id(key.verifier.id) + '+' +
         to_base64(as_bytes(data));
}

SignerKey new_signer_key(std::string_view name, SignatureType type) {
  if (!is_key_name(name)) {
    throw Error(Errc::usage, "key name \"", name, "\": must be non-empty, without spaces or '+'");
  }
  std::string seed(kKeyBytes, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(seed.data()), static_cast<int>(seed.size())) !=
      1) {
    throw Error(Errc::io, "new key: the system gave no random bytes");
  }
  return make_signer(name, type, std::move(seed));
}

Note parse_note(std::string_view note, std::string_view where) {
  if (note.size() > kLongestNote) throw Error(Errc::corrupt, where, ": longer than 1 MB");
  if (!is_note_text(note)) {
    throw Error(Errc::corrupt, where, ": not UTF-8, or it has control characters");
  }
  // Signature lines never hold a blank line, so the last blank line ends the text.
  const size_t split = note.rfind("\n\n");
  if (split == std::string_view::npos) {
    throw Error(Errc::corrupt, where, ": no blank line before the signatures");
  }
  Note out;
  out.text = note.substr(0, split + 1);
  std::string_view rest = note.substr(split + 2);
  if (rest.empty() || rest.back() != '\n') {
    throw Error(Errc::corrupt, where, ": the signature lines are missing or cut short");
  }
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() + 1);
    const size_t space = line.rfind(' ');
    const bool formed = line.starts_with(kSignaturePrefix) && space != std::string_view::npos &&
                        space >= kSignaturePrefix.size();
    NoteSignature signature;
    if (formed)
      signature.name = line.substr(kSignaturePrefix.size(), space - kSignaturePrefix.size());
    const auto raw = formed ? parse_base64(line.substr(space + 1)) : std::nullopt;
    if (!raw || raw->size() < 5 || !is_key_name(signature.name)) {
      throw Error(Errc::corrupt, where, ": malformed signature line \"", line, "\"");
    }
    signature.id = read_id(*raw);
    signature.signature = raw->substr(4);
    out.signatures.push_back(std::move(signature));
    if (out.signatures.size() > kMaxSignatures) {
      throw Error(Errc::corrupt, where, ": more than 100 signatures");
    }
  }
  return out;
}

std::string format_note(const Note& note) {
  CLEARED_CHECK(!note.text.empty() && note.text.back() == '\n' && !note.signatures.empty());
  std::string out = note.text + '\n';
  for (const NoteSignature& s : note.signatures) {
    const std::string raw = raw_id(s.id) + s.signature;
    out.append(kSignaturePrefix).append(s.name).append(" ").append(to_base64(as_bytes(raw)));
    out += '\n';
  }
  return out;
}

NoteSignature sign_note(std::string_view text, const SignerKey& key) {
  if (key.verifier.type != SignatureType::ed25519) {
    throw Error(Errc::usage, "sign: key ", key.verifier.name,
                " of a witness signs tree heads only");
  }
  return {key.verifier.name, key.verifier.id, sign_bytes(as_bytes(text), key)};
}

void add_signature(Note& note, const SignerKey& key) {
  add_signature(note, sign_note(note.text, key));
}

void add_signature(Note& note, NoteSignature signature) {
  std::erase_if(note.signatures, [&](const NoteSignature& s) {
    return s.name == signature.name && s.id == signature.id;
  });
  note.signatures.push_back(std::move(signature));
}

Note with_signatures_of(Note note, const Note& more) {
  if (more.text != note.text) return note;
  for (const NoteSignature& line : more.signatures) {
    const bool known =
        std::any_of(note.signatures.begin(), note.signatures.end(), [&](const NoteSignature& s) {
          return s.name == line.name && s.id == line.id && s.signature == line.signature;
        });
    if (!known) add_signature(note, line);
  }
  return note;
}

bool has_line_of(const Note& note, const VerifierKey& key) {
  return std::any_of(note.signatures.begin(), note.signatures.end(),
                     [&](const NoteSignature& s) { return s.name == key.name && s.id == key.id; });
}

bool signed_by(const Note& note, const VerifierKey& key) {
  if (key.type != SignatureType::ed25519) return false;
  bool found = false;
  for (const NoteSignature& s : note.signatures) {
    if (s.name != key.name || s.id != key.id) continue;
    if (!verify_bytes(as_bytes(note.text), s.signature, key)) return false;
    found = true;
  }
  return found;
}

bool signed_by_any(const Note& note, std::span<const VerifierKey> keys) {
  bool any = false;
  for (const VerifierKey& key : keys) {
    if (!has_line_of(note, key)) continue;
    if (!signed_by(note, key)) return false;
    any = true;
  }
  return any;
}

std::string sign_bytes(ByteView message, const SignerKey& key) {
  const PrivateKey handle = private_key(key.seed);
  const SignContext context(EVP_MD_CTX_new());
  CLEARED_CHECK(context != nullptr);
  std::string out(64, '\0');
  size_t size = out.size();
  CLEARED_CHECK(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, handle.get()) == 1);
  CLEARED_CHECK(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                               reinterpret_cast<const unsigned char*>(message.data()),
                               message.size()) == 1 &&
                size == out.size());
  return out;
}

bool verify_bytes(ByteView message, std::string_view signature, const VerifierKey& key) {
  if (signature.size() != 64) return false;
  const PrivateKey handle(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, as_uchar(key.key), key.key.size()));
  if (!handle) return false;
  const SignContext context(EVP_MD_CTX_new());
  CLEARED_CHECK(context != nullptr);
  if (EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, handle.get()) != 1)
    return false;
  return EVP_DigestVerify(context.get(), as_uchar(signature), signature.size(),
                          reinterpret_cast<const unsigned char*>(message.data()),
                          message.size()) == 1;
}

}  // namespace cleared::ledger
