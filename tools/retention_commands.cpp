#include "tools/retention_commands.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/query.h"
#include "ledger/retention.h"
#include "ledger/rights.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "tools/cli.h"
#include "tools/output.h"
#include "tools/written.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

struct RetentionOptions {
  std::string ledger, what, derivative, reason, key, log_key, shards;
  std::vector<std::string> digests;
  bool json = false, dry_run = false;
};

int due(const RetentionOptions& o) {
  const Store store(o.ledger, Access::read);
  const Table table = due_of(store, Rights(store));
  if (o.json) {
    print_json(tools::to_json(table));
  } else {
    print_table(table);
  }
  return exit_ok;
}

Deletion::Derivative parse_derivative(const std::string& word) {
  std::string upper = word;
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  Deletion::Derivative out = Deletion::CAPTION;
  if (Deletion::Derivative_Parse(upper, &out)) return out;
  throw Error(Errc::usage, "deleted: --what must be caption, embedding, latent or fingerprint");
}

// A shard: its tar is what is gone, and the record of the shard says which.
void name_shard(const Store& store, const RetentionOptions& o, Deletion& out) {
  Statement shard(store.db(), "SELECT root, digest, name FROM shard WHERE seq = ?");
  CLEARED_CHECK(shard.with(find_record(store, o.what, {"shard"})).next());
  const std::filesystem::path tar = std::filesystem::path(o.shards) / shard.text(2);
  if (!o.shards.empty() && std::filesystem::exists(tar)) {
    throw Error(Errc::usage, "deleted: ", tar.string(), " is still there; delete it first");
  }
  out.set_shard("sha256:" + shard.text(0));
  out.add_digest("sha256:" + shard.text(1));
}

void name_source(const Store& store, const RetentionOptions& o, Deletion& out) {
  Statement source(store.db(), "SELECT digest FROM source WHERE seq = ?");
  CLEARED_CHECK(source.with(find_record(store, o.what, {"source"})).next());
  out.set_source("sha256:" + source.text(0));
  out.set_what(parse_derivative(o.derivative));
  for (const std::string& digest : o.digests) {
    out.add_digest(digest.starts_with("sha256:") ? digest : "sha256:" + digest);
    require_digest_name(out.digest(out.digest_size() - 1), "--digest");
  }
  if (o.digests.empty()) {
    throw Error(Errc::usage, "deleted: say with --digest which files were deleted");
  }
}

int deleted(const RetentionOptions& o) {
  Written out(o.json, o.dry_run);
  const SignerKey key = read_signer_key(o.key);
  Store store(o.ledger, o.dry_run ? Access::read : Access::append);
  DeletionText text;
  Deletion& deletion = *text.mutable_deletion();
  if (o.derivative.empty()) {
    name_shard(store, o, deletion);
  } else {
    name_source(store, o, deletion);
  }
  deletion.set_at(format_time(judging_time_us(store)));
  deletion.set_reason(o.reason);
  Note note{format_textproto(text), {}};
  if (o.dry_run) {
    out.say("%s", printable_lines(note.text).c_str());
    return exit_ok;
  }
  add_signature(note, key);
  out["note"] = format_note(note);
  Fact fact;
  fact.mutable_deletion()->set_note(format_note(note));
  out.appended("deleted " + o.what, store.append({fact}));
  sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

}  // namespace

void add_retention_commands(CLI::App& app, std::function<int()>& run) {
  const auto o = std::make_shared<RetentionOptions>();
  CLI::App* timers =
      app.add_subcommand("due", "what must be deleted and when, by `derived` of the licences");
  timers->callback([o, &run] { run = [o] { return due(*o); }; });
  timers->add_option("LEDGER", o->ledger, "the ledger file")->required();
  timers->add_flag("--json", o->json, "print JSON");

  CLI::App* gone = app.add_subcommand("deleted", "record that something derived was deleted");
  gone->callback([o, &run] { run = [o] { return deleted(*o); }; });
  gone->add_option("LEDGER", o->ledger, "the ledger file")->required();
  gone->add_option("WHAT", o->what, "a shard, or with --what a source")->required();
  gone->add_option("--what", o->derivative,
                   "caption, embedding, latent or fingerprint of a source");
  gone->add_option("--digest", o->digests, "of each file that was deleted; a shard's is known");
  gone->add_option("--shards", o->shards, "folder of shards: the tar must not be there any more");
  gone->add_option("--reason", o->reason, "in a few words")->required()->check(text_problem, "");
  gone->add_option("--key", o->key, "curator's or approver's private key")->required();
  gone->add_option("--log-key", o->log_key,
                   "the log's private key (default: LEDGER.key, if there)");
  gone->add_flag("--dry-run", o->dry_run, "print what would be signed, write nothing");
  gone->add_flag("--json", o->json, "print JSON");
  gone->footer(
      "Examples:\n  rm shards/nano-000000.tar*\n  ledger deleted film.db nano-000000.tar --shards "
      "shards --reason \"30 days\" --key curator.key\n  ledger deleted film.db 2026-01/a.mov "
      "--what "
      "caption --digest sha256:... --reason \"term\" --key curator.key\n" +
      gone->get_footer());
}

}  // namespace cleared::tools
