#include "tools/rights_commands.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <set>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/base/check.h"
#include "ledger/base/clock.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/base/utf8.h"
#include "ledger/coverage.h"
#include "ledger/digest.h"
#include "ledger/disclosure.h"
#include "ledger/extraction.h"
#include "ledger/footage.h"
#include "ledger/key.h"
#include "ledger/licence.h"
#include "ledger/note.h"
#include "ledger/permit.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/rights.h"
#include "ledger/rules.h"
#include "ledger/similarity.h"
#include "ledger/store.h"
#include "ledger/terms.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "tools/cli.h"
#include "tools/held_files.h"
#include "tools/ledger_commands.h"
#include "tools/output.h"
#include "tools/written.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

constexpr uint64_t kMaxReleaseBytes = 1 << 20;

struct RightsOptions {
  std::string ledger, file, other, name, use = "RELEASE_WEIGHTS", model, field, territory, at;
  std::string key, out, done, trust, foreign, extraction;
  uint64_t hours = 24;
  bool json = false, markdown = false, dry_run = false, draft = false;
};

int print_rules(const RightsOptions& o) {
  if (o.markdown) {
    std::fputs(rules_markdown().c_str(), stdout);
    return exit_ok;
  }
  Json out = Json::array();
  for (const GateRule& rule : rules()) {
    if (o.json) {
      out.push_back({{"rule", rule.name},
                     {"question", rule.question},
                     {"looks_at", rule.fact},
                     {"helps", rule.helps}});
    } else {
      std::printf("%-22s %s\n", std::string(rule.name).c_str(), std::string(rule.question).c_str());
    }
  }
  if (o.json) print_json(out);
  return exit_ok;
}

// A licence, signed or not.
struct LicenceFile {
  LicenceText terms;
  Note note;
};
LicenceFile read_licence(const std::string& path) {
  LicenceFile out;
  const std::string text = read_file(path);
  const bool is_note = text.find("\n\n\u2014 ") != std::string::npos;
  out.note = is_note ? parse_note(text, path) : Note{text, {}};
  out.terms = parse_licence(out.note.text, path);
  return out;
}

// Where the keys are that signatures are held against: a trust file, a ledger, or nowhere.
struct KnownKeys {
  std::string where;
  std::vector<PublicKey> keys;
};
KnownKeys known_keys(const RightsOptions& o) {
  if (!o.trust.empty()) return {o.trust, read_trust(o.trust).keys};
  KnownKeys out{o.ledger, {}};
  if (o.ledger.empty()) return out;
  const Store store(o.ledger, Access::read);
  for (const KnownKey& known : store.authority().keys()) {
    if (known.valid_at(store.size())) out.keys.push_back({known.role, known.key});
  }
  return out;
}

struct PartySignature {
  std::string party, role, standing;  // "verified", "not verified", "missing"
  std::string warning;                // empty when it is verified
};
// A line with a party's name that its key did not make is no warning: Error{permission}.
PartySignature check_signature(const LicenceFile& file, const KnownKeys& known,
                               const std::string& party, const std::string& role,
                               const std::string& path) {
  PartySignature out{party, role, "verified", ""};
  const auto& lines = file.note.signatures;
  if (std::none_of(lines.begin(), lines.end(), [&](const auto& s) { return s.name == party; })) {
    out.standing = "missing";
    out.warning = "not signed by " + party + " yet";
    return out;
  }
  bool has_key = false;
  for (const PublicKey& key : known.keys) {
    if (key.role != role || key.key.name != party) continue;
    if (signed_by(file.note, key.key)) return out;
    has_key = true;
  }
  if (has_key) {
    throw Error(Errc::permission, path, ": the signature of ", party,
                " does not verify: no key of ", role, " ", party, " in ", known.where,
                " made it over this text");
  }
  out.standing = "not verified";
  out.warning = "the signature of " + party + " was not verified: " +
                (known.where.empty() ? "give its key with --trust FILE or --ledger"
                                     : known.where + " has no key of " + role + " " + party);
  return out;
}

int check_licence(const RightsOptions& o) {
  if (!o.at.empty() && !(is_date(o.at) && o.at >= "1990" && o.at < "2200")) {
    throw Error(Errc::usage, "licence check: --day \"", o.at,
                "\" is not a day like 2026-01-31, from 1990 to 2199");
  }
  const LicenceFile file = read_licence(o.file);
  const auto sentences = explain_licence(file.terms);
  auto warnings = warn_of(file.terms, o.at.empty() ? date_of(now_us()) : o.at);
  const KnownKeys known = known_keys(o);
  const Licence& licence = file.terms.licence();
  Json signatures = Json::array();
  std::string verified;
  for (const auto& [party, role] : {std::pair(licence.licensor(), std::string("licensor")),
                                    std::pair(licence.licensee(), std::string("licensee"))}) {
    const PartySignature signature = check_signature(file, known, party, role, o.file);
    signatures.push_back({{"name", party}, {"role", role}, {"standing", signature.standing}});
    if (signature.warning.empty()) {
      verified += (verified.empty() ? "" : " and ") + role + " " + party;
    } else {
      warnings.push_back(signature.warning);
    }
  }
  if (!o.ledger.empty()) {
    const Store store(o.ledger, Access::read);
    if (sources_covered_by(store, file.terms).empty())
      warnings.push_back("it covers none of the sources in " + o.ledger);
  }
  if (o.json) {
    print_json(Json{{"licence", licence_ref(file.terms)},
                    {"says", sentences},
                    {"warnings", warnings},
                    {"signatures", signatures}});
    return exit_ok;
  }
  for (const auto& sentence : sentences) std::printf("%s\n", printable(sentence).c_str());
  if (!verified.empty()) {
    std::printf("Signed by %s: verified with the keys in %s.\n", printable(verified).c_str(),
                known.where.c_str());
  }
  for (const auto& warning : warnings) std::printf("warning: %s\n", printable(warning).c_str());
  return exit_ok;
}

// What an amendment touches of what the ledger holds: everything that the licence covers, or will.
struct Touched {
  std::vector<std::string> clips, shards, runs;  // ids; names with roots; names
  std::vector<std::string> gained, lost;         // paths of sources: covered after, and no more
};
Touched touched_by(const Store& store, const LicenceText& before, const LicenceText& after) {
  Touched out;
  std::set<uint64_t> under = sources_under(store, before.licence().id());
  const auto was = sources_covered_by(store, before), is = sources_covered_by(store, after);
  Statement sources(store.db(), "SELECT seq, path FROM source ORDER BY path");
  while (sources.next()) {
    const uint64_t seq = sources.unsigned_integer(0);
    if (was.contains(seq) == is.contains(seq)) continue;
    (was.contains(seq) ? out.lost : out.gained).push_back(sources.text(1));
    under.insert(seq);
  }
  std::set<std::string> clips, shards, runs;
  const std::string of_them =  // and clips of others that they show, too
      "WITH its(clip) AS (SELECT c.clip FROM json_each(?1) j CROSS JOIN source_clip c "
      "ON c.source = j.value UNION SELECT clip FROM near_copy_clip "
      "WHERE source IN (SELECT value FROM json_each(?1))) ";
  const auto read = [&](const std::string& sql, std::set<std::string>& into) {
    Statement select(store.db(), of_them + sql);
    for (select.with(json_list(under)); select.next();) into.insert(select.text(0));
  };
  read("SELECT k.id FROM its c CROSS JOIN clip k ON k.seq = c.clip", clips);
  read(
      "SELECT DISTINCT s.name || ' sha256:' || s.root FROM its c CROSS JOIN sample p "
      "ON p.clip = c.clip JOIN shard s ON s.seq = p.shard",
      shards);
  read(
      "SELECT DISTINCT r.name FROM its c CROSS JOIN consumed_clip u ON u.clip = c.clip "
      "JOIN run r ON r.seq = u.run",
      runs);
  out.clips.assign(clips.begin(), clips.end());
  out.shards.assign(shards.begin(), shards.end());
  out.runs.assign(runs.begin(), runs.end());
  return out;
}

// Clips may be many: their ids are in the JSON.
void print_touched(const Touched& t) {
  std::printf("touches %zu clips, %zu shards, %zu runs\n", t.clips.size(), t.shards.size(),
              t.runs.size());
  for (const auto& shard : t.shards) std::printf("  shard %s\n", printable(shard).c_str());
  for (const auto& run : t.runs) std::printf("  run %s\n", printable(run).c_str());
  for (const auto& path : t.gained) std::printf("covers now: %s\n", printable(path).c_str());
  for (const auto& path : t.lost) std::printf("covers no more: %s\n", printable(path).c_str());
}

void print_changes(const std::vector<TermChange>& changes) {
  for (const TermChange& c : changes) {
    std::printf("%-9s %s: %s -> %s\n", std::string(effect_word(c.effect)).c_str(), c.path.c_str(),
                c.before.empty() ? "(not set)" : printable(c.before).c_str(),
                c.after.empty() ? "(not set)" : printable(c.after).c_str());
  }
  if (changes.empty()) std::printf("no term differs\n");
}

int diff_licences(const RightsOptions& o) {
  const LicenceText before = read_licence(o.file).terms, after = read_licence(o.other).terms;
  const auto changes = compare_terms(before, after);
  Json out = {{"before", licence_ref(before)}, {"after", licence_ref(after)}};
  out["changes"] = Json::array();
  for (const TermChange& c : changes) {
    out["changes"].push_back({{"term", c.path},
                              {"before", c.before},
                              {"after", c.after},
                              {"effect", effect_word(c.effect)}});
  }
  if (!o.json) {
    std::printf("%s -> %s\n", licence_ref(before).c_str(), licence_ref(after).c_str());
    print_changes(changes);
  }
  if (!o.ledger.empty()) {
    const Store store(o.ledger, Access::read);
    const Touched t = touched_by(store, before, after);
    out["touches"] = {{"clips", t.clips}, {"shards", t.shards}, {"runs", t.runs}};
    out["covers_now"] = t.gained;
    out["covers_no_more"] = t.lost;
    if (!o.json) print_touched(t);
  }
  if (o.json) print_json(out);
  return exit_ok;
}

Use parse_use(const std::string& word) {
  Use use = INGEST;
  if (Use_Parse(word, &use) && (use == RELEASE_WEIGHTS || use == SUBLICENSE ||
                                use == GENERATE_INTERNAL || use == GENERATE_COMMERCIAL)) {
    return use;
  }
  throw Error(Errc::usage, "release: --use must be RELEASE_WEIGHTS, SUBLICENSE, GENERATE_INTERNAL ",
              "or GENERATE_COMMERCIAL");
}

// Words and places as the gate asks for them; it would say no to any other, too.
void require_declared(const RightsOptions& o) {
  for (const auto& [option, word] : {std::pair("--model", o.model), {"--field", o.field}}) {
    if (is_word(word)) continue;
    throw Error(Errc::usage, "release: ", option, " must be one word, 1 to 100 of a-z 0-9 . _ -");
  }
  if (!is_place(o.territory) || !(o.at.empty() || is_place(o.at))) {
    throw Error(Errc::usage, "release: --territory and --computed-in must be two capitals, as \"",
                "DE\" or \"EU\"");
  }
}

uint32_t parse_contact(const std::string& word) {
  Foreign::Contact contact = Foreign::A;
  if (word.empty()) return 0;
  if (!Foreign::Contact_Parse(word, &contact)) {
    throw Error(Errc::usage, "release: --foreign must be A, B or C, a contact class");
  }
  return static_cast<uint32_t>(contact);
}

std::optional<ExtractionTest> extraction_of(const Store& store, const std::string& path) {
  if (path.empty()) return {};
  return read_extraction(path, store.authority(), store.size());
}

// On record as it is handed out, with a head over it where the log's key is at hand.
void record_release(Store& store, const std::string& note, Written& out) {
  Fact fact;
  fact.mutable_release()->set_note(note);
  out.appended("release", store.append({fact}));
  sign_if_possible(store, "", out);
}

// What a release is to say, and the footage that clips are compared with where a licence limits how
// alike they may be.
std::pair<ReleaseRequest, std::string> release_request(const Store& store, const RightsOptions& o,
                                                       Use use, const std::string& digest,
                                                       const CheckpointStanding& standing,
                                                       uint64_t hours) {
  const Digest weights = parse_digest(digest).value_or(Digest{});
  ReleaseRequest request{weights, use, o.model, o.field, o.territory, hours};
  std::string footage;
  if (standing.similarity_max) {
    footage = format_footage(footage_of(store, standing.consumed));
    request.footage = sha256(footage);
  }
  return {request, std::move(footage)};
}

// The yes as a note, for places that have the weights and no ledger. Signed as a permit must be.
void write_release(Store& store, const RightsOptions& o, Use use, const std::string& digest,
                   const CheckpointStanding& standing, Written& out) {
  const auto [request, footage] = release_request(store, o, use, digest, standing, o.hours);
  const ReleaseText text = make_release(store, standing, request);
  Note note{format_textproto(text), {}};
  add_signature(note, read_signer_key(o.key));
  if (!o.draft) store.authority().require(note, Policy::PERMIT, store.size(), o.out);
  HeldFiles files;
  if (standing.similarity_max) files.add(footage_path(o.out), footage);
  files.add(o.out, format_note(note));
  if (!o.draft) record_release(store, format_note(note), out);
  for (const auto& path : files.publish()) out.file(path);
  out["expires_at"] = text.release().expires_at();
  out.say("%s: until %s, for who has the weights and no ledger%s\n", o.out.c_str(),
          text.release().expires_at().c_str(),
          o.draft ? "; to be signed by others with ledger sign, then recorded with --signed" : "");
  if (standing.similarity_max) {
    out.say("%s goes with it: clips may be alike to that footage up to %s\n",
            footage_path(o.out).c_str(), short_number(*standing.similarity_max).c_str());
  }
}

// A draft that others have signed since: on record where it says what would be written now.
void take_release(Store& store, const RightsOptions& o, Use use, const std::string& digest,
                  const CheckpointStanding& standing, Written& out) {
  const std::string note = read_file(o.done, kMaxReleaseBytes);
  const auto given = parse_noted<ReleaseText>(parse_note(note, o.done), o.done).release();
  const auto request = release_request(store, o, use, digest, standing, kMaxPermitHours).first;
  Release now = make_release(store, standing, request).release();
  if (given.expires_at() > now.expires_at()) {
    throw Error(Errc::corrupt, o.done, ": it holds until ", given.expires_at(),
                ", the terms until ", now.expires_at(), "; make a new one");
  }
  now.set_issued_at(given.issued_at());
  now.set_expires_at(given.expires_at());
  now.set_tree_size(given.tree_size());
  now.set_tree_root(given.tree_root());
  now.set_tree_at(given.tree_at());
  if (now.SerializeAsString() != given.SerializeAsString()) {
    throw Error(Errc::corrupt, o.done,
                ": it is not what the ledger would write now, for these options; make a new one");
  }
  record_release(store, note, out);
}

int release(const RightsOptions& o) {
  if (o.key.empty() != o.out.empty()) {
    throw Error(Errc::usage, "release: --key signs what --out writes; give both or neither");
  }
  if (!o.done.empty() && !o.out.empty()) {
    throw Error(Errc::usage,
                "release: --signed is a file that --out wrote before; give one of them");
  }
  const Use use = parse_use(o.use);
  require_declared(o);
  Written out(o.json, o.dry_run);
  Store store(o.ledger, o.dry_run ? Access::read : Access::append);
  const uint64_t seq = find_record(store, o.name, {"checkpoint"});
  Statement checkpoint(store.db(), "SELECT digest FROM checkpoint WHERE seq = ?");
  CLEARED_CHECK(checkpoint.with(seq).next());
  const std::string digest = checkpoint.text(0);
  Purpose purpose;
  purpose.set_use(use);
  purpose.set_model(o.model);
  purpose.set_field_of_use(o.field);
  purpose.set_compute_territory(o.at.empty() ? o.territory : o.at);
  const CheckpointStanding standing =
      judge_checkpoint(store, Rights(store), seq, Act{use, 0, &purpose, o.territory},
                       parse_contact(o.foreign), extraction_of(store, o.extraction));
  const Verdict& verdict = standing.verdict;
  out["checkpoint"] = digest;
  out["use"] = Use_Name(use);
  out["territory"] = o.territory;
  out["cleared"] = verdict.cleared;
  if (verdict.cleared) {
    out["licences"] = standing.licences;
    out["sources"] = standing.sources;
    out.say("%s of checkpoint %s in %s: yes, by %zu licence%s of %llu source%s\n",
            Use_Name(use).c_str(), digest.c_str(), o.territory.c_str(), standing.licences.size(),
            standing.licences.size() == 1 ? "" : "s",
            static_cast<unsigned long long>(standing.sources), standing.sources == 1 ? "" : "s");
    for (const Foreign& weights : standing.foreign) {
      const std::string contact = Foreign::Contact_Name(weights.contact());
      out["foreign"].push_back(
          {{"weights", weights.weights()}, {"origin", weights.origin()}, {"contact", contact}});
      out.say("it began with foreign weights %s of %s, contact class %s\n",
              weights.weights().c_str(), printable(weights.origin()).c_str(), contact.c_str());
    }
    if (!o.out.empty() && !o.dry_run) write_release(store, o, use, digest, standing, out);
    if (!o.done.empty() && !o.dry_run) take_release(store, o, use, digest, standing, out);
    return exit_ok;
  }
  std::fprintf(stderr, "ledger: refused: %s: %s\n", verdict.rule.c_str(),
               printable(verdict.fact).c_str());
  out["refused"] = {{"rule", verdict.rule}, {"fact", verdict.fact}};
  if (!o.dry_run) {
    Fact fact;
    RefusalRecord& refusal = *fact.mutable_refusal();
    refusal.set_act("release");
    refusal.set_subject(digest);
    refusal.set_rule(verdict.rule);
    refusal.set_fact(verdict.recorded());
    out.record("refusal", store.append({fact}));
    sign_if_possible(store, "", out);
  }
  return exit_refused;
}

struct FoundRefusal {
  uint64_t seq = 0;
  std::string at, act, subject, rule, fact;
};
// What helps footage is no help to weights that have consumed it.
std::string help_of(const FoundRefusal& r, const GateRule& rule) {
  if (r.act != "release") return std::string(rule.helps);
  if (r.rule == "revoked" || r.rule == "minors_visible")
    return "weights that did not consume it: `ledger impact` names the last clean checkpoint";
  if (r.rule == "no_licence" && r.fact.starts_with("nothing on record"))
    return "append the bundles of the runs that they came from";
  if (r.rule == "foreign_not_allowed") return "`ledger release --foreign`, where that may be";
  return std::string(rule.helps);
}

// Does the text name this digest, by 8 hex digits or more?
bool names_digest(const std::string& text, const std::string& what) {
  if (what.size() < 8 || what.find_first_not_of("0123456789abcdef") != std::string::npos)
    return false;
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    if (at == 0 || text[at - 1] == ' ' || text[at - 1] == ':') return true;
  }
  return false;
}
// Is `what` the subject of a refusal: all of it, its path before the digest, a file name at the end
// of the path, or one of its digests?
bool is_subject(const std::string& subject, const std::string& what) {
  const std::string path = refused_file(subject).path;
  return subject == what || path == what || path.ends_with("/" + what) ||
         names_digest(subject, what);
}
// Is it what decided? A sample is called by the first digits of its clip.
bool decided(const std::string& fact, const std::string& what) {
  constexpr size_t kKeyDigits = 16;
  return names_digest(fact, what) ||
         (what.size() > kKeyDigits && fact.starts_with("sample " + what.substr(0, kKeyDigits)) &&
          names_digest(fact, what.substr(0, kKeyDigits)));
}

// The newest first.
std::vector<FoundRefusal> refusals_of(const Store& store, const std::string& given) {
  const std::string what = given.starts_with("sha256:") ? given.substr(7) : given;
  // As subjects are recorded: a control character is a ? where the ledger wrote it, %XX where
  // curate did.
  const std::string plain = printable(what), escaped = with_escapes(what);
  Statement select(store.db(),
                   "SELECT seq, at, act, subject, rule, fact FROM refused "
                   "WHERE instr(subject, ?) > 0 OR instr(subject, ?) > 0 OR instr(fact, ?) > 0 "
                   "ORDER BY seq DESC");
  std::vector<FoundRefusal> out;
  // 8 digits, so that a sample's fact is looked at, too.
  for (select.with(plain, escaped, plain.substr(0, 8)); select.next();) {
    if (!is_subject(select.text(3), plain) && !is_subject(select.text(3), escaped) &&
        !decided(select.text(5), plain)) {
      continue;
    }
    out.push_back({select.unsigned_integer(0), select.text(1), select.text(2), select.text(3),
                   select.text(4), select.text(5)});
  }
  return out;
}

struct AskedTerm {
  std::string licence;
  LicenceField field;
};
// The terms that the rule looks at, of the licences that the refusal names; of all where what a
// run may do in all is limited. The record leaves them out, since it may be published; here they
// are read from documents that are kept.
std::vector<AskedTerm> asked_terms(const Store& store, const FoundRefusal& r) {
  std::vector<AskedTerm> named, all;
  const GateRule* rule = find_rule(r.rule);
  if (rule == nullptr) return all;
  Statement documents(store.db(),
                      "SELECT l.ref, d.note FROM licence l JOIN document d "
                      "ON d.digest = l.document_digest ORDER BY l.seq");
  while (documents.next()) {
    const std::string ref = documents.text(0);
    const Note note = parse_note(documents.view(1), ref);
    for (LicenceField& field :
         licence_fields(parse_licence(note.text, ref, LicenceAge::recorded))) {
      const std::string path = field.path.substr(0, field.path.find('['));
      if (rule->fact.find("`" + path + "`") == std::string_view::npos) continue;
      const bool is_named = (r.fact + " ").find("licence " + ref + " ") != std::string::npos;
      (is_named ? named : all).push_back({ref, std::move(field)});
    }
  }
  return named.empty() && rule->stage == RuleStage::limits ? all : named;
}

void print_refusal(const Store& store, const FoundRefusal& r) {
  const GateRule* rule = find_rule(r.rule);
  std::printf("%s\n",
              printable("record " + std::to_string(r.seq) + ", " + r.at + ": " + r.act + " of " +
                        r.subject + " was refused by rule " + r.rule + ", because " + r.fact + ".")
                  .c_str());
  if (rule == nullptr) return;
  for (const auto& [ref, field] : asked_terms(store, r)) {
    std::printf("  licence %s says %s: %s\n", ref.c_str(), field.path.c_str(), field.value.c_str());
  }
  std::printf("  the rule asks: %s\n  what helps: %s\n", std::string(rule->question).c_str(),
              help_of(r, *rule).c_str());
}

int why_not(const RightsOptions& o) {
  const Store store(o.ledger, Access::read);
  const auto found = refusals_of(store, o.name);
  if (o.json) {
    Json out = Json::array();
    for (const FoundRefusal& r : found) {
      Json terms = Json::array();
      for (const auto& [ref, field] : asked_terms(store, r)) {
        terms.push_back({{"licence", ref}, {"field", field.path}, {"value", field.value}});
      }
      out.push_back({{"record", r.seq},
                     {"at", r.at},
                     {"act", r.act},
                     {"subject", r.subject},
                     {"rule", r.rule},
                     {"fact", r.fact},
                     {"terms", terms}});
    }
    print_json(out);
    return exit_ok;
  }
  if (found.empty()) {
    std::printf("no refusal of it is on record; ledger why says whether it may be used today\n");
  } else {
    print_refusal(store, found.front());
  }
  if (found.size() > 1) std::printf("%zu earlier refusals: --json\n", found.size() - 1);
  return exit_ok;
}

using Options = std::shared_ptr<RightsOptions>;

CLI::App* add(CLI::App& app, std::function<int()>& run, const Options& o, const char* name,
              const char* what, int (*body)(const RightsOptions&)) {
  CLI::App* command = app.add_subcommand(name, what);
  command->callback([o, body, &run] { run = [o, body] { return body(*o); }; });
  return command;
}

void add_licence_commands(CLI::App& app, std::function<int()>& run, const Options& o) {
  CLI::App* licence = app.add_subcommand("licence", "read a licence before it is signed");
  licence->require_subcommand(1);
  CLI::App* check =
      add(*licence, run, o, "check", "explain a licence in plain words, and warn", check_licence);
  check->add_option("FILE", o->file, "text of a licence, or a note that was signed")->required();
  check->add_option(
      "--ledger", o->ledger,
      "also: do its signatures verify with the keys of this ledger, and does it cover "
      "anything there");
  check->add_option("--trust", o->trust,
                    "verify its signatures with these keys: lines \"role vkey\", as in *.pub");
  check->add_option("--day", o->at, "as if today were this day, 2026-01-31");
  check->add_flag("--json", o->json, "print JSON");
  CLI::App* diff =
      add(*licence, run, o, "diff", "what an amendment changes, term by term", diff_licences);
  diff->add_option("BEFORE", o->file, "a licence")->required();
  diff->add_option("AFTER", o->other, "its next version")->required();
  diff->add_option("--ledger", o->ledger, "also: what of this ledger is under it");
  diff->add_flag("--json", o->json, "print JSON");
}

}  // namespace

void add_rights_commands(CLI::App& app, std::function<int()>& run) {
  const auto o = std::make_shared<RightsOptions>();
  CLI::App* rules = add(app, run, o, "rules", "the rules of the gate, in their order", print_rules);
  rules->add_flag("--markdown", o->markdown, "print docs/gate-rules.md");
  rules->add_flag("--json", o->json, "print JSON");
  add_licence_commands(app, run, o);

  CLI::App* let_go = add(app, run, o, "release",
                         "may a checkpoint be released, or generate; a no is recorded", release);
  let_go->add_option("LEDGER", o->ledger, "the ledger file")->required();
  let_go->add_option("CHECKPOINT", o->name, "number or digest of its record")->required();
  let_go->add_option("--use", o->use, "RELEASE_WEIGHTS SUBLICENSE GENERATE_INTERNAL ...")
      ->capture_default_str();
  let_go->add_option("--model", o->model, "model line of the checkpoint")->required();
  let_go->add_option("--field", o->field, "field of use")->required();
  let_go->add_option("--territory", o->territory, "where weights or clips go")->required();
  let_go->add_option("--computed-in", o->at, "where it computes (default: --territory)");
  let_go->add_option("--key", o->key, "approver's private key, to sign --out with");
  let_go->add_option("--out", o->out, "write the yes as a note, for `train sample --release`");
  let_go->add_option("--hours", o->hours, "how long it holds, 1 to 168")->capture_default_str();
  let_go->add_flag("--draft", o->draft, "write --out for others to sign, as the policy asks");
  let_go->add_option("--signed", o->done, "such a draft that they have signed: record it");
  let_go->add_option("--foreign", o->foreign,
                     "worst contact class of foreign weights to let go (default: none)");
  let_go->add_option("--extraction", o->extraction,
                     "the signed extraction test of these weights, where a licence asks for one");
  let_go->add_flag("--dry-run", o->dry_run, "ask, and record nothing");
  let_go->add_flag("--json", o->json, "print JSON");

  CLI::App* not_this =
      add(app, run, o, "why-not", "why the gate refused it, in a sentence", why_not);
  not_this->add_option("LEDGER", o->ledger, "the ledger file")->required();
  not_this->add_option("WHAT", o->name, "path, digest, shard, run")->required();
  not_this->add_flag("--json", o->json, "print JSON, all refusals of it");
}

}  // namespace cleared::tools
