#include "train/outbox.h"

#include <functional>
#include <span>
#include <vector>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/gate.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"
#include "train/checkpoint.pb.h"
#include "train/receipt.h"
#include "train/run_folder.h"
#include "train/statement.h"

namespace cleared::train {
namespace fs = std::filesystem;
namespace {

constexpr uint64_t kNoteLimit = 1 << 20;

// A digest in its text form, as the 32 bytes that records hold.
std::string raw(const std::string& name, const fs::path& where) {
  const auto digest = ledger::parse_digest_name(name);
  if (!digest) throw Error(Errc::corrupt, where.string(), ": \"", name, "\" is not a digest");
  return std::string(digest->text());
}

template <class Message>
Message read_text(const fs::path& path) {
  Message message;
  ledger::parse_textproto(read_file(path, kNoteLimit), path.string(), message);
  return message;
}

// Every fact in RUN/outbox that can be read, and its bundle.
void each_delivered(const fs::path& run,
                    const std::function<void(const ledger::Fact&, const fs::path&)>& use) {
  if (!fs::is_directory(run / "outbox")) return;
  for (const auto& entry : fs::directory_iterator(run / "outbox")) {
    if (entry.path().extension() != ".bundle") continue;
    std::vector<ledger::Fact> facts;
    try {
      facts = ledger::read_bundle(entry.path());
    } catch (const Error&) {
      continue;
    }
    for (const ledger::Fact& fact : facts) use(fact, entry.path());
  }
}

ledger::Receipt parse_receipt(const std::string& note, const fs::path& where) {
  ledger::ReceiptText text;
  ledger::parse_textproto(ledger::parse_note(note).text, where.string(), text);
  return text.receipt();
}

}  // namespace

std::set<uint64_t> delivered_steps(const fs::path& run, const std::string& name) {
  std::set<uint64_t> out;
  each_delivered(run, [&](const ledger::Fact& fact, const fs::path&) {
    if (!fact.has_checkpoint() || fact.checkpoint().run() != name) return;
    out.insert(fact.checkpoint().step());
  });
  return out;
}

std::map<std::string, ToldReceipt> told_receipts(const fs::path& run) {
  std::map<std::string, ToldReceipt> out;
  const auto take = [&](const ledger::Fact& fact, const fs::path& bundle) {
    if (!fact.has_receipt()) return;
    const std::string& note = fact.receipt().note();
    try {
      const ledger::Receipt receipt = parse_receipt(note, bundle);
      out.try_emplace(ledger::digest_name(ledger::sha256(note)),
                      ToldReceipt{.run = receipt.run(),
                                  .end_step = receipt.end_step(),
                                  .permit = receipt.permit(),
                                  .previous = receipt.previous(),
                                  .consumed_root = receipt.consumed_root(),
                                  .bundle = bundle});
    } catch (const Error&) {
      return;
    }
  };
  each_delivered(run, take);
  for (const fs::path& folder : set_aside_folders(run)) each_delivered(folder, take);
  return out;
}

std::optional<RunFile> delivered_run(const fs::path& run, const std::string& name) {
  std::optional<RunFile> out;
  each_delivered(run, [&](const ledger::Fact& fact, const fs::path&) {
    if (!fact.has_run() || fact.run().name() != name) return;
    out.emplace();
    out->set_run(name);
    out->set_permit("sha256:" + to_hex(std::as_bytes(std::span(fact.run().permit()))));
    out->set_config("sha256:" + to_hex(std::as_bytes(std::span(fact.run().config_digest()))));
    out->set_code_version(fact.run().code_version());
    out->set_seed(fact.run().seed());
    out->set_ranks(fact.run().ranks());
  });
  return out;
}

void write_run_file(const fs::path& run, const RunFile& file) {
  write_file(run / "run.textproto", ledger::format_textproto(file));
}

RunFile read_run_file(const fs::path& run) {
  return read_text<RunFile>(run / "run.textproto");
}

fs::path deliver_checkpoint(const fs::path& run, const fs::path& checkpoint,
                            std::optional<uint64_t> machine_us) {
  const RunFile file = read_run_file(run);
  const State state = read_text<State>(checkpoint / "state.textproto");
  const std::string note = read_file(checkpoint / "receipt.note", kNoteLimit);
  const ledger::Receipt receipt = parse_receipt(note, checkpoint / "receipt.note");
  const fs::path path = checkpoint / kPlacesFile;
  const auto places = std::make_shared<const Places>(parse_places(read_file(path), path.string()));
  const Span span = parse_span(read_file(checkpoint / "steps.txt"), receipt.first_step(),
                               (checkpoint / "steps.txt").string(), places);

  std::vector<ledger::Fact> facts;
  ledger::RunRecord& run_record = *facts.emplace_back().mutable_run();
  run_record.set_name(file.run());
  run_record.set_permit(raw(file.permit(), run));
  run_record.set_config_digest(raw(file.config(), run));
  run_record.set_code_version(file.code_version());
  run_record.set_seed(file.seed());
  run_record.set_ranks(file.ranks());
  facts.emplace_back().mutable_receipt()->set_note(note);
  if (machine_us) facts.back().mutable_receipt()->set_machine_us(*machine_us);
  for (ledger::Fact& consumed : span.facts(file.run())) facts.push_back(std::move(consumed));
  ledger::CheckpointRecord& record = *facts.emplace_back().mutable_checkpoint();
  record.set_digest(raw(state.weights(), checkpoint));
  record.set_run(state.run());
  record.set_step(state.step());
  record.set_statement(read_file(checkpoint / kStatementFile, kNoteLimit));
  if (state.has_parent()) record.set_parent(raw(state.parent(), checkpoint));
  if (state.has_vae()) record.set_vae(raw(state.vae(), checkpoint));
  if (state.has_text_encoder()) record.set_text_encoder(raw(state.text_encoder(), checkpoint));
  return ledger::write_bundle(run / "outbox", facts);
}

fs::path deliver_refusal(const fs::path& run, const std::string& subject,
                         const ledger::Verdict& verdict) {
  ledger::Fact fact;
  ledger::RefusalRecord& refusal = *fact.mutable_refusal();
  refusal.set_act("train");
  refusal.set_subject(printable(subject));
  refusal.set_rule(verdict.rule);
  refusal.set_fact(printable(verdict.recorded()));
  return ledger::write_bundle(run / "outbox", {fact});
}

}  // namespace cleared::train
