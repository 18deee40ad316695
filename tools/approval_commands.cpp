#include "tools/approval_commands.h"

#include <charconv>
#include <cstdio>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/approval_proof.h"
#include "ledger/authority.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/permit.h"
#include "ledger/permit_lists.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "tools/cli.h"
#include "tools/ledger_commands.h"
#include "tools/output.h"
#include "tools/written.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

struct PolicyOptions {
  std::string ledger, key, out;
  std::vector<std::string> rules;
  bool json = false;
};

constexpr Policy::Act kActs[] = {Policy::APPROVE,   Policy::PERMIT,     Policy::REVOKE,
                                 Policy::ENROL_KEY, Policy::RETIRE_KEY, Policy::CHANGE_POLICY,
                                 Policy::ERASE,     Policy::REVIEW};

// "approve:approver:2"
void add_rule(Policy& policy, const std::string& text) {
  const size_t first = text.find(':'), second = text.rfind(':');
  Policy::Rule& rule = *policy.add_rule();
  uint32_t need = 0;
  const auto [end, problem] = std::from_chars(text.data() + std::min(second, text.size() - 1) + 1,
                                              text.data() + text.size(), need);
  bool known = false;
  for (const Policy::Act act : kActs) {
    if (text.substr(0, first) != act_word(act)) continue;
    rule.set_act(act);
    known = true;
  }
  if (!known || first == second || problem != std::errc() || end != text.data() + text.size()) {
    std::string acts;
    for (const Policy::Act act : kActs) acts += " " + act_word(act);
    throw Error(Errc::usage, "--rule ", text,
                ": write ACT:ROLE:COUNT, as in approve:approver:2; acts are", acts);
  }
  rule.set_role(text.substr(first + 1, second - first - 1));
  rule.set_need(need);
}

Json rules_of(const Policy* policy) {
  Json out = Json::array();
  for (int i = 0; policy != nullptr && i < policy->rule_size(); ++i) {
    const Policy::Rule& rule = policy->rule(i);
    out.push_back({{"act", act_word(rule.act())}, {"role", rule.role()}, {"need", rule.need()}});
  }
  return out;
}

void print_rules(const Policy* policy) {
  for (const Policy::Act act : kActs) {
    bool said = false;
    for (int i = 0; policy != nullptr && i < policy->rule_size(); ++i) {
      if (policy->rule(i).act() != act) continue;
      std::printf("  %s\n", describe(policy->rule(i)).c_str());
      said = true;
    }
    if (said) continue;
    const bool open = act == Policy::ENROL_KEY || act == Policy::RETIRE_KEY || act == Policy::ERASE;
    std::printf("  %s: no rule, %s\n", act_word(act).c_str(),
                open ? "whoever may append to the ledger may do it" : "one approver");
  }
}

int show_policy(const PolicyOptions& o) {
  const Store store(o.ledger, Access::read);
  const Policy* policy = store.authority().policy_at(store.size());
  if (o.json) {
    const Json out = {{"policies", to_json(read_table(store.db(),
                                                      "SELECT version, at, signers, seq AS record "
                                                      "FROM policy ORDER BY seq"))},
                      {"rules", rules_of(policy)}};
    print_json(out);
    return exit_ok;
  }
  Statement select(store.db(), "SELECT version, at, signers, seq FROM policy ORDER BY seq");
  while (select.next()) {
    std::printf("policy %s, of %s, signed by %s: record %s\n", select.text(0).c_str(),
                select.text(1).c_str(), select.text(2).c_str(), select.text(3).c_str());
  }
  std::printf("%s\n", policy == nullptr ? "no policy yet:" : "in force now:");
  print_rules(policy);
  return exit_ok;
}

int write_policy(const PolicyOptions& o) {
  if (o.key.empty() || o.out.empty()) {
    throw Error(Errc::usage, "policy: give --key to sign with and --out for the file");
  }
  const Store store(o.ledger, Access::read);
  PolicyText text;
  Policy& policy = *text.mutable_policy();
  policy.set_version(store.authority().policy_version(store.size()) + 1);
  policy.set_at(format_time(judging_time_us(store)));
  for (const std::string& rule : o.rules) add_rule(policy, rule);
  if (const auto problem = store.authority().problem_of(policy, store.size()); !problem.empty()) {
    throw Error(Errc::usage, "policy: ", problem);
  }
  Note note{format_textproto(text), {}};
  add_signature(note, read_signer_key(o.key));
  Written out(o.json);
  out.write(o.out, format_note(note));
  out["version"] = policy.version();
  out["rules"] = rules_of(&policy);
  out.say("%s: policy %u, to be signed by others with ledger sign, then appended\n", o.out.c_str(),
          policy.version());
  if (out.in_words()) print_rules(&policy);
  return exit_ok;
}

// --need N stands for the file's own line about approvers.
Trust trust_for_approval(const std::string& path, uint32_t need) {
  Trust trust = read_trust(path);
  if (need == 0) return trust;
  std::erase_if(trust.needs,
                [](const Trust::Need& n) { return n.act == "approve" && n.role == "approver"; });
  trust.needs.push_back({"approve", need, "approver"});
  return trust;
}

int approved(const std::string& path, const std::string& trust_path, uint32_t need, bool json) {
  constexpr uint64_t kMaxProofBytes = 4 << 20;
  const Trust trust = trust_for_approval(trust_path, need);
  const std::string text = read_file(path, kMaxProofBytes);
  const auto no = [&](std::string_view why) {
    if (json) {
      print_json(Json{{"approved", false}, {"why", why}});
      return exit_no;
    }
    std::printf("NOT APPROVED: %s: %s\n", printable(path).c_str(), printable(why).c_str());
    return exit_no;
  };
  ApprovalProof proof;
  try {
    proof = parse_approval_proof(text);
  } catch (const Error& error) {  // what does not parse proves nothing
    if (error.code() != Errc::corrupt) throw;
    return no(error.what());
  }
  const ApprovalAnswer answer = check_approval_proof(proof, trust);
  if (!answer.problem.empty()) return no(answer.problem);
  if (json) {
    print_json(Json{{"approved", true},
                    {"clip", to_hex(proof.sample.clip)},
                    {"sample", proof.sample.key},
                    {"digest", to_hex(proof.sample.digest)},
                    {"shard", to_hex(proof.shard)},
                    {"use", Use_Name(answer.approval.use())},
                    {"at", answer.approval.at()},
                    {"signers", answer.signers},
                    {"policy", answer.policy_version}});
    return exit_ok;
  }
  std::printf("approved: clip %s\n", to_hex(proof.sample.clip).c_str());
  std::printf("  sample %s, digest %s, number %llu of %llu of shard %s\n",
              printable(proof.sample.key).c_str(), to_hex(proof.sample.digest).c_str(),
              static_cast<unsigned long long>(proof.sample_index),
              static_cast<unsigned long long>(proof.samples), to_hex(proof.shard).c_str());
  std::printf("  for %s at %s by %s\n", Use_Name(answer.approval.use()).c_str(),
              printable(answer.approval.at()).c_str(), printable(joined(answer.signers)).c_str());
  if (answer.policy_version > 0) std::printf("  under policy %u\n", answer.policy_version);
  return exit_ok;
}

Fact retirement_of(const Store& store, const std::string& vkey) {
  const KnownKey* known = store.authority().find(vkey, store.size());
  if (known == nullptr) {
    throw Error(Errc::not_found, store.path().string(), ": has no key ", vkey, " in use");
  }
  Fact fact;
  fact.mutable_key()->set_name(known->key.name);
  fact.mutable_key()->set_role(known->role);
  fact.mutable_key()->set_vkey(vkey);
  fact.mutable_key()->set_retired(true);
  return fact;
}

// The older of two keys of a name: the newer one replaces it. `name` may be a verifier key, too.
const KnownKey& key_in_use(const Store& store, const std::string& name) {
  for (const KnownKey& known : store.authority().keys()) {
    if (known.valid_at(store.size()) &&
        (known.key.name == name || format_verifier_key(known.key) == name)) {
      return known;
    }
  }
  throw Error(Errc::not_found, store.path().string(), ": has no key ", name, " in use");
}

constexpr std::string_view kRetire = "retire ";

Fact signed_retirement(const Store& store, const std::string& note, const std::string& path) {
  const std::string text = parse_note(note, path).text;
  const size_t end = text.find('\n');
  if (!text.starts_with(kRetire) || end != text.size() - 1) {
    throw Error(Errc::corrupt, path, ": is not \"retire role vkey\" as a signed note");
  }
  const PublicKey key =
      parse_public_key(std::string_view(text).substr(kRetire.size(), end - kRetire.size()), path);
  Fact fact = retirement_of(store, format_verifier_key(key.key));
  fact.mutable_key()->set_note(note);
  return fact;
}

std::vector<Fact> signed_permit(const Store& store, const std::string& note,
                                const std::string& path) {
  PermitText text;
  parse_textproto(parse_note(note, path).text, path, text);
  Permit& permit = *text.mutable_permit();
  std::vector<std::string> lists;
  if (permit.has_lists()) {
    lists = read_lists(lists_path(path));
    join_lists(permit, lists);
  }
  std::vector<Fact> facts = permit_facts(note, lists);
  // The same permit again is no second one.
  if (store.find(subject_of(facts.back())->key).empty()) {
    check_permit(store, Rights(store), permit);
  }
  return facts;
}

}  // namespace

bool is_signed_kind(const std::string& extension) {
  return extension == ".permit" || extension == ".policy" || extension == ".revocation" ||
         extension == ".retirement";
}

std::vector<Fact> signed_facts(const Store& store, const std::string& path) {
  const std::string kind = fs::path(path).extension();
  const std::string note = read_file(path);
  if (kind == ".permit") return signed_permit(store, note, path);
  if (kind == ".retirement") return {signed_retirement(store, note, path)};
  Fact fact;
  if (kind == ".policy") {
    fact.mutable_policy()->set_note(note);
  } else {
    fact.mutable_revocation()->set_note(note);
  }
  return {fact};
}

std::vector<Fact> key_facts(const std::string& path) {
  const std::string text = read_file(path, 1 << 20);
  std::vector<PublicKey> keys;
  const bool endorsed = text.find("\n\n\u2014 ") != std::string::npos;
  if (endorsed) {
    const Note note = parse_note(text, path);
    keys.push_back(
        parse_public_key(std::string_view(note.text).substr(0, note.text.size() - 1), path));
  } else {
    keys = read_public_keys(path);
  }
  std::vector<Fact> facts;
  for (const PublicKey& key : keys) {
    if (key.role == "log" && !endorsed) continue;  // the log's own key is its first record
    KeyRecord& record = *facts.emplace_back().mutable_key();
    record.set_name(key.key.name);
    record.set_role(key.role);
    record.set_vkey(format_verifier_key(key.key));
    if (endorsed) record.set_note(text);
  }
  return facts;
}

int ledger_key_retire(const LedgerOptions& o) {
  Written out(o.json, o.dry_run);
  if (!o.out.empty() && !o.dry_run) {
    const Store store(o.ledger, Access::read);
    const KnownKey& known = key_in_use(store, o.name);
    Note note{std::string(kRetire) + format_public_key({known.role, known.key}) + "\n", {}};
    if (o.key.empty()) throw Error(Errc::usage, "key retire: give --key to sign --out with");
    add_signature(note, read_signer_key(o.key));
    out.write(o.out, format_note(note));
    out["key"] = format_verifier_key(known.key);
    out.say("%s: to be signed by others with ledger sign, then appended\n", o.out.c_str());
    return exit_ok;
  }
  Store store(o.ledger, Access::append);
  const Fact fact = retirement_of(store, format_verifier_key(key_in_use(store, o.name).key));
  out["key"] = fact.key().vkey();
  if (o.dry_run) return exit_ok;
  out.appended("key " + o.name + " retired", store.append({fact}));
  sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

int prove_approved(const std::string& ledger, const std::string& what, const std::string& use,
                   const std::string& path, bool json) {
  Use approved_for = INGEST;
  if (!Use_Parse(use, &approved_for) || !trains(approved_for)) {
    throw Error(Errc::usage, "prove: --use must be TRAIN, FINETUNE or DISTIL");
  }
  const Store store(ledger, Access::read);
  const uint64_t seq = find_record(store, what, {"clip", "sample"});
  const std::string text = format_approval_proof(prove_approval(store, seq, approved_for));
  Written out(json);
  out["record"] = seq;
  out.write(path, text);
  out.say("%s: proof that %s was approved, %zu bytes; ledger approved checks it\n", path.c_str(),
          what.c_str(), text.size());
  return exit_ok;
}

void add_approval_commands(CLI::App& app, std::function<int()>& run) {
  auto policy = std::make_shared<PolicyOptions>();
  CLI::App* show = app.add_subcommand("policy", "show who must sign what, or write a new policy");
  show->add_option("LEDGER", policy->ledger, "the ledger file")->required();
  show->add_option("--rule", policy->rules,
                   "ACT:ROLE:COUNT, once a rule: approve:approver:2, enrol-key:approver:2, ...");
  show->add_option("--key", policy->key, "an approver's private key, to sign the new policy with");
  show->add_option("--out", policy->out, "the new policy, NAME.policy, for others to sign");
  show->add_flag("--json", policy->json, "print JSON");
  show->callback([policy, &run] {
    run = [policy] {
      const bool writes = !policy->rules.empty() || !policy->key.empty() || !policy->out.empty();
      return writes ? write_policy(*policy) : show_policy(*policy);
    };
  });

  struct Approved {
    std::string file, trust;
    uint32_t need = 0;
    bool json = false;
  };
  auto a = std::make_shared<Approved>();
  CLI::App* check = app.add_subcommand("approved", "check a proof of approval, without the ledger");
  check->add_option("FILE", a->file, "made by ledger prove --approval")->required();
  check
      ->add_option("--trust", a->trust, "public keys, \"role vkey\" lines, and what they must meet")
      ->required();
  check->add_option("--need", a->need, "how many different approvers must have signed")
      ->check(CLI::PositiveNumber);
  check->add_flag("--json", a->json, "print JSON");
  check->callback(
      [a, &run] { run = [a] { return approved(a->file, a->trust, a->need, a->json); }; });
}

}  // namespace cleared::tools
