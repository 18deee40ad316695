#include "train/statement.h"

#include <algorithm>

#include "ledger/attestation.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/notes.pb.h"
#include "ledger/textproto.h"
#include "train/checkpoint.pb.h"

namespace cleared::train {
namespace {

constexpr uint64_t kLimit = 16 << 20;

Digest digest_of(const std::string& name) {
  const auto digest = ledger::parse_digest_name(name);
  if (!digest) throw Error(Errc::corrupt, "checkpoint: \"", name, "\" is not a digest");
  return *digest;
}

// But for the statement itself, and for the files that an index among them stands for: what the
// ledger keeps of a checkpoint does not grow with it.
std::vector<FileDigest> subjects_of(std::vector<FileDigest> files) {
  std::erase_if(files, [](const FileDigest& file) {
    return file.name == kStatementFile || is_part_name(file.name, kWeightsStem) ||
           is_part_name(file.name, kOptimiserStem);
  });
  return files;
}

std::string statement_of(const State& state, const Digest& steps_root,
                         const std::vector<FileDigest>& files) {
  ledger::TrainingStatement statement;
  for (const auto& [name, digest] : subjects_of(files)) {
    statement.subjects.push_back({name, digest});
  }
  statement.run = state.run();
  statement.step = state.step();
  statement.seed = state.seed();
  statement.ranks = state.ranks();
  statement.threads = state.threads();
  statement.code_version = state.code_version();
  statement.machine = state.machine();
  statement.config = digest_of(state.config());
  statement.permit = digest_of(state.permit());
  statement.tree_head = {state.origin(), state.tree_size(), digest_of(state.tree_root())};
  statement.receipt = digest_of(state.receipt());
  statement.steps_root = steps_root;
  for (const State::Foreign& foreign : state.foreign()) {
    statement.foreign_weights.push_back({foreign.part(), digest_of(foreign.weights())});
  }
  if (state.has_parent()) statement.parent = to_hex(digest_of(state.parent()));
  if (state.has_vae()) statement.vae = to_hex(digest_of(state.vae()));
  if (state.has_text_encoder()) statement.text_encoder = to_hex(digest_of(state.text_encoder()));
  return ledger::format_statement(statement);
}

template <class Message>
Message parse(const std::string& text, const std::filesystem::path& path) {
  Message message;
  ledger::parse_textproto(text, path.string(), message);
  return message;
}

}  // namespace

std::string write_statement(const State& state, const Digest& steps_root,
                            const std::vector<FileDigest>& files,
                            const ledger::SignerKey& trainer) {
  return ledger::seal_envelope(ledger::kStatementPayloadType,
                               statement_of(state, steps_root, files), trainer);
}

void verify_signed(const std::filesystem::path& folder,
                   const std::vector<ledger::PublicKey>& keys) {
  const std::filesystem::path path = folder / kStatementFile;
  const auto envelope = ledger::parse_envelope(read_file(path, kLimit));
  const bool trusted = std::any_of(keys.begin(), keys.end(), [&](const ledger::PublicKey& key) {
    return key.role == "trainer" && ledger::signed_by(envelope, key.key);
  });
  if (!trusted) {
    throw Error(Errc::corrupt, "statement ", path.string(),
                ": no trainer's key among the trusted ones has signed it");
  }
  const auto statement = ledger::parse_statement(envelope.payload);
  const std::vector<FileDigest> files = subjects_of(read_sums(folder));
  const bool same = std::equal(files.begin(), files.end(), statement.subjects.begin(),
                               statement.subjects.end(), [](const auto& file, const auto& subject) {
                                 return file.name == subject.name && file.digest == subject.digest;
                               });
  if (!same) {
    throw Error(Errc::corrupt, "statement ", path.string(),
                ": speaks of other files than those of its checkpoint");
  }
}

std::optional<Difference> compare_statement(const std::filesystem::path& folder) {
  const auto file = [&](std::string_view name) { return read_file(folder / name, kLimit); };
  const auto state = parse<State>(file("state.textproto"), folder / "state.textproto");
  const auto receipt = parse<ledger::ReceiptText>(ledger::parse_note(file("receipt.note")).text,
                                                  folder / "receipt.note");
  return first_difference(
      ledger::parse_envelope(file(kStatementFile)).payload,
      statement_of(state, digest_of(receipt.receipt().steps_root()), read_sums(folder)), ',');
}

void verify_statement(const std::filesystem::path& folder,
                      const std::vector<ledger::PublicKey>& keys) {
  verify_signed(folder, keys);
  if (const auto lie = compare_statement(folder)) {
    throw Error(Errc::corrupt, "statement ", (folder / kStatementFile).string(), ": says ",
                lie->claimed, " where its checkpoint has ", lie->made);
  }
}

}  // namespace cleared::train
