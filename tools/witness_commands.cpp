#include "tools/witness_commands.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <optional>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <pthread.h>
#include <unistd.h>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/log.h"
#include "ledger/key.h"
#include "ledger/projection.h"
#include "ledger/store.h"
#include "ledger/tree.h"
#include "ledger/witness.h"
#include "ledger/witness_policy.h"
#include "tools/cli.h"
#include "tools/gather.h"
#include "tools/http.h"
#include "tools/written.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

// Verifier keys as text, or files of public keys with the role log.
std::vector<VerifierKey> log_keys(const std::vector<std::string>& words) {
  std::vector<VerifierKey> out;
  for (const std::string& word : words) {
    if (!fs::exists(word)) {
      out.push_back(parse_verifier_key(word));
      continue;
    }
    for (const PublicKey& key : read_public_keys(word)) {
      if (key.role != "log") {
        throw Error(Errc::usage, word, ": holds the key of a ", key.role, ", not of a log");
      }
      out.push_back(key.key);
    }
  }
  return out;
}

struct Address {
  std::string host;
  int port = 0;
};

// "host:port", "[::1]:port".
Address parse_address(const std::string& text) {
  const size_t colon = text.rfind(':');
  Address out;
  const char* end = text.data() + text.size();
  const bool formed = colon != std::string::npos && colon > 0 && colon + 1 < text.size();
  const auto parsed =
      formed ? std::from_chars(text.data() + colon + 1, end, out.port) : std::from_chars_result{};
  if (!formed || parsed.ec != std::errc() || parsed.ptr != end || out.port < 0 ||
      out.port > 65535) {
    throw Error(Errc::usage, "--listen ", text, ": must be ADDRESS:PORT, as 127.0.0.1:8080");
  }
  out.host = text.substr(0, colon);
  if (out.host.front() == '[' && out.host.back() == ']') {
    out.host = out.host.substr(1, out.host.size() - 2);
  }
  return out;
}

void add_logs(WitnessState& state, const std::vector<VerifierKey>& keys, Written& out) {
  for (const VerifierKey& key : keys) {
    const bool added = state.add_log(key);
    out["logs"].push_back({{"key", format_verifier_key(key)}, {"added", added}});
    out.say("log %s: %s\n", printable(key.name).c_str(), added ? "added" : "known already");
  }
}

// What a command line names for ever must not bring back what its owner removed.
std::vector<VerifierKey> without_removed(const WitnessState& state, std::vector<VerifierKey> keys,
                                         Written& out) {
  std::erase_if(keys, [&](const VerifierKey& key) {
    const auto removed = state.removed_keys(key.name);
    if (std::find(removed.begin(), removed.end(), key) == removed.end()) return false;
    out["logs"].push_back({{"key", format_verifier_key(key)}, {"removed", true}});
    out.say("log %s: %s was removed, and is not added\n", printable(key.name).c_str(),
            format_verifier_key(key).c_str());
    return true;
  });
  return keys;
}

void log_answer(const Witness::Answered& answered) {
  const int status = answered.answer.status;
  if (status == 200) {
    log(Level::info, "witness.cosigned", {{"log", answered.origin}, {"size", answered.size}});
  } else if (answered.origin.empty()) {
    log(Level::warn, "witness.refused", {{"status", status}, {"why", answered.why}});
  } else {
    // That somebody asks from another size than ours is how he learns ours.
    log(answered.fork   ? Level::error
        : status == 409 ? Level::info
                        : Level::warn,
        answered.fork ? "witness.fork" : "witness.refused",
        {{"status", status},
         {"log", answered.origin},
         {"size", answered.size},
         {"why", answered.why}});
  }
}

// Serves a witness until SIGTERM or SIGINT, or until its state fails.
class WitnessService {
 public:
  explicit WitnessService(Witness& witness) : witness_(witness) {}

  HttpAnswer operator()(const HttpRequest& request) {
    if (request.path != "/add-checkpoint") return {404, "text/plain", "not found\n"};
    if (request.method != "POST") return {405, "text/plain", "use POST\n"};
    try {
      Witness::Answered answered = witness_.answer(request.body);
      log_answer(answered);
      return {answered.answer.status, answered.answer.content_type,
              std::move(answered.answer.body)};
    } catch (const Error& error) {
      if (error.code() != Errc::busy) end(error);
      throw;
    }
  }

  // The error that ended the service, when one did.
  std::optional<Error> error() {
    const std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  // Without its memory a witness must not go on; whoever restarts it sees the exit code.
  void end(const Error& error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = error;
    ::kill(::getpid(), SIGTERM);
  }
  Witness& witness_;
  std::mutex mutex_;
  std::optional<Error> error_;
};

// Threads started from here on leave these signals to the one that waits for them.
sigset_t block_ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

nlohmann::ordered_json to_json(const WitnessState& state, const std::string& origin) {
  nlohmann::ordered_json json = {{"origin", origin}, {"keys", nlohmann::json::array()}};
  for (const VerifierKey& key : state.log_keys(origin)) {
    json["keys"].push_back(format_verifier_key(key));
  }
  json["removed_keys"] = nlohmann::json::array();
  for (const VerifierKey& key : state.removed_keys(origin)) {
    json["removed_keys"].push_back(format_verifier_key(key));
  }
  const auto newest = state.newest(origin);
  json["size"] = newest ? newest->head.size : 0;
  if (newest) {
    json["root"] = to_hex(newest->head.root);
    json["cosigned_at"] = format_time(newest->cosigned_at * 1'000'000);
    json["note"] = format_note(newest->note);
  }
  json["conflicts"] = nlohmann::json::array();
  for (const Note& note : state.conflicts(origin)) {
    json["conflicts"].push_back(format_note(note));
  }
  return json;
}

ConsistencyProver prover(const Store& store) {
  return [&store](uint64_t old_size, uint64_t new_size) {
    return Tree(store.db()).consistency_proof(old_size, new_size);
  };
}

}  // namespace

int witness_init(const WitnessOptions& o) {
  const SignerKey key = read_signer_key(o.key);
  const std::string vkey = format_verifier_key(key.verifier);
  WitnessState::create(o.state, key.verifier);
  Written out(o.json);
  out["state"] = o.state;
  out["witness"] = vkey;
  out.say("witness %s: knows no log yet; add one with ledger witness add-log\n", vkey.c_str());
  return exit_ok;
}

int witness_add_log(const WitnessOptions& o) {
  const std::vector<VerifierKey> keys = log_keys(o.logs);
  WitnessState state(o.state, Access::append);
  Written out(o.json);
  add_logs(state, keys, out);
  return exit_ok;
}

int witness_remove_log(const WitnessOptions& o) {
  const std::vector<VerifierKey> keys = log_keys(o.logs);
  WitnessState state(o.state, Access::append);
  Written out(o.json);
  for (const VerifierKey& key : keys) {
    state.remove_log(key);
    out["logs"].push_back({{"key", format_verifier_key(key)}, {"removed", true}});
    out.say("log %s: %s counts no more\n", printable(key.name).c_str(),
            format_verifier_key(key).c_str());
  }
  return exit_ok;
}

int witness_serve(const WitnessOptions& o) {
  const Address address = parse_address(o.listen);
  const std::vector<VerifierKey> keys = log_keys(o.logs);
  const SignerKey key = read_signer_key(o.key);
  const sigset_t signals = block_ending_signals();
  Witness witness(o.state, key);
  std::optional<Written> out(std::in_place, o.json);
  {
    WitnessState state(o.state, Access::append);
    add_logs(state, without_removed(state, keys, *out), *out);
  }
  WitnessService service(witness);
  {
    const HttpServer server(address.host, address.port,
                            [&](const HttpRequest& request) { return service(request); });
    const std::string url =
        "http://" + o.listen.substr(0, o.listen.rfind(':')) + ":" + std::to_string(server.port());
    (*out)["witness"] = format_verifier_key(witness.key());
    (*out)["listening"] = url;
    out->say("witness %s\nlistening on %s\n", format_verifier_key(witness.key()).c_str(),
             url.c_str());
    out.reset();  // is told before it serves
    std::fflush(stdout);
    int signal = 0;
    sigwait(&signals, &signal);
    log(Level::info, "witness.stopping", {{"signal", signal}});
  }
  if (const auto error = service.error()) throw Error(*error);
  return exit_ok;
}

int witness_status(const WitnessOptions& o) {
  const WitnessState state(o.state, Access::append);
  nlohmann::ordered_json json = {{"witness", format_verifier_key(state.witness())},
                                 {"logs", nlohmann::json::array()}};
  bool forked = false;
  for (const std::string& origin : state.origins()) {
    json["logs"].push_back(to_json(state, origin));
    forked |= !json["logs"].back()["conflicts"].empty();
  }
  if (o.json) {
    std::cout << json.dump(2) << '\n';
    return forked ? exit_no : exit_ok;
  }
  std::cout << "witness " << format_verifier_key(state.witness()) << '\n';
  for (const auto& one : json["logs"]) {
    std::cout << "log " << printable(one["origin"].get<std::string>()) << ": " << one["size"]
              << " records";
    if (one.contains("cosigned_at")) {
      std::cout << ", cosigned at " << one["cosigned_at"].get<std::string>();
    }
    std::cout << '\n';
    for (const auto& note : one["conflicts"]) {
      std::cout << "IT SHOWS TWO HISTORIES. Cosigned:\n"
                << printable_lines(one["note"].get<std::string>()) << "also signed by the log:\n"
                << printable_lines(note.get<std::string>());
    }
  }
  return forked ? exit_no : exit_ok;
}

int witness_add_policy(const WitnessOptions& o) {
  const std::string file = read_file(o.file, kMaxPolicyBytes);
  const bool is_note = file.find("\n\n\u2014 ") != std::string::npos;
  const std::string text = is_note ? parse_note(file, o.file).text : file;
  Store store(o.ledger, Access::append);
  const WitnessPolicy policy = policy_about(store, text, o.file);
  if (!is_utf8(file)) throw Error(Errc::corrupt, o.file, ": is not UTF-8, and a record must be");
  Fact fact;
  fact.mutable_witness_policy()->set_text(text);
  if (is_note) fact.mutable_witness_policy()->set_signatures(file.substr(text.size() + 1));
  const Store::Appended appended = store.append({fact});
  const size_t count = policy.witnesses.size();
  Written out(o.json);
  out.record("witness policy", appended);
  out["witnesses"] = count;
  out["quorum"] = policy.quorum;
  out.say("witness policy of %zu witness%s, quorum %s: %s %llu\n", count, count == 1 ? "" : "es",
          policy.quorum.c_str(), appended.added == 1 ? "record" : "in the ledger already;",
          static_cast<unsigned long long>(store.find(subject_of(fact)->key).back()));
  sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

int witness_ask(const WitnessOptions& o) {
  const Store store(o.ledger, Access::read);
  const std::optional<WitnessPolicy> policy = policy_for(store, o.policy);
  if (!policy) {
    throw Error(Errc::not_found, o.ledger,
                ": holds no witness policy; add one with ledger witness add-policy, or give "
                "--policy");
  }
  const std::string head = store.newest_head_note();
  if (head.empty()) {
    throw Error(Errc::not_found, o.ledger, ": has no signed tree head; run ledger sign-head");
  }
  const Gathered gathered = gather_cosignatures(*policy, parse_note(head), prover(store),
                                                {.limits = {1 << 16, o.timeout_s}, .previous = ""});
  require_quorum(gathered);
  for (const auto& failure : gathered.failures) {
    log(Level::warn, "witness.failed", {{"witness", failure.witness}, {"why", failure.why}});
  }
  Written out(o.json);
  out.head(parse_tree_head(gathered.note.text));
  out["note"] = format_note(gathered.note);
  if (o.out.empty()) {
    out.say("%s", format_note(gathered.note).c_str());
  } else {
    out.write(o.out, format_note(gathered.note));
  }
  for (const auto& cosigned : gathered.quorum.cosigned) {
    const std::string at = format_time(cosigned.unix_seconds * 1'000'000);
    out["cosigned"].push_back({{"witness", cosigned.witness}, {"at", at}});
    if (!o.out.empty()) out.say("cosigned by %s at %s\n", cosigned.witness.c_str(), at.c_str());
  }
  return exit_ok;
}

void add_witness_commands(CLI::App& app, WitnessOptions& o) {
  CLI::App* witness = app.add_subcommand("witness", "be a witness for others, or have witnesses");
  witness->require_subcommand(1);
  const auto add = [&](const char* name, const char* what, auto run) {
    CLI::App* command = witness->add_subcommand(name, what);
    command->add_flag("--json", o.json, "print JSON");
    command->callback([&o, run] { o.run = run; });
    return command;
  };
  const auto on_state = [&](const char* name, const char* what, auto run) {
    CLI::App* command = add(name, what, run);
    command->add_option("STATE", o.state, "what the witness remembers, a file")->required();
    return command;
  };
  const auto on_ledger = [&](const char* name, const char* what, auto run) {
    CLI::App* command = add(name, what, run);
    command->add_option("LEDGER", o.ledger, "the ledger file")->required();
    return command;
  };
  const char* vkey = "verifier key of a log, or the .pub file that holds it";
  on_state("init", "make the memory of a new witness", witness_init)
      ->add_option("--key", o.key, "its private key, of role witness")
      ->required();
  on_state("add-log", "cosign the heads of a log from now on", witness_add_log)
      ->add_option("VKEY", o.logs, vkey)
      ->required();
  on_state("remove-log", "cosign no more what a key of a log signs, which it retired",
           witness_remove_log)
      ->add_option("VKEY", o.logs, vkey)
      ->required();
  CLI::App* serve = on_state("serve", "answer add-checkpoint until SIGTERM", witness_serve);
  serve->add_option("--key", o.key, "the witness's private key")->required();
  serve->add_option("--listen", o.listen, "ADDRESS:PORT; port 0: any")->capture_default_str();
  serve->add_option("--log", o.logs, vkey);
  on_state("status", "what it cosigned; exit 1 when a log shows two histories", witness_status);
  CLI::App* policy =
      on_ledger("add-policy", "record which witnesses must cosign", witness_add_policy);
  policy->add_option("FILE", o.file, "a policy in the format of C2SP tlog-policy")->required();
  policy->add_option("--log-key", o.log_key, "the log's private key, to sign the new tree head");
  CLI::App* ask = on_ledger("ask", "have the newest tree head cosigned by a quorum", witness_ask);
  ask->add_option("--policy", o.policy, "a policy file (default: the ledger's newest)");
  ask->add_option("--out", o.out, "where the cosigned head goes (default: stdout)");
  ask->add_option("--timeout", o.timeout_s, "seconds that each request may take")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
}

}  // namespace cleared::tools
