#include "ledger/attestation.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "ledger/base/error.h"
#include "ledger/digest.h"

namespace cleared::ledger {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kStatementType = "https://in-toto.io/Statement/v1";

// What is signed: lengths keep payload and type apart.
std::string pre_authentication_encoding(std::string_view type, std::string_view payload) {
  std::ostringstream out;
  out << "DSSEv1 " << type.size() << ' ' << type << ' ' << payload.size() << ' ' << payload;
  return std::move(out).str();
}

std::string key_id(const VerifierKey& key) {
  const std::string text = format_verifier_key(key);  // name+id+base64
  return text.substr(0, text.find('+', text.find('+') + 1));
}

Json files_to_json(const std::vector<TrainingStatement::File>& files) {
  Json out = Json::array();
  for (const auto& file : files) {
    out.push_back({{"name", file.name}, {"digest", {{"sha256", to_hex(file.digest)}}}});
  }
  return out;
}

Digest digest_at(const Json& json, const char* name) {
  const auto digest = parse_digest(json.at(name).get<std::string>());
  if (!digest) throw Error(Errc::corrupt, "statement: ", name, " is not 64 hex digits");
  return *digest;
}

// nlohmann would wrap -1 and cut 1.5: other readers of the same statement would see another number.
template <class Number>
Number number_at(const Json& json, const char* name) {
  const Json& value = json.at(name);
  if (!value.is_number_unsigned() || value.get<uint64_t>() > std::numeric_limits<Number>::max()) {
    throw Error(Errc::corrupt, "statement: ", name, " is not a whole number from 0 in range");
  }
  return value.get<Number>();
}

std::vector<TrainingStatement::File> files_from_json(const Json& json) {
  std::vector<TrainingStatement::File> out;
  for (const Json& file : json) {
    out.push_back({file.at("name").get<std::string>(), digest_at(file.at("digest"), "sha256")});
  }
  return out;
}

// nlohmann's exceptions, in the words of this project.
template <class Body>
auto reading(std::string_view what, Body body) {
  try {
    return body();
  } catch (const nlohmann::json::exception& error) {
    throw Error(Errc::corrupt, what, ": ", error.what());
  }
}

std::string bytes_at(const Json& json, const char* name) {
  const auto bytes = parse_base64(json.at(name).get<std::string>());
  if (!bytes) throw Error(Errc::corrupt, "envelope: ", name, " is not base64");
  return *bytes;
}

}  // namespace

std::string format_statement(const TrainingStatement& s) {
  Json predicate = {
      {"run", s.run},
      {"step", s.step},
      {"seed", s.seed},
      {"ranks", s.ranks},
      {"threadsPerRank", s.threads},
      {"codeVersion", s.code_version},
      {"machine", s.machine},
      {"config", {{"sha256", to_hex(s.config)}}},
      {"permit", {{"sha256", to_hex(s.permit)}}},
      {"treeHead",
       {{"origin", s.tree_head.origin},
        {"size", s.tree_head.size},
        {"sha256", to_hex(s.tree_head.root)}}},
      {"receipt", {{"sha256", to_hex(s.receipt)}}},
      {"stepsRoot", {{"sha256", to_hex(s.steps_root)}}},
      {"parent", s.parent},
      {"autoencoder", s.vae},
      {"foreignWeights", files_to_json(s.foreign_weights)},
  };
  if (!s.text_encoder.empty()) predicate["textEncoder"] = s.text_encoder;
  const Json statement = {{"_type", kStatementType},
                          {"subject", files_to_json(s.subjects)},
                          {"predicateType", kTrainingPredicateType},
                          {"predicate", predicate}};
  return statement.dump();
}

TrainingStatement parse_statement(std::string_view text) {
  return reading("statement", [&] {
    const Json json = Json::parse(text);
    if (json.at("_type") != kStatementType || json.at("predicateType") != kTrainingPredicateType) {
      throw Error(Errc::corrupt, "statement: is not of the type ", kTrainingPredicateType);
    }
    const Json& p = json.at("predicate");
    const Json& head = p.at("treeHead");
    TrainingStatement s;
    s.subjects = files_from_json(json.at("subject"));
    s.run = p.at("run").get<std::string>();
    s.step = number_at<uint64_t>(p, "step");
    s.seed = number_at<uint64_t>(p, "seed");
    s.ranks = number_at<uint32_t>(p, "ranks");
    s.threads = number_at<uint32_t>(p, "threadsPerRank");
    s.code_version = p.at("codeVersion").get<std::string>();
    s.machine = p.at("machine").get<std::string>();
    s.config = digest_at(p.at("config"), "sha256");
    s.permit = digest_at(p.at("permit"), "sha256");
    s.tree_head = {head.at("origin").get<std::string>(), number_at<uint64_t>(head, "size"),
                   digest_at(head, "sha256")};
    s.receipt = digest_at(p.at("receipt"), "sha256");
    s.steps_root = digest_at(p.at("stepsRoot"), "sha256");
    s.parent = p.at("parent").get<std::string>();
    s.vae = p.value("autoencoder", "");  // statements of before have none
    s.text_encoder = p.value("textEncoder", "");
    s.foreign_weights = files_from_json(p.at("foreignWeights"));
    if (s.subjects.empty()) throw Error(Errc::corrupt, "statement: has no subject");
    return s;
  });
}

std::string seal_envelope(std::string_view payload_type, std::string_view payload,
                          const SignerKey& key) {
  if (key.verifier.type != SignatureType::ed25519) {
    throw Error(Errc::usage, "envelope: key ", key.verifier.name,
                " of a witness signs tree heads only");
  }
  const std::string signature =
      sign_bytes(as_bytes(pre_authentication_encoding(payload_type, payload)), key);
  return format_envelope(
      {std::string(payload_type), std::string(payload), {{key_id(key.verifier), signature}}});
}

std::string format_envelope(const Envelope& envelope) {
  Json signatures = Json::array();
  for (const auto& [id, signature] : envelope.signatures) {
    signatures.push_back({{"keyid", id}, {"sig", to_base64(as_bytes(signature))}});
  }
  const Json json = {{"payload", to_base64(as_bytes(envelope.payload))},
                     {"payloadType", envelope.payload_type},
                     {"signatures", signatures}};
  return json.dump() + "\n";
}

Envelope parse_envelope(std::string_view text) {
  return reading("envelope", [&] {
    const Json json = Json::parse(text);
    Envelope out;
    out.payload_type = json.at("payloadType").get<std::string>();
    out.payload = bytes_at(json, "payload");
    for (const Json& s : json.at("signatures")) {
      out.signatures.push_back({s.at("keyid").get<std::string>(), bytes_at(s, "sig")});
    }
    return out;
  });
}

bool signed_by(const Envelope& envelope, const VerifierKey& key) {
  if (key.type != SignatureType::ed25519) return false;
  const std::string message = pre_authentication_encoding(envelope.payload_type, envelope.payload);
  for (const auto& s : envelope.signatures) {
    if (s.key_id == key_id(key) && verify_bytes(as_bytes(message), s.signature, key)) return true;
  }
  return false;
}

}  // namespace cleared::ledger
