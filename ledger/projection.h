// The tables of a ledger as a function of its log, and of nothing else: appending and verifying
// call the same project(), so an edited row cannot agree with the log. One thread per database.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ledger/note.h"
#include "ledger/record.pb.h"
#include "ledger/sqlite.h"

namespace cleared::ledger {

// The longest record that C2SP tlog-tiles can carry.
constexpr size_t kMaxRecordBytes = 65535;

// "licence", "source", ...: the name of the kind's table. Error{unsupported} for a kind that this
// build does not know.
std::string kind_name(const Fact& fact);

// Digest of the serialised fact: the same fact twice is one record.
Digest fact_identity(std::string_view fact_bytes);

// Adds what record `seq` says to the tables. Throws Error naming the record: corrupt when it does
// not parse or does not fit what came before, permission when a note is not signed by the key that
// its kind asks for.
void project(const Database& db, uint64_t seq, std::string_view record_bytes);

// Names the first key of this role that signed and is not retired; Error{permission} when none did.
// `name` empty: any key of the role.
std::string require_signer(const Database& db, const Note& note, std::string_view role,
                           std::string_view name, std::string_view what);

// Every key of these roles that is not retired.
std::vector<VerifierKey> keys_of(const Database& db, std::string_view role);

}  // namespace cleared::ledger
