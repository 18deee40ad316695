#include "tools/publish_commands.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "ledger/base/bytes.h"
#include "ledger/base/error.h"
#include "ledger/base/log.h"
#include "ledger/follow.h"
#include "ledger/key.h"
#include "ledger/publish.h"
#include "ledger/store.h"
#include "ledger/tile_reader.h"
#include "ledger/witness.h"
#include "ledger/witness_policy.h"
#include "tools/cli.h"
#include "tools/gather.h"
#include "tools/http.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

using Json = nlohmann::ordered_json;
using Number = unsigned long long;

// Asks the witnesses of the policy; what they need to see is proven out of the folder's own tiles.
std::string cosigned(const WitnessPolicy& policy, const std::string& folder,
                     const std::string& text) {
  const Fetch fetch = fetch_from_folder(folder);
  const Note note = parse_note(text);
  TileReader tiles(fetch, parse_tree_head(note.text));
  const ConsistencyProver prove = [&](uint64_t old_size, uint64_t) {
    return tiles.consistency_proof(old_size);
  };
  GatherOptions options;
  try {
    options.previous = fetch(kHeadFile, kMaxHeadFileBytes);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;  // the first publication
  }
  const Gathered gathered = gather_cosignatures(policy, note, prove, options);
  require_quorum(gathered);
  for (const auto& failure : gathered.failures) {
    log(Level::warn, "publish.witness", {{"witness", failure.witness}, {"why", failure.why}});
  }
  return format_note(gathered.note);
}

// Of one log: several while one replaces another.
std::vector<VerifierKey> read_log_keys(const std::string& path) {
  std::vector<VerifierKey> found;
  for (const PublicKey& key : read_public_keys(path)) {
    if (key.role != "log") continue;
    if (!found.empty() && found[0].name != key.key.name) {
      throw Error(Errc::corrupt, path, ": holds keys of two logs, ", found[0].name, " and ",
                  key.key.name);
    }
    found.push_back(key.key);
  }
  if (found.empty()) throw Error(Errc::corrupt, path, ": holds no line \"log VKEY\"");
  return found;
}

// One line that rewrites itself, for people only.
std::function<void(uint64_t, uint64_t)> progress_line(const char* what) {
  if (isatty(STDERR_FILENO) == 0) return [](uint64_t, uint64_t) {};
  auto next = std::make_shared<std::chrono::steady_clock::time_point>();
  return [what, next](uint64_t done, uint64_t records) {
    const auto now = std::chrono::steady_clock::now();
    if (now < *next && done < records) return;
    *next = now + std::chrono::milliseconds(200);
    std::fprintf(stderr, "\r%s %llu of %llu records%s", what, Number{done}, Number{records},
                 done == records ? "\n" : "");
  };
}

Json to_json(const TreeHead& head, const std::string& note) {
  if (note.empty()) return nullptr;
  return {{"size", head.size}, {"root", to_hex(head.root)}, {"note", note}};
}

void print_json(const Json& json) {
  std::printf("%s\n", json.dump(-1, ' ', true, Json::error_handler_t::replace).c_str());
  std::fflush(stdout);
}

void print_heads(const char* first, const std::string& first_note, const char* second,
                 const std::string& second_note) {
  std::printf("---- %s\n%s---- %s\n%s", first, printable_lines(first_note).c_str(), second,
              printable_lines(second_note).c_str());
  std::fflush(stdout);
}

Fetch fetch_from_url(std::string url) {
  while (!url.empty() && url.back() == '/') url.pop_back();
  return [url](const std::string& path, uint64_t limit_bytes) {
    const std::string whole = url + "/" + path;
    const HttpAnswer answer = http_get(whole, {limit_bytes, 60});
    if (answer.status == 404 || answer.status == 410) {
      throw Error(Errc::not_found, whole, ": the server has no such file");
    }
    if (answer.status != 200) throw Error(Errc::io, whole, ": status ", answer.status);
    return answer.body;
  };
}

const char* name_of(FollowAnswer answer) {
  switch (answer) {
    case FollowAnswer::first:
      return "first";
    case FollowAnswer::same:
      return "same";
    case FollowAnswer::grown:
      return "grown";
    case FollowAnswer::no:
      break;
  }
  return "no";
}

void print_follow_json(const FollowReport& report) {
  Json out = {{"answer", name_of(report.answer)},
              {"origin", report.now.origin},
              {"before", to_json(report.before, report.before_note)},
              {"now", to_json(report.now, report.now_note)},
              {"tiles", report.tiles},
              {"records", report.mirrored}};
  if (report.answer == FollowAnswer::no) {
    out["reason"] = report.reason;
    out["forked"] = report.forked;
    out["evidence"] = report.evidence.string();
  }
  print_json(out);
}

void print_follow(const FollowReport& report, const FollowArguments& o) {
  const TreeHead& now = report.now;
  const std::string root = to_hex(now.root), origin = printable(now.origin);
  switch (report.answer) {
    case FollowAnswer::first:
      std::printf(
          "first contact with %s: %llu records, root %s\ntaken on trust: from now on every "
          "tree head must extend it; compare it with others who follow this log\n",
          origin.c_str(), Number{now.size}, root.c_str());
      break;
    case FollowAnswer::same:
      std::printf("%s: still %llu records, root %s\n", origin.c_str(), Number{now.size},
                  root.c_str());
      break;
    case FollowAnswer::grown:
      std::printf("%s: from %llu to %llu records, consistent (%llu tile%s); root %s\n",
                  origin.c_str(), Number{report.before.size}, Number{now.size},
                  Number{report.tiles}, report.tiles == 1 ? "" : "s", root.c_str());
      break;
    case FollowAnswer::no:
      print_heads("seen before", report.before_note, "seen now", report.now_note);
      break;
  }
  if (report.answer != FollowAnswer::no && !o.records.empty()) {
    std::printf("%s: %llu new records, every one proven\n", o.records.c_str(),
                Number{report.mirrored});
  }
  std::fflush(stdout);
}

}  // namespace

int ledger_publish(const PublishArguments& o) {
  const Store store(o.ledger, Access::read);
  const std::optional<WitnessPolicy> policy = policy_for(store, o.policy);
  PublishOptions options;
  options.dry_run = o.dry_run;
  options.all = o.all;
  if (policy) {
    options.policy = &*policy;
    options.cosign = [&](const std::string& note) { return cosigned(*policy, o.folder, note); };
  }
  options.progress = progress_line(o.dry_run ? "checked" : "published");
  const PublishReport report = publish(o.folder, source_of(store), options);
  const uint64_t waiting = store.size() - report.head.size;
  if (o.json) {
    print_json({{"origin", store.origin()},
                {"published", report.refusal.empty() && !o.dry_run},
                {"refusal", report.refusal},
                {"there", to_json(report.there, report.note_there)},
                {"head", to_json(report.head, report.note)},
                {"files", report.files},
                {"bytes", report.bytes},
                {"unsigned", waiting}});
  }
  if (!report.refusal.empty()) {
    if (!o.json) {
      print_heads("published there", report.note_there, "of this ledger", report.note);
    }
    std::fprintf(stderr, "ledger: publish %s: %s\n", printable(o.folder).c_str(),
                 printable(report.refusal).c_str());
    return exit_corrupt;
  }
  if (o.json) return exit_ok;
  std::printf("%s%s: %llu records (%llu new), %llu files, %llu bytes; root %s\n",
              o.dry_run ? "would publish to " : "", o.folder.c_str(), Number{report.head.size},
              Number{report.head.size - report.there.size}, Number{report.files},
              Number{report.bytes}, to_hex(report.head.root).c_str());
  if (waiting > 0) {
    std::printf("note: the last %llu records are under no signed tree head yet and stay in\n",
                Number{waiting});
  }
  return exit_ok;
}

int ledger_follow(const FollowArguments& o) {
  std::optional<WitnessPolicy> policy;
  if (!o.policy.empty()) policy = read_witness_policy(o.policy);
  FollowOptions options;
  options.fetch = is_http_url(o.log) ? fetch_from_url(o.log) : fetch_from_folder(o.log);
  options.log_keys = read_log_keys(o.trust);
  options.state = o.state;
  options.policy = policy ? &*policy : nullptr;
  options.mirror = o.records;
  options.progress = progress_line("fetched");
  for (;;) {
    try {
      const FollowReport report = follow(options);
      o.json ? print_follow_json(report) : print_follow(report, o);
      if (report.answer == FollowAnswer::no) {
        const std::string kept = report.evidence.empty() ? "not kept: all places are taken"
                                 : report.forked         ? "kept as evidence in "
                                                         : "kept in ";
        std::fprintf(stderr, "ledger: follow %s: %s; %s\n", printable(o.log).c_str(),
                     printable(report.reason).c_str(),
                     printable(kept + report.evidence.string()).c_str());
        return exit_no;
      }
    } catch (const Error& error) {
      // A network that fails is no answer: whoever keeps following tries again.
      if (o.interval_s == 0 || error.code() != Errc::io) throw;
      log(Level::warn, "ledger.follow", {{"note", error.what()}});
    }
    if (o.interval_s == 0) return exit_ok;
    std::this_thread::sleep_for(std::chrono::seconds(o.interval_s));
  }
}

void add_publish_commands(CLI::App& app, std::function<int()>& run) {
  const auto p = std::make_shared<PublishArguments>();
  CLI::App* publish = app.add_subcommand("publish", "write the log as static files for the web");
  publish->add_option("LEDGER", p->ledger, "the ledger file")->required();
  publish->add_option("DIR", p->folder, "folder that a web server serves")->required();
  publish->add_option("--policy", p->policy, "witness policy (default: the ledger's own)");
  publish->add_flag("--all", p->all, "go over all files there, not only the new ones");
  publish->add_flag("--dry-run", p->dry_run, "check everything, write nothing");
  publish->add_flag("--json", p->json, "print JSON");
  publish->callback([p, &run] { run = [p] { return ledger_publish(*p); }; });

  const auto f = std::make_shared<FollowArguments>();
  CLI::App* follow = app.add_subcommand("follow", "check a published log from outside");
  follow->add_option("LOG", f->log, "folder, or http:// or https:// address")->required();
  follow->add_option("--state", f->state, "file that keeps the last tree head")->required();
  follow->add_option("--trust", f->trust, "public key file of the log")->required();
  follow->add_option("--policy", f->policy, "witness policy whose quorum a tree head needs");
  follow->add_option("--records", f->records, "folder for a copy of the log, every record proven");
  follow->add_option("--interval", f->interval_s, "look again every so many seconds")
      ->check(CLI::Range(1, 86'400));
  follow->add_flag("--json", f->json, "print JSON, one object a look");
  follow->callback([f, &run] { run = [f] { return ledger_follow(*f); }; });
}

}  // namespace cleared::tools
