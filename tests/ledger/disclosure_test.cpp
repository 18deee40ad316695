// Confidential fields: what one disclosure shows and hides, and what erasing leaves.
// tests/tools/proof_files_test.py checks the same files with code of its own.
#include "ledger/disclosure.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/merkle.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kMaster(32, 'm');

LicenceText full_terms() {
  return parse_licence(full_licence_text(), "full");
}

std::string verified(const fs::path& ledger) {
  std::string out;
  for (const Finding& f : verify_ledger(ledger, {}).findings) out += f.where + ": " + f.what + "\n";
  return out;
}

TEST(Fields, AreSortedAndEachOnce) {
  const auto fields = licence_fields(full_terms());
  ASSERT_GT(fields.size(), 40U);
  std::set<std::string> paths;
  for (const LicenceField& field : fields) {
    EXPECT_TRUE(paths.empty() || *paths.rbegin() < field.path) << field.path;
    paths.insert(field.path);
    EXPECT_EQ(field.value.find('\n'), std::string::npos);
  }
  const std::map<std::string, std::string> some = {
      {"licence.id", "\"LIC-1\""}, {"licence.version", "1"}, {"limits.max_passes", "4"}};
  for (const auto& [path, value] : some) {
    EXPECT_THAT(fields, testing::Contains(LicenceField{path, value}));
  }
}

// HMAC-SHA256 by RFC 4231, test case 2, where the key is "Jefe".
TEST(Fields, SaltsAreHmac) {
  EXPECT_EQ(to_hex(field_salt("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Fields, AnyChangeOfOneChangesTheRoot) {
  const Digest root = fields_root(kMaster, full_terms());
  EXPECT_NE(root, fields_root(std::string(32, 'n'), full_terms()));
  const char* edits[][2] = {{"max_passes: 4", "max_passes: 5"},
                            {"voice: NONE", "voice: RELEASED_FOR_TRAINING"},
                            {"ENCODE, TRAIN", "ENCODE, FINETUNE"}};
  for (const auto& [from, to] : edits) {
    EXPECT_NE(root,
              fields_root(kMaster, parse_licence(replaced(full_licence_text(), from, to), "x")))
        << to;
  }
}

// A filled ledger, and every field of its licence disclosed.
struct Disclosing : World {
  Disclosing() { fill(); }
  Disclosure of(const std::string& path) const {
    const Store store(ledger, Access::read);
    Statement select(store.db(), "SELECT salt, note FROM document");
    EXPECT_TRUE(select.next());
    const auto terms = parse_licence(parse_note(select.text(1)).text, "kept");
    Disclosure out = disclose_field(select.text(0), terms, path);
    const uint64_t seq =
        static_cast<uint64_t>(store.db().integer("SELECT seq FROM licence LIMIT 1"));
    out.record = store.record_bytes(seq);
    out.proof = parse_tlog_proof(store.prove(seq));
    return out;
  }
};

// "" when `text` is a disclosure that `log` vouches for.
std::string disclosure_problem(const std::string& text, const SignerKey& log) {
  return error_of([&] { verify_disclosure(parse_disclosure(text), log.verifier); });
}

TEST(Disclosure, OfEveryFieldVerifies) {
  Disclosing world;
  for (const LicenceField& field : licence_fields(full_terms())) {
    const std::string text = format_disclosure(world.of(field.path));
    const Disclosure read = parse_disclosure(text);
    EXPECT_EQ(format_disclosure(read), text);
    const DisclosedField d = verify_disclosure(read, world.log.verifier);
    EXPECT_EQ(d.field, field);
    EXPECT_EQ(d.licence.id(), "LIC-1");
    EXPECT_EQ(d.head.origin, world.log.verifier.name);
  }
}

TEST(Disclosure, NoByteMayChangeGoOrCome) {
  Disclosing world;
  const std::string good = format_disclosure(world.of("limits.max_passes"));
  ASSERT_EQ(disclosure_problem(good, world.log), "");
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    for (const int flip : {1, 2, 0x20, 0x80}) {
      bad[at] = static_cast<char>(good[at] ^ flip);
      EXPECT_THAT(disclosure_problem(bad, world.log), StartsWith("corrupt")) << at << " " << flip;
    }
    EXPECT_THAT(disclosure_problem(good.substr(0, at) + good.substr(at + 1), world.log),
                StartsWith("corrupt"))
        << at;
    EXPECT_THAT(disclosure_problem(good.substr(0, at) + "A" + good.substr(at), world.log),
                StartsWith("corrupt"))
        << at;
    EXPECT_THAT(disclosure_problem(good.substr(0, at), world.log), StartsWith("corrupt")) << at;
  }
}

TEST(Disclosure, ParsesOnlyWhatFormatWrites) {
  Disclosing world;
  const std::string good = format_disclosure(world.of("limits.max_passes"));
  const std::string cases[] = {
      "",
      "\n",
      good + "\n",
      " " + good,
      replaced(good, "cleared disclosure v1", "cleared disclosure v2"),
      replaced(good, "value 4\n", "value  4\n"),
      replaced(good, "value 4\n", "value 4\nvalue 5\n"),
      replaced(good, "value 4\n", ""),
      replaced(good, "value 4\n", "value\n"),
      replaced(good, "value 4\n", "value 4\x1b[2J\n"),
      replaced(good, "\nrecord ", "\nleft AAAA\nrecord "),
      replaced(good, "\nrecord ", "\nup AAAA\nrecord "),
      replaced(good, "\nindex ", "\nextra AAAA\nindex "),
      replaced(good, "\n\nc2sp.org", "\nc2sp.org"),
  };
  for (const std::string& text : cases) {
    EXPECT_THAT(disclosure_problem(text, world.log), StartsWith("corrupt")) << text;
  }
}

TEST(Disclosure, NeedsTheLogTheRecordAndTheSalt) {
  Disclosing world;
  const Disclosure good = world.of("limits.max_passes");
  EXPECT_THAT(disclosure_problem(format_disclosure(good), new_signer_key(world.log.verifier.name)),
              HasSubstr("that test.example/log signed"));
  const std::map<std::string, std::function<void(Disclosure&)>> changes = {
      {"another value", [](Disclosure& d) { d.field.value = "9"; }},
      {"another field", [](Disclosure& d) { d.field.path = "limits.max_height_px"; }},
      {"another salt", [&](Disclosure& d) { d.salt = world.of("licence.id").salt; }},
      {"other side", [](Disclosure& d) { d.siblings[0].left = !d.siblings[0].left; }},
      {"no siblings", [](Disclosure& d) { d.siblings.clear(); }},
      {"record of no licence",
       [&](Disclosure& d) {
         const Store store(world.ledger, Access::read);
         d.record = store.record_bytes(1);
         d.proof = parse_tlog_proof(store.prove(1));
       }},
  };
  for (const auto& [what, change] : changes) {
    Disclosure bad = good;
    change(bad);
    EXPECT_THAT(error_of([&, &d = bad] { verify_disclosure(d, world.log.verifier); }),
                StartsWith("corrupt"))
        << what;
  }
  EXPECT_THAT(error_of([&] { world.of("limits.none"); }), StartsWith("not_found"));
}

// The salt of one field is of no help in guessing another.
TEST(Disclosure, HoldsNeitherTheMasterSaltNorAnyOtherField) {
  Disclosing world;
  const std::string text = format_disclosure(world.of("limits.max_passes"));
  std::string master;
  {
    const Store store(world.ledger, Access::read);
    Statement select(store.db(), "SELECT salt FROM document");
    ASSERT_TRUE(select.next());
    master = select.text(0);
  }
  EXPECT_EQ(text.find(to_base64(as_bytes(master))), std::string::npos);
  for (const LicenceField& field : licence_fields(full_terms())) {
    const Digest salt = field_salt(master, field.path);
    EXPECT_EQ(text.find(to_base64(salt.bytes)) != std::string::npos,
              field.path == "limits.max_passes");
  }
}

// The log and its key in wrong hands: what the record says of a licence is not what was signed.
TEST(Verify, HoldsTheRecordOfALicenceAgainstItsDocument) {
  const std::tuple<const char*, std::function<void(LicenceRecord&)>> cases[] = {
      {"", [](LicenceRecord&) {}},
      {"licence.id: is 'LIC-2', its document says 'LIC-1'",
       [](LicenceRecord& r) { r.set_id("LIC-2"); }},
      {"licence.version: is '2'",
       [](LicenceRecord& r) {
         r.set_version(2);
         r.set_supersedes("LIC-1@1");
       }},
      {"licence.licensor: is 'example-studio'",
       [](LicenceRecord& r) { r.set_licensor("example-studio"); }},
      {"licence.licensee: is 'x'", [](LicenceRecord& r) { r.set_licensee("x"); }},
      {"licence.valid_from: is '2023", [](LicenceRecord& r) { r.set_valid_from("2023-01-01"); }},
      {"licence.valid_to: is '2199-12-31', its document says '2099-12-31'",
       [](LicenceRecord& r) { r.set_valid_to("2199-12-31"); }},
      {"licence.attribution: is ''", [](LicenceRecord& r) { r.clear_attribution(); }},
      {"licence.fields_root: is '",
       [](LicenceRecord& r) {
         r.set_fields_root(std::string(fields_root("other", full_terms()).text()));
       }},
  };
  for (const auto& [says, change] : cases) {
    World world;
    const std::string note = sign_text(full_licence_text(), {&world.licensor, &world.licensee});
    Fact fact;
    *fact.mutable_licence() = licence_record(kMaster, note, full_terms());
    change(*fact.mutable_licence());
    Store store(world.ledger, Access::append);
    store.append({fact});
    Statement(store.db(), "INSERT INTO document VALUES(?, ?, ?)")
        .with(to_hex(document_digest(kMaster, note)), Blob{kMaster}, note)
        .run();
    const std::string found = verified(world.ledger);
    EXPECT_EQ(found.empty(), std::string(says).empty()) << found;
    EXPECT_THAT(found, HasSubstr(says));
  }
}

// Everything in the folder, as bytes.
std::string folder_bytes(const fs::path& folder) {
  std::string out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) out += read_file(entry.path());
  }
  return out;
}

// Documents long enough for pages of their own, and short ones that move when pages are split.
TEST(Erase, LeavesNoByteOfTextOrSaltBehind) {
  World world;
  std::vector<std::string> salts;
  constexpr int kLicences = 30;
  const auto secret = [](int i) { return "SECRET-" + std::to_string(1000 + i); };
  {
    Store store(world.ledger, Access::append);
    for (int i = 0; i < kLicences; ++i) {
      std::string text =
          replaced(full_licence_text(), "\"LIC-1\"", "\"L-" + std::to_string(i) + "\"");
      for (int line = 0; line < (i % 3 == 0 ? 1500 : 3); ++line) text += "# " + secret(i) + "\n";
      store.append_licence(sign_text(text, {&world.licensor, &world.licensee}), "x");
    }
    store.sign_head(world.log);
    for (int i = 0; i < kLicences; ++i) {
      Statement select(store.db(),
                       "SELECT d.salt FROM licence l JOIN document d ON d.digest = "
                       "l.document_digest WHERE l.id = ?");
      ASSERT_TRUE(select.with("L-" + std::to_string(i)).next());
      salts.push_back(select.text(0));
    }
  }
  for (int i = 0; i < kLicences; i += 3) {
    for (const int erased : {i, i + 1}) {
      Store store(world.ledger, Access::append);
      ASSERT_THAT(folder_bytes(world.folder.path()), HasSubstr(secret(erased)));
      store.erase_document("L-" + std::to_string(erased) + "@1", "asked for");
      // While the ledger is still open: its write-ahead file counts too.
      const std::string bytes = folder_bytes(world.folder.path());
      EXPECT_EQ(bytes.find(secret(erased)), std::string::npos) << erased;
      EXPECT_EQ(bytes.find(salts[static_cast<size_t>(erased)]), std::string::npos) << erased;
      EXPECT_NE(bytes.find(secret(i + 2)), std::string::npos) << i;
    }
  }
  EXPECT_EQ(verified(world.ledger), "");
}

TEST(Erase, WaitsForNobodyWhoReads) {
  World world;
  world.fill();
  Store store(world.ledger, Access::append);
  const uint64_t size = store.size();
  {
    // What the reader sees lies in the write-ahead file.
    store.append({world.key(new_signer_key("late"), "curator")});
    const Database reader = Database::open(world.ledger, Access::read);
    Statement select(reader, "SELECT seq FROM moment");
    ASSERT_TRUE(select.next());
    store.append({world.key(new_signer_key("later"), "curator")});
    EXPECT_THAT(error_of([&] { store.erase_document("LIC-1@1", "asked for"); }),
                StartsWith("busy: erase LIC-1@1: nothing is erased yet"));
  }
  EXPECT_EQ(store.size(), size + 2);
  EXPECT_EQ(store.erase_document("LIC-1@1", "asked for").added, 1U);
  EXPECT_EQ(verified(world.ledger), "");
}

std::string erasure_note(const std::string& licence, const std::string& reason,
                         const std::vector<const SignerKey*>& keys) {
  return sign_text("erasure {\n  licence: \"" + licence +
                       "\"\n  at: \"2026-01-02T03:04:05Z\"\n  reason: \"" + reason + "\"\n}\n",
                   keys);
}

TEST(Erase, NeedsWhatThePolicyAsksFor) {
  World world;
  world.fill();
  const SignerKey second = new_signer_key("second-approver");
  Fact policy;
  policy.mutable_policy()->set_note(
      sign_text("policy {\n  version: 1\n  at: \"2026-01-02T03:04:05Z\"\n  rule {\n    act: "
                "ERASE\n    role: \"approver\"\n    need: 2\n  }\n}\n",
                {&world.approver}));
  world.append({world.key(second, "approver"), policy});
  const std::vector<const SignerKey*> both = {&world.approver, &second};
  const std::pair<std::string, std::string> cases[] = {
      {"", "permission"},
      {erasure_note("LIC-1@1", "r", {&world.approver}), "permission"},
      {erasure_note("LIC-1@1", "r", {&world.approver, &world.licensor}), "permission"},
      {erasure_note("LIC-2@1", "r", both), "corrupt"},
      {erasure_note("LIC-1@1", "other", both), "corrupt"},
      {"no note", "corrupt"},
      {erasure_note("LIC-1@1", "r", both), ""},
  };
  for (const auto& [note, code] : cases) {
    const std::string error = error_of([&, &text = note] {
      Store(world.ledger, Access::append).erase_document("LIC-1@1", "r", text);
    });
    EXPECT_EQ(error.substr(0, error.find(':')), code) << note;
  }
  EXPECT_EQ(verified(world.ledger), "");
}

// A bundle is unsigned: it must not say what the tables hold, nor that a document is erased.
TEST(Append, TakesNoStateAndNoErasureFromOutside) {
  World world;
  world.fill();
  Store store(world.ledger, Access::append);
  Fact erasure;
  erasure.mutable_erasure()->set_licence("LIC-1@1");
  Fact state;
  state.mutable_state()->set_size(store.size());
  for (const Fact& fact : {erasure, state}) {
    EXPECT_THAT(error_of([&] { store.append({fact}); }), StartsWith("permission"));
  }
}

TEST(Verify, MissesNoDocumentThatOutlivedItsErasure) {
  World world;
  world.fill();
  const std::string sql = [&] {
    const Database db = Database::open(world.ledger, Access::read);
    Statement select(db, "SELECT quote(digest), quote(salt), quote(note) FROM document");
    EXPECT_TRUE(select.next());
    return "INSERT INTO document VALUES(" + select.text(0) + "," + select.text(1) + "," +
           select.text(2) + ")";
  }();
  Store(world.ledger, Access::append).erase_document("LIC-1@1", "asked for");
  Database::open(world.ledger, Access::append).exec(sql);
  EXPECT_THAT(verified(world.ledger), HasSubstr("is still there, and its erasure is on record"));
}

}  // namespace
}  // namespace cleared::ledger
