#include "ledger/authority.h"

#include <algorithm>
#include <sstream>

#include "ledger/base/error.h"

namespace cleared::ledger {
namespace {

void sort_unique(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

[[noreturn]] void refuse(const Note& note, std::string_view what, const std::string& wanted) {
  std::ostringstream lines;
  for (const NoteSignature& s : note.signatures) lines << ' ' << s.name;
  throw Error(Errc::permission, what, ": not signed by ", wanted,
              " whose key is in the ledger and not retired (signature lines:", lines.str(), ")");
}

}  // namespace

void Authority::add(uint64_t seq, const KeyRecord& record) {
  if (record.retired()) {
    for (KnownKey& known : keys_) {
      if (format_verifier_key(known.key) == record.vkey()) known.retired_seq = seq;
    }
    return;
  }
  keys_.push_back({parse_verifier_key(record.vkey()), record.role(), seq, UINT64_MAX});
}

void Authority::add(uint64_t seq, const Policy& policy) {
  policies_.emplace_back(seq, policy);
}

std::vector<std::string> Authority::signers(const Note& note, std::string_view role, uint64_t seq,
                                            std::string_view name) const {
  std::vector<std::string> names;
  for (const KnownKey& known : keys_) {
    if ((!role.empty() && known.role != role) || !known.valid_at(seq)) continue;
    if (!name.empty() && known.key.name != name) continue;
    if (signed_by(note, known.key)) names.push_back(known.key.name);
  }
  sort_unique(names);
  return names;
}

std::vector<std::string> Authority::signers(const Envelope& envelope, std::string_view role,
                                            uint64_t seq) const {
  std::vector<std::string> names;
  for (const KnownKey& known : keys_) {
    if ((!role.empty() && known.role != role) || !known.valid_at(seq)) continue;
    if (signed_by(envelope, known.key)) names.push_back(known.key.name);
  }
  sort_unique(names);
  return names;
}

const Policy* Authority::policy_at(uint64_t seq) const {
  const Policy* found = nullptr;
  for (const auto& [from, policy] : policies_) {
    if (from < seq) found = &policy;
  }
  return found;
}

uint32_t Authority::policy_version(uint64_t seq) const {
  const Policy* policy = policy_at(seq);
  return policy == nullptr ? 0 : policy->version();
}

bool Authority::has_rule(Policy::Act act, uint64_t seq) const {
  const Policy* policy = policy_at(seq);
  return policy != nullptr && std::any_of(policy->rule().begin(), policy->rule().end(),
                                          [&](const auto& rule) { return rule.act() == act; });
}

std::vector<Authority::Need> Authority::needs(Policy::Act act, uint64_t seq) const {
  std::vector<Need> out;
  if (const Policy* policy = policy_at(seq)) {
    for (const auto& rule : policy->rule()) {
      if (rule.act() == act) out.push_back({rule.role(), rule.need()});
    }
  }
  if (out.empty()) out.push_back({"approver", 1});
  return out;
}

std::vector<std::string> Authority::require(const Note& note, Policy::Act act, uint64_t seq,
                                            std::string_view what) const {
  std::vector<std::string> all;
  for (const Need& need : needs(act, seq)) {
    const auto names = signers(note, need.role, seq);
    if (names.size() < need.count) {
      refuse(note, what,
             need.count == 1 ? "any " + need.role
                             : std::to_string(need.count) + " different names of role " +
                                   need.role + " (it has " + std::to_string(names.size()) + ")");
    }
    all.insert(all.end(), names.begin(), names.end());
  }
  sort_unique(all);
  return all;
}

std::vector<std::string> Authority::require(const Note& note, std::string_view role,
                                            std::string_view name, uint64_t seq,
                                            std::string_view what) const {
  auto names = signers(note, role, seq, name);
  if (names.empty()) {
    refuse(
        note, what,
        name.empty() ? "any " + std::string(role) : std::string(name) + " as " + std::string(role));
  }
  return names;
}

std::vector<VerifierKey> Authority::keys_of(std::string_view role, uint64_t seq) const {
  std::vector<VerifierKey> out;
  for (const KnownKey& known : keys_) {
    if (known.role == role && known.valid_at(seq)) out.push_back(known.key);
  }
  return out;
}

const KnownKey* Authority::find(std::string_view vkey, uint64_t seq) const {
  for (const KnownKey& known : keys_) {
    if (known.valid_at(seq) && format_verifier_key(known.key) == vkey) return &known;
  }
  return nullptr;
}

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

}  // namespace cleared::ledger
