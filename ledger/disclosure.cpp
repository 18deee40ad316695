#include "ledger/disclosure.h"

#include <algorithm>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "ledger/base/check.h"
#include "ledger/base/error.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/projection.h"
#include "ledger/proof_lines.h"

namespace cleared::ledger {
namespace {

constexpr std::string_view kDisclosureHeader = "cleared disclosure v1";

void collect_fields(const google::protobuf::Message& message, const std::string& path,
                    std::vector<LicenceField>& out) {
  using google::protobuf::FieldDescriptor;
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  // An empty message may mean something by being there.
  if (fields.empty() && !path.empty()) out.push_back({path, "{}"});
  google::protobuf::TextFormat::Printer printer;
  for (const FieldDescriptor* field : fields) {
    const std::string name = (path.empty() ? "" : path + ".") + field->name();
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      const std::string at = field->is_repeated() ? name + "[" + std::to_string(i) + "]" : name;
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        collect_fields(field->is_repeated() ? reflection.GetRepeatedMessage(message, field, i)
                                            : reflection.GetMessage(message, field),
                       at, out);
      } else {
        std::string value;
        printer.PrintFieldValueToString(message, field, field->is_repeated() ? i : -1, &value);
        out.push_back({at, value});
      }
    }
  }
}

Digest field_leaf(const LicenceField& field, const Digest& salt) {
  std::string bytes(salt.text());
  bytes.append(field.path).append(1, '\0').append(field.value);
  return leaf_digest(as_bytes(bytes));
}

std::vector<Digest> field_leaves(std::string_view master, const std::vector<LicenceField>& fields) {
  std::vector<Digest> leaves;
  for (const LicenceField& field : fields) {
    leaves.push_back(field_leaf(field, field_salt(master, field.path)));
  }
  return leaves;
}

Digest disclosed_root(const Disclosure& d) {
  Digest digest = field_leaf(d.field, d.salt);
  for (const auto& sibling : d.siblings) {
    digest =
        sibling.left ? node_digest(sibling.digest, digest) : node_digest(digest, sibling.digest);
  }
  return digest;
}

[[noreturn]] void refuse_disclosure(std::string_view why) {
  throw Error(Errc::corrupt, "disclosure: ", why);
}

}  // namespace

std::vector<LicenceField> licence_fields(const LicenceText& terms) {
  std::vector<LicenceField> fields;
  collect_fields(terms, "", fields);
  std::sort(fields.begin(), fields.end(),
            [](const LicenceField& a, const LicenceField& b) { return a.path < b.path; });
  return fields;
}

Digest field_salt(std::string_view master, std::string_view path) {
  Digest out;
  unsigned int size = 0;
  const unsigned char* done = HMAC(EVP_sha256(), master.data(), static_cast<int>(master.size()),
                                   reinterpret_cast<const unsigned char*>(path.data()), path.size(),
                                   reinterpret_cast<unsigned char*>(out.bytes.data()), &size);
  CLEARED_CHECK(done != nullptr && size == out.bytes.size());
  return out;
}

Digest fields_root(std::string_view master, const LicenceText& terms) {
  return root_digest(field_leaves(master, licence_fields(terms)));
}

Digest document_digest(std::string_view master, std::string_view note) {
  return sha256({field_salt(master, "").bytes, as_bytes(note)});
}

LicenceRecord licence_record(std::string_view master, std::string_view note,
                             const LicenceText& terms) {
  const Licence& licence = terms.licence();
  LicenceRecord record;
  record.set_id(licence.id());
  record.set_version(licence.version());
  record.set_supersedes(licence.supersedes());
  record.set_licensor(licence.licensor());
  record.set_licensee(licence.licensee());
  record.set_valid_from(licence.valid_from());
  record.set_valid_to(licence.valid_to());
  record.set_attribution(terms.output().attribution());
  record.set_document_digest(std::string(document_digest(master, note).text()));
  record.set_fields_root(std::string(fields_root(master, terms).text()));
  return record;
}

Disclosure disclose_field(std::string_view master, const LicenceText& terms,
                          std::string_view path) {
  const std::vector<LicenceField> fields = licence_fields(terms);
  const auto found = std::find_if(fields.begin(), fields.end(),
                                  [&](const LicenceField& field) { return field.path == path; });
  if (found == fields.end()) {
    throw Error(Errc::not_found, "disclose ", licence_ref(terms), ": its document sets no field ",
                path, "; --list shows those that it sets");
  }
  const auto index = static_cast<uint64_t>(found - fields.begin());
  const std::vector<Digest> leaves = field_leaves(master, fields);
  Disclosure out;
  out.field = *found;
  out.salt = field_salt(master, path);
  const auto ranges = inclusion_path(index, leaves.size());
  const auto digests = inclusion_proof(leaves, index);
  for (size_t i = 0; i < ranges.size(); ++i) {
    out.siblings.push_back({ranges[i].begin < index, digests[i]});
  }
  return out;
}

std::string format_disclosure(const Disclosure& d) {
  std::string out(kDisclosureHeader);
  out += "\nfield " + d.field.path + "\nvalue " + d.field.value + "\nsalt " +
         to_base64(d.salt.bytes) + "\n";
  for (const auto& sibling : d.siblings) {
    out += (sibling.left ? "left " : "right ") + to_base64(sibling.digest.bytes) + "\n";
  }
  return out + "record " + to_base64(as_bytes(d.record)) + "\n\n" + format_tlog_proof(d.proof);
}

Disclosure parse_disclosure(std::string_view text) {
  Disclosure out;
  FieldLines lines(text, "disclosure");
  if (lines.line() != kDisclosureHeader)
    lines.bad("is not \"" + std::string(kDisclosureHeader) + "\"");
  out.field.path = lines.value("field");
  out.field.value = lines.value("value");
  out.salt = lines.digest("salt");
  while (lines.next_is("left") || lines.next_is("right")) {
    const bool left = lines.next_is("left");
    out.siblings.push_back({left, lines.digest(left ? "left" : "right")});
  }
  out.record = lines.bytes("record");
  if (!lines.line().empty()) lines.bad("is not empty");
  out.proof = parse_tlog_proof(lines.rest());
  if (out.proof.extra) refuse_disclosure("its tlog-proof has extra data, which nobody signed");
  return out;
}

DisclosedField verify_disclosure(const Disclosure& disclosure, const VerifierKey& log_key) {
  DisclosedField out;
  if (!verify_tlog_proof(disclosure.proof, as_bytes(disclosure.record), log_key)) {
    refuse_disclosure("the record is not under a tree head that " + log_key.name + " signed");
  }
  out.head = parse_tree_head(parse_note(disclosure.proof.head).text);
  const RecordView view = parse_record(disclosure.record);
  Fact fact;
  if (!fact.ParseFromArray(view.fact.data(), static_cast<int>(view.fact.size())) ||
      !fact.has_licence()) {
    refuse_disclosure("the record is of no licence");
  }
  out.licence = fact.licence();
  if (out.licence.fields_root() != disclosed_root(disclosure).text()) {
    refuse_disclosure(
        "the licence on record has no such field: salt and siblings do not give its root");
  }
  out.field = disclosure.field;
  out.seq = disclosure.proof.index;
  out.at_us = view.at_us;
  return out;
}

}  // namespace cleared::ledger
