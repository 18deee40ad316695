// The `ledger` program: command-line definitions. What each command does is in ledger_commands.cpp.
#include <CLI/CLI.hpp>

#include "ledger/sqlite.h"
#include "tools/approval_commands.h"
#include "tools/arguments.h"
#include "tools/cli.h"
#include "tools/impact_command.h"
#include "tools/ledger_bench.h"
#include "tools/ledger_commands.h"
#include "tools/proof_commands.h"
#include "tools/publish_commands.h"
#include "tools/query_commands.h"
#include "tools/retention_commands.h"
#include "tools/review_commands.h"
#include "tools/rights_commands.h"
#include "tools/statement_command.h"
#include "tools/witness_commands.h"

namespace {

using cleared::tools::LedgerOptions;

constexpr const char* kExamples = R"(Examples:
  ledger key new demo-studio --role licensee --out keys/demo-studio
  ledger init film.db --origin studio.example/ledger
  ledger append film.db keys/*.pub licences/*.licence
  ledger approve film.db --all --key keys/approver.key
  ledger permit film.db --run configs/nano.textproto --key keys/approver.key --out nano.permit
  ledger query film.db exposure --csv
  ledger why film.db CLIP
  ledger verify film.db --against nano.permit
docs/ledger.md shows every command at work.

)";
constexpr const char* kExitCodes =
    R"(Exit codes: 0 done, 1 the answer is no, 2 usage, 3 refused by the gate, 65 bad data, 66 no input,
74 I/O, 75 locked, 77 key or permission, 78 bad config.)";

// A command whose first argument is the ledger file.
CLI::App* on_ledger(CLI::App& app, LedgerOptions& o, const char* name, const char* what) {
  CLI::App* command = app.add_subcommand(name, what);
  command->add_option("LEDGER", o.ledger, "the ledger file")->required();
  return command;
}

void add_writing(CLI::App* command, LedgerOptions& o) {
  command->add_option(
      "--log-key", o.log_key,
      "the log's private key, to sign the new tree head (default: LEDGER.key, if there)");
  command->add_flag("--dry-run", o.dry_run, "check everything, write nothing");
  command->add_flag("--json", o.json, "print JSON");
}

}  // namespace

int main(int argc, char** argv) {
  const auto body = [&]() -> int {
    LedgerOptions o;
    CLI::App app("What may be used, and proof that it never changed.", "ledger");
    app.footer(kExitCodes);  // which each command inherits as it is added
    app.require_subcommand(1);
    app.set_version_flag("--version", cleared::tools::version_text());

    CLI::App* init = on_ledger(app, o, "init", "make an empty ledger and the log's key");
    init->add_option("--origin", o.origin, "name of the log for ever, as studio.example/ledger")
        ->required();
    init->add_flag("--json", o.json, "print JSON");

    CLI::App* key = app.add_subcommand("key", "make or retire keys");
    key->require_subcommand(1);
    CLI::App* key_new =
        key->add_subcommand("new", "make a key pair: OUT.key (private) and OUT.pub");
    key_new->add_option("NAME", o.name, "name on signature lines, without spaces or '+'")
        ->required();
    key_new->add_option("--role", o.role, "licensor licensee curator approver trainer log witness")
        ->required();
    key_new->add_option("--out", o.out, "path of the pair, without .key")->required();
    key_new->add_flag("--json", o.json, "print JSON");
    CLI::App* key_retire = key->add_subcommand("retire", "record that a key counts no more");
    key_retire->add_option("LEDGER", o.ledger, "the ledger file")->required();
    key_retire->add_option("NAME", o.name, "name of the key, or the verifier key itself")
        ->required();
    key_retire->add_option("--out", o.out,
                           "write it, NAME.retirement, for others to sign, and append nothing");
    key_retire->add_option("--key", o.key, "private key to sign --out with");
    add_writing(key_retire, o);

    CLI::App* sign = app.add_subcommand("sign", "sign a licence, or add a signature to a note");
    sign->add_option("FILE", o.file, "text of a licence, or a note that others have signed")
        ->required();
    sign->add_option("--key", o.key, "private key to sign with")->required();
    sign->add_option("--out", o.out, "where the note goes (default: FILE itself, if it is a note)");
    sign->add_flag("--json", o.json, "print JSON");

    CLI::App* append =
        on_ledger(app, o, "append", "append keys, licences, revocations and bundles");
    append
        ->add_option(
            "FILES", o.files,
            "*.pub *.licence *.approval *.revocation *.policy *.permit *.retirement *.bundle")
        ->required();
    add_writing(append, o);

    CLI::App* sign_head = on_ledger(app, o, "sign-head", "sign the present tree head");
    add_writing(sign_head, o);

    CLI::App* approve = on_ledger(app, o, "approve", "approve shards for training");
    approve->add_option("SHARDS", o.files, "roots of shards, or their names");
    approve->add_flag("--all", o.all, "every shard that is not approved yet");
    approve->add_option("--use", o.use, "for runs of this purpose: TRAIN, FINETUNE or DISTIL")
        ->capture_default_str();
    approve->add_option("--key", o.key, "approver's private key")->required();
    approve->add_option("--out", o.out,
                        "write the approval for others to sign, and append nothing");
    approve->add_option("--comment", o.comment, "kept in the approval")
        ->check(cleared::tools::text_problem, "");
    add_writing(approve, o);

    CLI::App* permit = on_ledger(app, o, "permit", "permit one run to use the approved shards");
    permit->add_option("--run", o.file, "config of the run")->required();
    permit->add_option("--key", o.key, "approver's private key")->required();
    permit->add_option("--out", o.out, "where the permit goes")->required();
    permit->add_option("--hours", o.hours, "how long it holds, 1 to 168")->capture_default_str();
    permit->add_flag("--evaluate", o.evaluate,
                     "for measuring by it, too, as `train eval` does: every licence must list "
                     "EVALUATE");
    permit->add_flag("--encode", o.encode,
                     "for latents made of it, too, as `train encode` does: every licence must list "
                     "ENCODE");
    permit->add_flag("--draft", o.draft, "write it for others to sign, and record nothing");
    permit->add_option("--resume", o.resume,
                       "name of the run that goes on: what it consumed by the record is counted");
    permit->add_flag("--leave-out-refused", o.leave_out, "go on without shards that are refused");
    permit->add_option(
        "--weights", o.weights,
        "signed descriptions, *.weights, of foreign weights that the run starts from");
    permit->add_option("--only", o.name, "shards whose name starts like this, as \"latent-\"");
    add_writing(permit, o);

    CLI::App* revoke = on_ledger(app, o, "revoke", "take back a licence or a shard");
    revoke->add_option("WHAT", o.name, "id of a licence, or root of a shard")->required();
    revoke->add_option("--reason", o.comment, "in a few words")
        ->required()
        ->check(cleared::tools::text_problem, "");
    revoke->add_option("--key", o.key, "private key of the licensor or of an approver")->required();
    revoke->add_option("--draft", o.file,
                       "write it, NAME.revocation, for others to sign, and append nothing");
    revoke->add_option("--notices", o.out,
                       "folder that training runs watch: the notice goes there too");
    add_writing(revoke, o);

    CLI::App* show = on_ledger(app, o, "show", "print one record");
    show->add_option("WHAT", o.name, "number, digest, path, key or name")->required();
    show->add_flag("--json", o.json, "print JSON");

    CLI::App* log = on_ledger(app, o, "log", "list the records, oldest first");
    log->add_option("--from", o.from, "number of the first")->capture_default_str();
    log->add_option("--limit", o.limit, "at most so many (0: all)")->capture_default_str();
    log->add_option("--kind", o.role, "only this kind: licence, clip, refusal, ...");
    log->add_flag("--json", o.json, "print JSON, one object a line");

    CLI::App* query = on_ledger(app, o, "query", "print a view or the answer to your own SQL");
    query->add_option("VIEW", o.name, "cleared refused expiring exposure provenance touched ...");
    query->add_option("--sql", o.sql, "one SELECT; nothing that writes is accepted");
    query->add_option("--at", o.at, "answer as when the log had so many records");
    query->add_option("--limit", o.rows,
                      "rows at most, 0: all (default: 200 on a terminal, else all)");
    query->add_flag("--json", o.json, "print JSON");
    query->add_flag("--csv", o.csv, "print CSV");

    CLI::App* why = on_ledger(
        app, o, "why", "from footage to licence to approval, and whether it may be used today");
    why->add_option("WHAT", o.name, "a clip, or any other number, digest, path, key or name")
        ->required();
    why->add_option("--limit", o.rows, "records of a kind at most, 0: all (default: 10)");
    why->add_flag("--json", o.json, "print JSON");

    CLI::App* history = on_ledger(
        app, o, "history", "every record about it, what it was made from and what was made of it");
    history->add_option("WHAT", o.name, "number, digest, path, key or name")->required();
    history->add_flag("--json", o.json, "print JSON");

    cleared::tools::ProofOptions proof;
    cleared::tools::add_proof_commands(app, proof);

    CLI::App* verify = on_ledger(app, o, "verify", "name everything in the file that was changed");
    verify->add_option("--against", o.files,
                       "heads kept elsewhere: permits, receipts, statements, tree heads");
    verify->add_option("--trust", o.trust, "public key file that must hold the log's key");
    verify->add_flag("--deep", o.deep, "also every state that was ever logged; takes minutes");
    verify->add_flag("--json", o.json, "print JSON");

    CLI::App* status =
        on_ledger(app, o, "status", "what the ledger holds and what needs attention");
    status->add_option("--limit", o.rows, "lines of a table at most, 0: all (default: 30)");
    status->add_flag("--json", o.json, "print JSON");

    std::function<int()> publishing;
    cleared::tools::add_publish_commands(app, publishing);
    cleared::tools::WitnessOptions witness;
    cleared::tools::add_witness_commands(app, witness);
    cleared::tools::BenchOptions bench_options;
    CLI::App* bench =
        app.add_subcommand("bench", "measure this machine's ledger beside what limits it");
    bench->add_option("--records", bench_options.records, "how many, a multiple of 10000")
        ->capture_default_str();
    bench->add_option("--sources", bench_options.sources, "that the clips are of")
        ->capture_default_str();
    bench->add_option("--folder", bench_options.folder, "where its files go, and are removed");
    bench->add_flag("--rights", bench_options.rights,
                    "impact, statement and permit over --records clips, a multiple of 1000000, and "
                    "--runs runs; 10000000 and 10000 take minutes and 8 GB");
    bench->add_option("--runs", bench_options.runs, "with --rights")->capture_default_str();
    bench->add_flag("--keep", bench_options.keep,
                    "leave the ledger in --folder, as bench.db; with --rights as rights.db, and "
                    "measure the one that is there already");
    bench->add_flag("--json", bench_options.json, "print JSON");
    std::function<int()> approving;
    cleared::tools::add_approval_commands(app, approving);

    std::function<int()> rights;
    cleared::tools::add_rights_commands(app, rights);
    cleared::tools::add_retention_commands(app, rights);
    cleared::tools::add_impact_command(app, rights);
    cleared::tools::add_statement_command(app, rights);
    cleared::tools::add_review_command(app, rights);

    app.footer(std::string(kExamples) + kExitCodes);
    if (!cleared::tools::parse_arguments(app, argc, argv)) return cleared::tools::exit_ok;
    if (publishing) return publishing();
    if (approving) return approving();
    if (rights) return rights();

    using namespace cleared::tools;
    if (bench->parsed()) return ledger_bench(bench_options);
    if (witness.run) return witness.run(witness);
    if (proof.run) return proof.run(proof);
    if (init->parsed()) return ledger_init(o);
    if (key_new->parsed()) return ledger_key_new(o);
    if (key_retire->parsed()) return ledger_key_retire(o);
    if (sign->parsed()) return ledger_sign(o);
    if (append->parsed()) return ledger_append(o);
    if (sign_head->parsed()) return ledger_sign_head(o);
    if (approve->parsed()) return ledger_approve(o);
    if (permit->parsed()) return ledger_permit(o);
    if (revoke->parsed()) return ledger_revoke(o);
    if (show->parsed()) return ledger_show(o);
    if (log->parsed()) return ledger_log(o);
    if (query->parsed()) return ledger_query(o);
    if (why->parsed()) return ledger_why(o);
    if (history->parsed()) return ledger_history(o);
    if (verify->parsed()) return ledger_verify(o);
    return ledger_status(o);
  };
  return cleared::tools::run_main("ledger", [&] { return cleared::ledger::undisturbed(body); });
}
