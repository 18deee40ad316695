#include "tools/retention_commands.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/query.h"
#include "ledger/rights.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "tools/cli.h"
#include "tools/ledger_commands.h"
#include "tools/output.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

struct RetentionOptions {
  std::string ledger, what, derivative, reason, key, log_key, shards;
  std::vector<std::string> digests;
  bool json = false, dry_run = false;
};

constexpr uint64_t kDayUs = 86'400'000'000;

// The newest version of each licence of a thing, with the day of its revocation or nothing.
constexpr std::string_view kNewest =
    "JOIN licence l ON l.seq = sl.licence JOIN licence n ON n.id = l.id AND n.version = "
    "(SELECT MAX(version) FROM licence WHERE id = l.id) ";
constexpr std::string_view kRevoked =
    "COALESCE((SELECT substr(MIN(r.at), 1, 10) FROM revocation r WHERE r.licence = n.id), '')";

class Due {
 public:
  explicit Due(const Store& store) : store_(store), rights_(store) {
    table_.columns = {"delete_by", "is_due", "what", "of", "digest", "licence", "deleted"};
    table_.numeric = {false, false, false, false, false, false, false};
  }

  Table list() {
    shards();
    texts();
    std::sort(table_.rows.begin(), table_.rows.end());
    return std::move(table_);
  }

 private:
  void add(const std::string& by, const std::string& what, const std::string& of,
           const std::string& digest, const std::string& licence, const std::string& deleted) {
    const bool due = deleted.empty() && rights_.day() > by;
    table_.rows.push_back({by, due ? "yes" : "no", what, of, digest, licence,
                           deleted.empty() ? "no" : "record " + deleted});
  }

  // Shards hold what was encoded from footage: with `latent` the terms say how long it may be kept.
  void shards() {
    Statement select(
        store_.db(),
        "SELECT h.root, h.name, n.ref, (SELECT m.at FROM moment m WHERE m.seq <= h.seq "
        "ORDER BY m.seq DESC LIMIT 1), COALESCE((SELECT MIN(d.seq) FROM deletion d "
        "WHERE d.shard = h.seq), '') FROM shard h JOIN shard_licence sl ON sl.seq = h.seq " +
            std::string(kNewest) + "ORDER BY h.seq, n.ref");
    while (select.next()) {
      const LicenceText* terms = rights_.terms_of(select.text(2));
      if (terms == nullptr || !terms->derived().has_latent()) continue;
      const uint64_t days = terms->derived().latent().delete_after_days();
      const uint64_t made = parse_time(select.text(3)).value_or(0);
      add(date_of(made + days * kDayUs), "shard", select.text(1), select.text(0), select.text(2),
          select.text(4));
    }
  }

  // Captions that came with the footage, and embeddings where the terms let some be made: TERM ends
  // with the licence or its revocation, NEVER on the day the source came.
  void texts() {
    const auto deleted = [](const char* what) {
      return "COALESCE((SELECT MIN(d.seq) FROM deletion d WHERE d.source = s.seq AND d.what = '" +
             std::string(what) + "'), '')";
    };
    Statement select(store_.db(),
                     "SELECT s.digest, s.path, n.ref, (SELECT substr(m.at, 1, 10) FROM moment m "
                     "WHERE m.seq <= s.seq ORDER BY m.seq DESC LIMIT 1), " +
                         std::string(kRevoked) + ", s.caption <> '', " + deleted("CAPTION") + ", " +
                         deleted("EMBEDDING") +
                         " FROM source s JOIN source_licence sl ON sl.seq = s.seq " +
                         std::string(kNewest) + "ORDER BY s.seq, n.ref");
    while (select.next()) {
      const LicenceText* terms = rights_.terms_of(select.text(2));
      if (terms == nullptr) continue;
      const auto& uses = terms->allows().use();
      const bool embeds = std::find(uses.begin(), uses.end(), EMBED) != uses.end();
      const auto kept = [&](bool there, Retention::Value value, const char* what, int column) {
        if (!there || value == Retention::PERPETUAL) return;
        const std::string ended = select.text(4);
        const std::string& last = terms->licence().valid_to();
        const std::string term = ended.empty() ? last : std::min(ended, last);
        add(value == Retention::NEVER ? select.text(3) : term, what, select.text(1), select.text(0),
            select.text(2), select.text(column));
      };
      const Derived& derived = terms->derived();
      kept(derived.has_caption() && select.integer(5) != 0, derived.caption(), "caption", 6);
      kept(derived.has_embedding() && embeds, derived.embedding(), "embedding", 7);
    }
  }

  const Store& store_;
  Rights rights_;
  Table table_;
};

int due(const RetentionOptions& o) {
  const Store store(o.ledger, Access::read);
  const Table table = Due(store).list();
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
void name_shard(const Store& store, const RetentionOptions& o, uint64_t seq, Deletion& out) {
  Statement shard(store.db(), "SELECT root, digest, name FROM shard WHERE seq = ?");
  if (!shard.with(seq).next()) {
    throw Error(Errc::usage, "deleted: \"", o.what,
                "\" is no shard; for what is kept of a source say --what");
  }
  const std::filesystem::path tar = std::filesystem::path(o.shards) / shard.text(2);
  if (!o.shards.empty() && std::filesystem::exists(tar)) {
    throw Error(Errc::usage, "deleted: ", tar.string(), " is still there; delete it first");
  }
  out.set_shard("sha256:" + shard.text(0));
  out.add_digest("sha256:" + shard.text(1));
}

void name_source(const Store& store, const RetentionOptions& o, uint64_t seq, Deletion& out) {
  Statement source(store.db(), "SELECT digest FROM source WHERE seq = ?");
  if (!source.with(seq).next()) {
    throw Error(Errc::usage, "deleted: \"", o.what, "\" is no source");
  }
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
  const SignerKey key = read_signer_key(o.key);
  Store store(o.ledger, o.dry_run ? Access::read : Access::append);
  const uint64_t seq = find_record(store, o.what);
  DeletionText text;
  Deletion& deletion = *text.mutable_deletion();
  if (o.derivative.empty()) {
    name_shard(store, o, seq, deletion);
  } else {
    name_source(store, o, seq, deletion);
  }
  deletion.set_at(format_time(judging_time_us(store)));
  deletion.set_reason(o.reason);
  Note note{format_textproto(text), {}};
  add_signature(note, key);
  if (o.dry_run) {
    std::printf("%s", printable_lines(format_note(note)).c_str());
    return exit_ok;
  }
  Fact fact;
  fact.mutable_deletion()->set_note(format_note(note));
  print_appended("deleted " + o.what, store.append({fact}));
  LedgerOptions keys;
  keys.ledger = o.ledger;
  keys.log_key = o.log_key;
  sign_if_possible(store, keys);
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
  gone->add_option("--reason", o->reason, "in a few words")->required();
  gone->add_option("--key", o->key, "curator's or approver's private key")->required();
  gone->add_option("--log-key", o->log_key,
                   "the log's private key (default: LEDGER.key, if there)");
  gone->add_flag("--dry-run", o->dry_run, "print what would be signed, write nothing");
  gone->footer(
      "Examples:\n  rm shards/nano-000000.tar*\n  ledger deleted film.db nano-000000.tar --shards "
      "shards --reason \"30 days\" --key curator.key\n  ledger deleted film.db 2026-01/a.mov "
      "--what "
      "caption --digest sha256:... --reason \"term\" --key curator.key\n" +
      gone->get_footer());
}

}  // namespace cleared::tools
