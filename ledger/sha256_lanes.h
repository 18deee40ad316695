// SHA-256 (FIPS 180-4) of many messages at once. One message keeps the processor's SHA unit waiting
// for itself; two side by side fill it, and sixteen in the registers of AVX-512 are quicker still
// (docs/design/0007-fast-verify.md has the numbers). With what this machine has of both; without
// the SHA extensions of x86-64 by OpenSSL, one after the other. Pure; any thread.
#pragma once

#include <optional>
#include <span>

#include "ledger/base/bytes.h"

namespace cleared::ledger {

// The digests of prefix || message, in their order, or of the messages alone. `out` has as many
// places as there are messages, and may lie over none of them.
void sha256_each(std::optional<std::byte> prefix, std::span<const ByteView> messages,
                 std::span<Digest> out);

// Does this machine have what makes it fast? For tests and benchmarks.
bool has_sha256_lanes();

}  // namespace cleared::ledger
