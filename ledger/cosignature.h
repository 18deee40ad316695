// Cosignatures: a witness says when it saw a tree head, and that it grew out of all heads of that
// log it saw before. C2SP tlog-cosignature (https://c2sp.org/tlog-cosignature), the Ed25519 kind,
// key type 04; docs/formats/cosignature.md. Pure: the witness's memory is elsewhere. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "ledger/note.h"

namespace cleared::ledger {

constexpr uint64_t kLastCosignatureTime = (uint64_t{1} << 63) - 1;  // seconds, of the specification

// Signs "cosignature/v1\ntime SECONDS\n" and the text. `unix_seconds` since 1970, at most
// kLastCosignatureTime. Error{usage} for a key of another type or a later time; Error{corrupt} when
// the text is no tree head, for a witness must sign nothing else.
NoteSignature cosign(std::string_view note_text, const SignerKey& key, uint64_t unix_seconds);

// When this witness cosigned, in seconds since 1970: the latest of its lines. Nothing when there is
// no line of this key, one of them does not verify, the key is of another type, or the text is no
// tree head. A time in the future is for the caller to judge.
[[nodiscard]] std::optional<uint64_t> cosigned_at(const Note& note, const VerifierKey& key);

}  // namespace cleared::ledger
