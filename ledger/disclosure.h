// Confidential fields of a licence, disclosed one at a time (docs/formats/disclosure.md).
//
// A licence's document stays outside the log, with a master salt of 32 random bytes. The log holds
// two digests: of the whole document, and the Merkle root (RFC 6962) over its fields, one leaf a
// field, sorted by path. Each leaf has a salt of its own, HMAC-SHA256(master, path), so that
// handing one out lets nobody guess another field; the master salt itself goes to nobody.
//
// A disclosure is one text file: field, salt, siblings, the licence's record and that record's
// proof under a signed tree head. Pure; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ledger/base/bytes.h"
#include "ledger/licence.pb.h"
#include "ledger/note.h"
#include "ledger/record.pb.h"
#include "ledger/tlog_proof.h"
#include "ledger/tree_head.h"

namespace cleared::ledger {

struct LicenceField {
  std::string path;   // "pay[0].rate_micros"; elements of a repeated field count from 0
  std::string value;  // as protobuf's text format prints it, in ASCII on one line; "{}" for nothing
  bool operator==(const LicenceField&) const = default;
};
// Every field that is set, sorted by the bytes of its path.
std::vector<LicenceField> licence_fields(const LicenceText& terms);

// HMAC-SHA256(master, path).
Digest field_salt(std::string_view master, std::string_view path);
// Root over leaves salt || path || 0x00 || value.
Digest fields_root(std::string_view master, const LicenceText& terms);
// SHA-256(field_salt of the empty path || the signed note): how the log knows a document that it
// does not hold.
Digest document_digest(std::string_view master, std::string_view note);
// What the log says of a licence whose parties signed `note` with these terms in it.
LicenceRecord licence_record(std::string_view master, std::string_view note,
                             const LicenceText& terms);

struct Disclosure {
  LicenceField field;
  Digest salt;
  struct Sibling {
    bool left = false;  // it stands left of what has been hashed so far
    Digest digest;
  };
  std::vector<Sibling> siblings;  // nearest to the leaf first
  std::string record;             // of the licence: the bytes in the log
  TlogProof proof;                // of that record, without extra data
};

// The part that needs the document: field, salt and siblings. Error{not_found} when the document
// does not set a field of this path.
Disclosure disclose_field(std::string_view master, const LicenceText& terms, std::string_view path);

// Error{corrupt} with the line unless `text` is exactly what format_disclosure writes.
Disclosure parse_disclosure(std::string_view text);
std::string format_disclosure(const Disclosure& disclosure);

// What a disclosure says, once verified.
struct DisclosedField {
  LicenceField field;
  LicenceRecord licence;
  uint64_t seq = 0;  // of the licence's record
  uint64_t at_us = 0;
  TreeHead head;
};
// Error{corrupt} saying what is wrong unless `log_key` signed a tree head that has the record, and
// the record has the field.
DisclosedField verify_disclosure(const Disclosure& disclosure, const VerifierKey& log_key);

}  // namespace cleared::ledger
