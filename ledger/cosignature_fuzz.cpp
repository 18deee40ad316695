// A note says of a witness when it cosigned, or nothing; a public key that parses prints back to
// the same text, and what does not throws Error{corrupt} or Error{unsupported}. The key of the
// public witness in the corpus may have a true answer: then damage makes it nothing.
#include <cstddef>
#include <cstdint>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/cosignature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  using namespace cleared::ledger;
  static const VerifierKey witness =
      parse_verifier_key("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2");
  try {
    Note note = parse_note(text);
    if (const auto seconds = cosigned_at(note, witness)) {
      CLEARED_CHECK(*seconds <= kLastCosignatureTime);
      note.text = "x" + note.text;
      CLEARED_CHECK(!cosigned_at(note, witness));
    }
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt);
  }
  try {
    CLEARED_CHECK(format_verifier_key(parse_verifier_key(text)) == text);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt ||
                  error.code() == cleared::Errc::unsupported);
  }
  try {
    CLEARED_CHECK(format_signer_key(parse_signer_key(text)) == text);
  } catch (const cleared::Error& error) {
    CLEARED_CHECK(error.code() == cleared::Errc::corrupt ||
                  error.code() == cleared::Errc::unsupported);
  }
  return 0;
}
