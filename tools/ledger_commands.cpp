#include "tools/ledger_commands.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <optional>
#include <sstream>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/stubs/strutil.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <nlohmann/json.hpp>

#include "ledger/authority.h"
#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/bundle.h"
#include "ledger/digest.h"
#include "ledger/entries.h"
#include "ledger/gate.h"
#include "ledger/impact.h"
#include "ledger/key.h"
#include "ledger/licence.h"
#include "ledger/notices.h"
#include "ledger/permit.h"
#include "ledger/permit_lists.h"
#include "ledger/projection.h"
#include "ledger/protection.h"
#include "ledger/query.h"
#include "ledger/review_lists.h"
#include "ledger/shard_proof.h"
#include "ledger/store.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "ledger/verify.h"
#include "tools/approval_commands.h"
#include "tools/bad_note.h"
#include "tools/cli.h"
#include "tools/held_files.h"
#include "tools/output.h"
#include "tools/written.h"
#include "train/check.h"
#include "train/data/config.h"

namespace cleared::tools {
namespace fs = std::filesystem;
using namespace cleared::ledger;
namespace {

using Json = nlohmann::ordered_json;

std::string signed_text(const std::string& text, const SignerKey& key) {
  Note note{text, {}};
  add_signature(note, key);
  return format_note(note);
}

Fact revocation_fact(const std::string& note) {
  Fact fact;
  fact.mutable_revocation()->set_note(note);
  return fact;
}

struct SignedBatch {
  std::string note;
  std::vector<Digest> shards;
};

// Beside an approval that others sign too: the shards of its batch, one root a line, hex.
std::vector<Digest> read_shard_list(const std::string& path) {
  std::vector<Digest> shards;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    const auto root = parse_digest(line);
    if (!root) throw Error(Errc::corrupt, path, ": \"", line, "\" is not the root of a shard");
    shards.push_back(*root);
  }
  return shards;
}

void write_approval(const std::string& path, const SignedBatch& batch, Written& out) {
  std::string list;
  for (const Digest& shard : batch.shards) list += to_hex(shard) + "\n";
  out.write(path + ".shards", list);
  out.write(path, batch.note);
  out.say("%s: approval of %zu shard%s, to be signed by others with ledger sign, then appended\n",
          path.c_str(), batch.shards.size(), batch.shards.size() == 1 ? "" : "s");
}

// An approval lists so many shards and no more: of several the first is `path`, the next
// "b-2.approval" for "b.approval".
void write_approvals(const fs::path& path, const std::vector<SignedBatch>& batches, Written& out) {
  for (size_t i = 0; i < batches.size(); ++i) {
    const std::string name =
        path.stem().string() + "-" + std::to_string(i + 1) + path.extension().string();
    write_approval((i == 0 ? path : path.parent_path() / name).string(), batches[i], out);
  }
}

// A key is enrolled once: what its owner gives in again stays retired.
void tell_retired(const Store& store, const std::vector<Fact>& keys, const std::string& path,
                  Written& out) {
  for (const Fact& fact : keys) {
    for (const KnownKey& known : store.authority().keys()) {
      if (format_verifier_key(known.key) != fact.key().vkey() || known.retired_seq == UINT64_MAX) {
        continue;
      }
      out["retired_keys"].push_back({{"key", fact.key().vkey()}, {"record", known.retired_seq}});
      out.say(
          "%s: the key of %s was retired by record %llu and never counts again; make a new "
          "one with ledger key new\n",
          path.c_str(), printable(known.key.name).c_str(),
          static_cast<unsigned long long>(known.retired_seq));
    }
  }
}

Store::Appended append_keys(Store& store, const std::string& path, Written& out) {
  const std::vector<Fact> keys = key_facts(path);
  const Store::Appended appended = store.append(keys);
  tell_retired(store, keys, path, out);
  return appended;
}

// Of a bundle durable when the next call that writes has returned.
Store::Appended append_file(Store& store, const std::string& path, Written& out) {
  const std::string kind = fs::path(path).extension();
  if (kind == ".pub") return append_keys(store, path, out);
  if (kind == ".licence") return store.append_licence(read_file(path), path);
  if (kind == ".bundle") return store.append(read_bundle(path), Store::Durable::later);
  if (kind == ".approval") {
    return store.append({approval_fact(read_file(path), read_shard_list(path + ".shards"))});
  }
  if (is_signed_kind(kind)) return store.append(signed_facts(store, path));
  throw Error(Errc::usage, "append ", path,
              ": the name must end in .pub .licence .approval .revocation .policy .permit "
              ".retirement or .bundle");
}

// What a dry run can say of a file without a ledger that it may write to.
void check_file(const std::string& path) {
  const std::string kind = fs::path(path).extension();
  if (kind == ".pub") {
    key_facts(path);
  } else if (kind == ".licence") {
    parse_licence(parse_note(read_file(path), path).text, path);
  } else if (kind == ".bundle") {
    read_bundle(path);
  } else {
    parse_note(read_file(path), path);
  }
}

// A refusal is an answer and a record.
int record_refusal(Store& store, const LedgerOptions& o, const std::string& act,
                   const std::string& subject, const Verdict& verdict, Written& out) {
  std::fprintf(stderr, "ledger: refused: %s: %s\n", verdict.rule.c_str(),
               printable(verdict.fact).c_str());
  out["refused"] = {{"rule", verdict.rule}, {"fact", verdict.fact}};
  if (!o.dry_run) {
    Fact fact;
    fact.mutable_refusal()->set_act(act);
    fact.mutable_refusal()->set_subject(printable(subject));
    fact.mutable_refusal()->set_rule(verdict.rule);
    fact.mutable_refusal()->set_fact(printable(verdict.recorded()));
    out.record("refusal", store.append({fact}));
    sign_if_possible(store, o.log_key, out);
  }
  return exit_refused;
}

struct ParsedRecord {
  Record record;
  Fact fact;
};
ParsedRecord parse_stored(const Store& store, uint64_t seq, std::string_view bytes) {
  ParsedRecord out;
  if (!out.record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      !out.fact.ParseFromString(out.record.fact())) {
    throw Error(Errc::corrupt, store.path().string(), ": record ", seq,
                " does not parse; run ledger verify");
  }
  return out;
}

ParsedRecord read_record(const Store& store, uint64_t seq) {
  return parse_stored(store, seq, store.record_bytes(seq));
}

// As protobuf's own JSON: bytes in base64, 64-bit numbers as text.
Json to_json(const ParsedRecord& parsed, uint64_t seq) {
  std::string text;
  if (!google::protobuf::util::MessageToJsonString(parsed.fact, &text).ok()) text = "{}";
  return {{"seq", seq}, {"at", format_time(parsed.record.at_us())}, {"fact", Json::parse(text)}};
}

class HexBytes : public google::protobuf::TextFormat::FastFieldValuePrinter {
 public:
  void PrintString(const std::string& value,
                   google::protobuf::TextFormat::BaseTextGenerator* out) const override {
    out->PrintString("\"" + google::protobuf::strings::Utf8SafeCEscape(value) + "\"");
  }
  void PrintBytes(const std::string& value,
                  google::protobuf::TextFormat::BaseTextGenerator* out) const override {
    out->PrintString(to_hex(as_bytes(value)));
  }
};

// The record's text form for people: digests in hex, as everywhere else.
std::string readable(const Fact& fact) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  printer.SetDefaultFieldValuePrinter(new HexBytes);  // which the printer then owns
  std::string text;
  CLEARED_CHECK(printer.PrintToString(fact, &text));
  return text;
}

}  // namespace

std::string summary(const Fact& fact) {
  std::string text = readable(fact);
  std::replace(text.begin(), text.end(), '\n', ' ');
  const size_t brace = text.find("{ ");
  if (brace != std::string::npos) text = text.substr(brace + 2);
  return text.size() <= 100 ? text : std::string(first_bytes(text, 100)) + "...";
}

namespace {

// Empty: every kind.
void check_kind(const std::string& kind) {
  const auto* fields = Fact::descriptor();
  if (kind.empty() || fields->FindFieldByName(kind) != nullptr) return;
  std::string names;
  for (int i = 0; i < fields->field_count(); ++i) names += " " + fields->field(i)->name();
  throw Error(Errc::usage, "log: there is no kind \"", kind, "\"; the kinds are:", names);
}

// Root of the shard that is this record; empty for another kind.
std::string shard_root(const Store& store, uint64_t seq) {
  Statement select(store.db(), "SELECT root FROM shard WHERE seq = ?");
  return select.with(seq).next() ? select.text(0) : "";
}

// The licence by its id, for every version of it, or the shard.
void name_revoked(const Store& store, const std::string& what, Revocation& out) {
  const uint64_t seq = find_record(store, what, {"licence", "shard"});
  if (const std::string root = shard_root(store, seq); !root.empty()) {
    out.set_shard("sha256:" + root);
    return;
  }
  Statement licence(store.db(), "SELECT id, ref FROM licence WHERE seq = ?");
  CLEARED_CHECK(licence.with(seq).next());
  out.set_licence(licence.text(0));
  if (what.ends_with(licence.text(0))) return;
  throw Error(Errc::usage, "revoke ", what, ": a revocation is of every version of a licence: say ",
              out.licence());
}

Use use_to_approve(const LedgerOptions& o) {
  Use use = INGEST;
  if (Use_Parse(o.use, &use) && trains(use)) return use;
  throw Error(Errc::usage, "approve: --use must be TRAIN, FINETUNE or DISTIL");
}

std::vector<std::string> shards_to_approve(const Store& store, const LedgerOptions& o) {
  std::vector<std::string> roots;
  if (o.all == !o.files.empty()) {
    throw Error(Errc::usage, "approve: name shards, or give --all");
  }
  if (!o.all) {
    for (const std::string& what : o.files)
      roots.push_back(shard_root(store, find_record(store, what, {"shard"})));
    return roots;
  }
  Statement select(
      store.db(),
      "SELECT root FROM shard WHERE seq NOT IN (SELECT s.shard FROM approved_shard s "
      "JOIN approval a ON a.seq = s.seq WHERE a.use = ?) "
      "AND seq NOT IN (SELECT shard FROM deletion WHERE shard IS NOT NULL) ORDER BY seq");
  for (select.with(o.use); select.next();) roots.push_back(select.text(0));
  return roots;
}

// A new key pair for the log, or the one that an init left that did not come to its end.
SignerKey log_key_of_init(const LedgerOptions& o) {
  const std::string file = o.ledger + ".key";
  if (!fs::exists(file)) {
    const SignerKey key = new_signer_key(o.origin);
    write_key_pair(o.ledger, "log", key);
    return key;
  }
  const SignerKey key = read_signer_key(file);
  if (key.verifier.name != o.origin) {
    throw Error(Errc::io, "init ", o.ledger, ": ", file, " is there already, the key of ",
                key.verifier.name, "; move it away");
  }
  if (!fs::exists(o.ledger + ".pub")) write_public_key(o.ledger, "log", key.verifier);
  return key;
}

}  // namespace

std::string version_text() {
  return "cleared " CLEARED_VERSION;
}

int ledger_init(const LedgerOptions& o) {
  if (fs::exists(o.ledger)) {
    throw Error(Errc::io, "init ", o.ledger, ": a file of that name is there already");
  }
  Written out(o.json);
  const SignerKey key = log_key_of_init(o);
  const std::string vkey = format_verifier_key(key.verifier);
  Store::create(o.ledger, key.verifier);
  Store store(o.ledger, Access::append);
  out.record("log key", {0, 1, 0});
  out.head(store.sign_head(key));
  out.file(o.ledger + ".pub");
  out["private_key"] = o.ledger + ".key";
  out["key"] = vkey;
  out.say("made %s, log %s\nprivate key %s.key: keep it apart and safe\npublic key  %s.pub: %s\n",
          o.ledger.c_str(), o.origin.c_str(), o.ledger.c_str(), o.ledger.c_str(), vkey.c_str());
  return exit_ok;
}

int ledger_key_new(const LedgerOptions& o) {
  Written out(o.json);
  const SignerKey key = new_signer_key(
      o.name, o.role == "witness" ? SignatureType::ed25519_cosignature : SignatureType::ed25519);
  const std::string vkey = format_verifier_key(key.verifier);
  const fs::path stem = o.out;
  if (stem.has_parent_path()) make_folders(stem.parent_path());
  write_key_pair(stem, o.role, key);
  out.file(o.out + ".pub");
  out["private_key"] = o.out + ".key";
  out["role"] = o.role;
  out["key"] = vkey;
  out.say("%s.key (private)\n%s.pub: %s %s\n", o.out.c_str(), o.out.c_str(), o.role.c_str(),
          vkey.c_str());
  return exit_ok;
}

namespace {

// A review is checked, and one that is too long for a record taken apart: `note` then names lists.
// Returns them.
std::vector<std::string> prepare_review(const std::string& file, Note& note) {
  ReviewText text = parse_noted<ReviewText>(note, file);
  Review& review = *text.mutable_review();
  if (review.has_lists()) {
    const std::vector<std::string> lists = read_lists(decisions_path(file));
    join_lists(review, lists);
    check_review(review);
    return lists;
  }
  check_review(review);
  const std::vector<std::string> lists = split_lists(review);
  if (lists.empty()) return {};
  if (!note.signatures.empty()) {
    throw Error(Errc::corrupt, file, ": is signed, and too long for a record: sign its text anew");
  }
  note.text = format_textproto(text);
  return lists;
}

}  // namespace

int ledger_sign(const LedgerOptions& o) {
  const SignerKey key = read_signer_key(o.key);
  const std::string text = read_file(o.file);
  const bool is_note = text.find("\n\n\u2014 ") != std::string::npos;
  if (!is_note && o.out.empty()) {
    throw Error(Errc::usage, "sign ", o.file, ": say where the note goes with --out");
  }
  Note note = is_note ? parse_note(text, o.file) : Note{text, {}};
  if (note.text.empty() || note.text.back() != '\n') {
    throw Error(Errc::corrupt, o.file, ": must end with a newline");
  }
  const std::string out = o.out.empty() ? o.file : o.out;
  // Nobody should put a name under a document that the ledger would not take.
  if (fs::path(out).extension() == ".licence") parse_licence(note.text, o.file);
  std::vector<std::string> lists;
  if (fs::path(out).extension() == ".review") lists = prepare_review(o.file, note);
  if (fs::path(out).extension() == ".revocation") {
    try {
      check_revocation(parse_noted<RevocationText>(note, o.file).revocation());
    } catch (const Error& error) {
      throw about(o.file, error);
    }
  }
  if (fs::path(out).extension() == ".weights") parse_noted<ForeignText>(note, o.file);
  add_signature(note, key);
  Written written(o.json);
  if (!lists.empty()) written.write(decisions_path(out), format_lists(lists));
  written.write(out, format_note(note));
  for (const NoteSignature& signature : note.signatures) {
    written["signatures"].push_back(signature.name);
  }
  written.say("%s: signed by %s, %zu signature%s\n", out.c_str(), key.verifier.name.c_str(),
              note.signatures.size(), note.signatures.size() == 1 ? "" : "s");
  return exit_ok;
}

namespace {

Anchor anchor_in(const std::string& path) try {
  return read_anchor(path);
} catch (const Error& error) {
  throw about(path, error);
}

}  // namespace

int ledger_append(const LedgerOptions& o) {
  Written out(o.json, o.dry_run);
  if (o.dry_run) {
    for (const std::string& path : o.files) check_file(path);
    out["checked"] = o.files;
    out.say("%zu file%s would be appended\n", o.files.size(), o.files.size() == 1 ? "" : "s");
    return exit_ok;
  }
  Store store(o.ledger, Access::append);
  // Bundles are many: each is told of when it is durable, and it becomes so beside the next.
  std::optional<std::pair<std::string, Store::Appended>> untold;
  const auto tell = [&] {
    if (untold) out.appended(untold->first, untold->second);
    untold.reset();
  };
  std::string current;
  try {
    for (const std::string& path : o.files) {
      current = path;
      const Store::Appended appended = append_file(store, path, out);
      tell();
      untold = std::pair(path, appended);
    }
  } catch (const Refused& refused) {
    store.sync();
    tell();
    return record_refusal(store, o, "permit",
                          current + " " + digest_name(sha256(read_file(current))),
                          refused.verdict(), out);
  } catch (const Error& error) {
    store.sync();
    tell();
    throw record_bad_note(store, current, error, out);
  }
  store.sync();
  tell();
  sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

int ledger_sign_head(const LedgerOptions& o) {
  Written out(o.json, o.dry_run);
  Store store(o.ledger, o.dry_run ? Access::read : Access::append);
  if (o.dry_run) {
    out.say("would sign a tree head over %llu records and what they come to\n",
            static_cast<unsigned long long>(store.size()));
    return exit_ok;
  }
  sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

namespace {

// Who signs for footage on this machine learns that nobody here can tell whether it shows a
// protected work. No refusal: approvals and permits are judged by the ledger alone, and may be
// signed where its files are not.
void warn_of_missing_works(const Store& store, Written& out) {
  const std::string missing = missing_work(store);
  if (missing.empty()) return;
  out["missing_work"] = missing;
  std::fprintf(stderr, "ledger: warning: %s; until then nothing here can compare footage with it\n",
               printable(missing).c_str());
}

}  // namespace

int ledger_approve(const LedgerOptions& o) {
  Written out(o.json, o.dry_run);
  const Use use = use_to_approve(o);
  const SignerKey key = read_signer_key(o.key);
  Store store(o.ledger, Access::append);
  warn_of_missing_works(store, out);
  const Rights rights(store);
  const std::vector<std::string> roots = shards_to_approve(store, o);
  std::vector<SignedBatch> batches;
  for (size_t first = 0; first < roots.size(); first += kMaxBatch) {
    const std::vector<std::string> part(
        roots.begin() + static_cast<ptrdiff_t>(first),
        roots.begin() + static_cast<ptrdiff_t>(std::min(first + kMaxBatch, roots.size())));
    try {
      const Batch batch = make_approval(store, rights, part, use, o.comment);
      batches.push_back({signed_text(format_textproto(batch.text), key), batch.shards});
    } catch (const Refused& refused) {
      return record_refusal(store, o, "approve", joined(part), refused.verdict(), out);
    }
  }
  if (!o.dry_run && !batches.empty()) {
    if (!o.out.empty()) {
      write_approvals(o.out, batches, out);
      return exit_ok;
    }
    std::vector<Fact> facts;
    for (const SignedBatch& batch : batches) {
      facts.push_back(approval_fact(batch.note, batch.shards));
    }
    out.record("approval", store.append(facts));
  }
  out["approved"] = roots;
  const char* done = o.dry_run ? "would approve" : "approved";
  for (const std::string& root : roots) out.say("%s %s\n", done, root.c_str());
  if (roots.empty()) {
    out.say("%s\n", store.db().integer("SELECT EXISTS (SELECT 1 FROM shard)") != 0
                        ? "every shard is approved already"
                        : "there are no shards to approve");
  }
  if (!o.dry_run && !batches.empty()) sign_if_possible(store, o.log_key, out);
  return exit_ok;
}

namespace {

// How the run will draw where shares are limited.
void print_shares(const Permit& permit, const std::optional<SharePlan>& plan, Written& out) {
  for (size_t g = 1; plan && g < plan->groups.size(); ++g) {
    const auto& share = permit.share(static_cast<int>(g) - 1);
    out["shares"].push_back({{"licensor", share.licensor()},
                             {"most", share.most()},
                             {"draws", plan->size()},
                             {"takes", plan->groups[g].take},
                             {"samples", plan->groups[g].samples.size()}});
    out.say(
        "licensor %s may have %g of the run: an epoch of %llu draws takes %llu of its %zu "
        "samples\n",
        share.licensor().c_str(), share.most(), static_cast<unsigned long long>(plan->size()),
        static_cast<unsigned long long>(plan->groups[g].take), plan->groups[g].samples.size());
  }
}

// Signed by as many as a permit must be.
std::vector<Foreign> read_foreign(const Store& store, const std::vector<std::string>& files) {
  std::vector<Foreign> out;
  for (const std::string& file : files) {
    const Note note = parse_note(read_file(file, 1 << 20), file);
    ForeignText text;
    parse_textproto(note.text, file, text);
    require_digest_name(text.foreign().weights(), file + ": foreign.weights");
    store.authority().require(note, Policy::PERMIT, store.size(), file);
    out.push_back(text.foreign());
  }
  return out;
}

}  // namespace

int ledger_permit(const LedgerOptions& o) {
  Written out(o.json, o.dry_run);
  const SignerKey key = read_signer_key(o.key);
  const train::LoadedConfig loaded = train::load_config(o.file);
  const train::RunConfig& config = loaded.config;
  Store store(o.ledger, Access::append);
  if (!o.dry_run) sign_if_possible(store, o.log_key, out);
  warn_of_missing_works(store, out);
  const Rights rights(store);
  PermitRequest request;
  request.run = config.name();
  request.config_digest = loaded.digest;
  request.purpose = train::purpose_of(config);
  if (o.evaluate) declare(request.purpose, EVALUATE);
  if (o.encode) declare(request.purpose, ENCODE);
  uint32_t most = config.batch();  // samples of a step
  for (const train::RunConfig& shape : train::by_shape(config)) {
    request.height_px = std::max(request.height_px, shape.clip().height());
    most = std::max(most, shape.batch());
  }
  request.draws = config.steps() * most;
  request.passes_before = 1;  // the codec is fitted first
  for (const auto& foreign : config.foreign()) request.starts_from.push_back(foreign.weights());
  request.foreign = read_foreign(store, o.weights);
  request.resumes = o.resume;
  request.fit = train::fit_count(config);
  request.revocable_last = config.sequence() == train::RunConfig::REVOCABLE_LAST;
  request.buckets = !config.bucket().empty();
  if (!o.resume.empty()) {
    request.drawn = std::min(request.draws, end_of_run(store, o.resume) * most);
    request.draws -= request.drawn;
    request.passes_before = 0;
  }
  request.hours = o.hours;
  request.leave_out_refused = o.leave_out;
  request.only = o.name;
  PlannedPermit made;
  try {
    made = make_permit(store, rights, request);
  } catch (const Refused& refused) {
    return record_refusal(store, o, "permit", config.name() + " " + digest_name(loaded.digest),
                          refused.verdict(), out);
  }
  const Permit permit = made.text.permit();
  const auto lists = split_lists(*made.text.mutable_permit());
  const std::string note = signed_text(format_textproto(made.text), key);
  uint64_t samples = 0;
  for (const auto& shard : permit.shard()) samples += shard.samples();
  out["run"] = permit.run();
  out["shards"] = permit.shard_size();
  out["samples"] = samples;
  out["expires_at"] = permit.expires_at();
  out.say("permit for run %s: %d shards, %llu samples, until %s\n", permit.run().c_str(),
          permit.shard_size(), static_cast<unsigned long long>(samples),
          permit.expires_at().c_str());
  print_shares(permit, made.plan, out);
  if (o.dry_run) return exit_ok;
  HeldFiles files;
  files.add(proofs_path(o.out), shard_proofs(store, permit));
  if (!lists.empty()) files.add(lists_path(o.out), format_lists(lists));
  files.add(o.out, note);
  if (!o.draft) out.record("permit", store.append(permit_facts(note, lists)));
  for (const fs::path& path : files.publish()) out.file(path);
  if (o.draft) {
    out.say("%s: to be signed by others with ledger sign, then appended; not recorded yet\n",
            o.out.c_str());
  } else {
    sign_if_possible(store, o.log_key, out);
  }
  return exit_ok;
}

namespace {

// What took the same back already: it is of every version of a licence, and for good.
struct RevokedBefore {
  uint64_t seq = 0;
  std::string note;
};
std::optional<RevokedBefore> revoked_before(const Store& store, const Revocation& revocation) {
  Statement select(store.db(),
                   "SELECT r.seq, r.note FROM revocation r LEFT JOIN shard h ON h.seq = r.shard "
                   "WHERE r.licence = ?1 OR 'sha256:' || h.root = ?1 ORDER BY r.seq");
  select.with(revocation.has_licence() ? revocation.licence() : revocation.shard());
  if (!select.next()) return {};
  return RevokedBefore{select.unsigned_integer(0), select.text(1)};
}

void tell_revoked(const std::string& name, const RevokedBefore& before, Written& out) {
  out["revoked_before"] = before.seq;
  out.say("%s was revoked before, by record %llu; nothing is appended\n", name.c_str(),
          static_cast<unsigned long long>(before.seq));
}

}  // namespace

int ledger_revoke(const LedgerOptions& o) {
  Written out(o.json, o.dry_run);
  const SignerKey key = read_signer_key(o.key);
  Store store(o.ledger, Access::append);
  RevocationText text;
  Revocation& revocation = *text.mutable_revocation();
  name_revoked(store, o.name, revocation);
  revocation.set_at(format_time(judging_time_us(store)));
  revocation.set_reason(o.comment);
  const auto before = revoked_before(store, revocation);
  if (o.dry_run && before) {
    tell_revoked(o.name, *before, out);
    return exit_ok;
  }
  if (o.dry_run) {  // what was signed once, others could append
    out.say("would revoke %s\n", revocation.has_licence()
                                     ? ("licence " + revocation.licence()).c_str()
                                     : ("shard " + revocation.shard()).c_str());
    return exit_ok;
  }
  std::string note = signed_text(format_textproto(text), key);
  if (!o.file.empty()) {
    out["note"] = note;
    out.write(o.file, note);
    out.say("%s: to be signed by others with ledger sign, then appended; not recorded yet\n",
            o.file.c_str());
    return exit_ok;
  }
  if (before) note = before->note;
  out["note"] = note;
  HeldFiles notice;
  if (!o.out.empty()) {
    make_folders(o.out);
    notice.add(fs::path(o.out) / (to_hex(sha256(note)).substr(0, 16) + ".revocation"), note);
  }
  if (before) {
    tell_revoked(o.name, *before, out);
  } else {
    out.appended("revoked " + o.name, store.append({revocation_fact(note)}));
  }
  for (const fs::path& path : notice.publish()) {
    out.file(path);
    out.say("notice for running jobs: %s\n", path.c_str());
  }
  sign_if_possible(store, o.log_key, out);
  // The view knows the runs that consumed a clip, the impact also those that went on from them.
  const Impact impact =
      impact_of(store, revocation.has_licence() ? "licence:" + revocation.licence()
                                                : revocation.shard().substr(7));
  out["checkpoints"] = {{"touched", impact.touched_checkpoints}, {"all", impact.all_checkpoints}};
  if (impact.touched_checkpoints > 0) {
    out.say("%llu of %llu checkpoints know of it: ledger impact says which\n",
            static_cast<unsigned long long>(impact.touched_checkpoints),
            static_cast<unsigned long long>(impact.all_checkpoints));
  }
  const std::string now = format_time(judging_time_us(store));
  const auto open = std::count_if(impact.releases.begin(), impact.releases.end(),
                                  [&](const ReleaseImpact& r) { return now < r.expires_at; });
  out["releases_running"] = open;
  if (open > 0) {
    out.say("%lld release%s not ended: tell who has %s; ledger due lists %s\n",
            static_cast<long long>(open), open == 1 ? " has" : "s have", open == 1 ? "it" : "them",
            open == 1 ? "it" : "them");
  }
  const Table touched = query_view(o.ledger, "touched");
  out["consumed_by"] = tools::to_json(touched);
  if (!touched.rows.empty() && out.in_words()) {
    std::printf("checkpoints that had consumed revoked clips:\n");
    print_table(touched);
  }
  return exit_ok;
}

int ledger_show(const LedgerOptions& o) {
  const Store store(o.ledger, Access::read);
  const uint64_t seq = find_record(store, o.name);
  const ParsedRecord parsed = read_record(store, seq);
  if (o.json) {
    print_json(to_json(parsed, seq));
    return exit_ok;
  }
  std::printf("record %llu, %s\n%s", static_cast<unsigned long long>(seq),
              format_time(parsed.record.at_us()).c_str(),
              printable_lines(readable(parsed.fact)).c_str());
  if (parsed.fact.has_licence()) {
    Statement document(store.db(), "SELECT note FROM document WHERE digest = ?");
    const std::string& digest = parsed.fact.licence().document_digest();
    if (document.with(to_hex(as_bytes(digest))).next()) {
      std::printf("\n%s", printable_lines(document.text(0)).c_str());
    } else {
      std::printf("\nits document was erased\n");
    }
  }
  return exit_ok;
}

int ledger_log(const LedgerOptions& o) {
  check_kind(o.role);
  constexpr uint64_t kAtOnce = 16 * kBundleRecords;
  const Store store(o.ledger, Access::read);
  const Entries entries(store.db());
  uint64_t printed = 0;
  const auto done = [&] { return o.limit != 0 && printed == o.limit; };
  const auto use = [&](uint64_t seq, std::string_view bytes) {
    if (done()) return;
    const ParsedRecord parsed = parse_stored(store, seq, bytes);
    const std::string kind(kind_name(parsed.fact));
    if (!o.role.empty() && kind != o.role) return;
    ++printed;
    if (o.json) {
      print_json_line(to_json(parsed, seq));
    } else {
      std::printf("%6llu  %s  %-11s  %s\n", static_cast<unsigned long long>(seq),
                  format_time(parsed.record.at_us()).c_str(), kind.c_str(),
                  printable(summary(parsed.fact)).c_str());
    }
  };
  for (uint64_t seq = o.from; seq < store.size() && !done(); seq += kAtOnce) {
    entries.scan(seq, std::min(store.size(), seq + kAtOnce), use);
  }
  return exit_ok;
}

namespace {

// Again, where it could not be held still.
VerifyReport verify_patiently(const fs::path& ledger, const VerifyOptions& options) {
  for (int tries = 5;; --tries) {
    try {
      return undisturbed([&] { return verify_ledger(ledger, options); });
    } catch (const Error& error) {
      if (error.code() != Errc::busy || tries == 1) throw;
    }
  }
}

}  // namespace

int ledger_verify(const LedgerOptions& o) {
  VerifyOptions options;
  options.deep = o.deep;
  for (const std::string& path : o.files) options.anchors.push_back(anchor_in(path));
  if (!o.trust.empty()) options.log_keys = read_trust(o.trust).keys;
  const VerifyReport report = verify_patiently(o.ledger, options);
  if (o.json) {
    Json findings = Json::array();
    for (const Finding& f : report.findings)
      findings.push_back({{"where", f.where}, {"what", f.what}});
    const Json out = {{"records", report.records},
                      {"rows", report.rows},
                      {"heads", report.heads},
                      {"anchors", report.anchors},
                      {"unsigned_tail", report.unsigned_tail},
                      {"root", to_hex(report.root)},
                      {"findings", findings}};
    print_json(out);
    return report.findings.empty() ? exit_ok : exit_no;
  }
  for (const Finding& f : report.findings) {
    std::printf("changed: %s: %s\n", printable(f.where).c_str(), printable(f.what).c_str());
  }
  std::printf("%s: %llu records, %llu rows, %llu signed tree heads, %llu anchor%s; root %s\n",
              report.findings.empty() ? "intact" : "NOT INTACT",
              static_cast<unsigned long long>(report.records),
              static_cast<unsigned long long>(report.rows),
              static_cast<unsigned long long>(report.heads),
              static_cast<unsigned long long>(report.anchors), report.anchors == 1 ? "" : "s",
              to_hex(report.root).c_str());
  if (report.unsigned_tail > 0) {
    std::printf("note: the last %llu records are under no signed tree head yet\n",
                static_cast<unsigned long long>(report.unsigned_tail));
  }
  return report.findings.empty() ? exit_ok : exit_no;
}

}  // namespace cleared::tools
