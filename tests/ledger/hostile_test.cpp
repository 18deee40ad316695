// Bad input of strangers, a table each: notes with a byte changed, records as long as they may be,
// names made for a terminal, a database or another system's files.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/impact.h"
#include "ledger/projection.h"
#include "ledger/query.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/full_world.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// Is this text a note, written as it is, that the key signed?
bool is_signed_note(const std::string& text, const VerifierKey& key) try {
  const Note note = parse_note(text);
  EXPECT_EQ(format_note(note), text);
  return signed_by(note, key);
} catch (const Error& error) {
  EXPECT_EQ(error.code(), Errc::corrupt) << error.what();
  return false;
}

TEST(Hostile, NoByteOfANoteCanBeChangedOrTakenOut) {
  const SignerKey key = new_signer_key("example-approver");
  const std::string good = sign_text("approval {\n  at: \"2026-01-02T03:04:05Z\"\n}\n", {&key});
  ASSERT_TRUE(is_signed_note(good, key.verifier));
  for (size_t i = 0; i < good.size(); ++i) {
    EXPECT_FALSE(is_signed_note(std::string(good).erase(i, 1), key.verifier)) << "without " << i;
    for (const int mask : {0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ mask);
      EXPECT_FALSE(is_signed_note(bad, key.verifier)) << "byte " << i << " ^ " << mask;
    }
    for (const char c : {'\0', '\n', ' ', '=', '\xff'}) {
      if (good[i] == c) continue;
      std::string bad = good;
      bad[i] = c;
      EXPECT_FALSE(is_signed_note(bad, key.verifier)) << "byte " << i << " is " << int{c};
      EXPECT_FALSE(is_signed_note(good.substr(0, i) + c + good.substr(i), key.verifier)) << i;
    }
  }
}

TEST(Hostile, ARecordHas65535BytesAtMost) {
  World world;
  const auto of_size = [&](size_t text) {
    Fact fact = refusal("a");
    fact.mutable_refusal()->set_fact(std::string(text, 'x'));
    return fact;
  };
  const Fact probe = of_size(65'000);
  const uint64_t at_us = Store(world.ledger, Access::read).newest_at_us();
  const size_t rest = encode_record(at_us, probe.SerializeAsString()).size() - 65'000;
  Store store(world.ledger, Access::append);
  EXPECT_THAT(error_of([&] { store.append({of_size(65'536 - rest)}); }),
              HasSubstr("the record has 65536 bytes, the most is 65535"));
  EXPECT_EQ(store.size(), 5U);
  EXPECT_EQ(error_of([&] { store.append({of_size(65'535 - rest)}); }), "");
  EXPECT_EQ(store.record_bytes(5).size(), 65'535U);
  store.sign_head(world.log);
  EXPECT_EQ(verify_ledger(world.ledger, {}).findings.size(), 0U);
}

// One such byte would be written, and the record never read again.
TEST(Hostile, TextThatIsNotUtf8IsNoRecord) {
  using Field = google::protobuf::FieldDescriptor;
  World world;
  Store store(world.ledger, Access::append);
  int texts = 0;
  const auto* kinds = Fact::descriptor();
  for (int k = 0; k < kinds->field_count(); ++k) {
    const Field* kind = kinds->field(k);
    if (kind->name() == "state" || kind->name() == "erasure") continue;  // the ledger's own
    for (int f = 0; f < kind->message_type()->field_count(); ++f) {
      const Field* field = kind->message_type()->field(f);
      if (field->type() != Field::TYPE_STRING) continue;
      ++texts;
      for (const size_t among : {1, 1000}) {  // as many as are prepared on a thread of their own
        std::vector<Fact> facts;
        for (size_t i = 0; i < among; ++i) facts.push_back(refusal(std::to_string(i)));
        Fact& bad = facts.back();
        auto* message = bad.GetReflection()->MutableMessage(&bad, kind);
        const auto* reflection = message->GetReflection();
        field->is_repeated() ? reflection->AddString(message, field, "a\xff")
                             : reflection->SetString(message, field, "a\xff");
        EXPECT_EQ(error_of([&] { store.append(facts); }), "corrupt: append " + kind->name() + ": " +
                                                              kind->name() + "." + field->name() +
                                                              " is not UTF-8");
      }
    }
  }
  EXPECT_GT(texts, 40);
  EXPECT_EQ(store.size(), 5U);
  EXPECT_EQ(error_of([&] { store.append({refusal("a")}); }), "");
  store.sign_head(world.log);
  EXPECT_EQ(verify_ledger(world.ledger, {}).findings.size(), 0U);
}

// In a text that is UTF-8 as it lies there.
TEST(Hostile, NorIsAnEscapeThatIsNotUtf8) {
  RevocationText text;
  EXPECT_THAT(error_of([&] {
                parse_textproto("revocation { licence: \"a\" at: \"b\" reason: \"c\\377\" }", "x",
                                text);
              }),
              HasSubstr("x: revocation.reason is not UTF-8"));
}

void append_films(World& world, const std::vector<std::string>& names) {
  std::vector<Fact> facts;
  for (const std::string& name : names) {
    Fact fact;
    fact.mutable_source()->set_digest(std::string(sha256(name).text()));
    fact.mutable_source()->set_path(name);
    fact.mutable_source()->add_licence("LIC-1@1");
    facts.push_back(fact);
  }
  world.append(facts);
}

// Names are data: they are stored, found and proven byte for byte, and reach no statement.
TEST(Hostile, NamesAreData) {
  World world;
  world.add_licence(full_licence_text());
  const std::vector<std::string> names = {
      "'; DELETE FROM source; --",
      "x\"; DROP TABLE clip; --",
      "%' OR '1'='1",
      "\x1b[2J\x1b]0;gone\x07.mp4",
      "a\r\nb.mp4",
      "CON",
      "aux.mp4",
      "film.mp4:stream",
      "what?*<>|.mp4",
      "dots. . .",
      "..\\..\\secret",
      "\u202Efdp.mp4",
      std::string(4096, 'n'),
      std::string("a\0b", 3),
  };
  append_films(world, names);
  Store(world.ledger, Access::append).sign_head(world.log);
  const Store store(world.ledger, Access::read);
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(find_record(store, names[i]), store.size() - 1 - names.size() + i) << names[i];
    EXPECT_THAT(error_of([&] { query_view(world.ledger, names[i]); }), StartsWith("usage"));
  }
  EXPECT_EQ(query_view(world.ledger, "source").rows.size(), names.size());
  EXPECT_EQ(verify_ledger(world.ledger, {}).findings.size(), 0U);
}

// Whoever delivers a file names it, and must not thereby choose what others' commands are about.
TEST(Hostile, AFilmsNameCapturesNothing) {
  World world;
  world.fill();
  const std::vector<std::string> names = {
      "LIC-1", "shard-000000.tar", "example-studio",
      "s0",    "LIC-1@1",          world.root_hex().substr(0, 10),
      "7"};
  append_films(world, names);
  const Store store(world.ledger, Access::read);
  const auto kind = [&](const std::string& what, std::initializer_list<std::string_view> kinds) {
    Statement record(store.db(), "SELECT kind FROM record WHERE seq = ?");
    return record.with(find_record(store, what, kinds)).next() ? record.text(0) : "";
  };
  for (const char* what : {"LIC-1", "shard-000000.tar", "s0", "LIC-1@1"}) {
    EXPECT_THAT(error_of([&] { find_record(store, what); }),
                AllOf(StartsWith("usage"), HasSubstr("source:" + std::string(what) + " (record "),
                      HasSubstr(" or ")));
    EXPECT_EQ(kind("source:" + std::string(what), {}), "source");
  }
  EXPECT_THAT(error_of([&] { impact_of(store, "LIC-1"); }), HasSubstr("licence:LIC-1"));
  EXPECT_EQ(impact_of(store, "licence:LIC-1").what, "licence LIC-1");
  EXPECT_EQ(kind("shard-000000.tar", {"shard"}), "shard");
  EXPECT_EQ(kind(world.root_hex().substr(0, 10), {"licence", "shard"}), "shard");
  EXPECT_EQ(kind("LIC-1", {"licence", "shard"}), "licence");
  EXPECT_EQ(kind("licence:LIC-1", {}), "licence");
  EXPECT_EQ(find_record(store, "7"), 7U);
  EXPECT_EQ(find_record(store, "record:7"), 7U);
  EXPECT_EQ(kind("source:7", {}), "source");
  EXPECT_THAT(error_of([&] { find_record(store, "0", {"shard"}); }),
              AllOf(StartsWith("not_found"), HasSubstr("record 0 is no shard")));
  EXPECT_THAT(error_of([&] {
                find_record(store, "nothing", {"licence", "shard"});
              }),
              AllOf(StartsWith("not_found"), HasSubstr("no licence or shard \"nothing\"")));
}

// A second film by the name of another one, a second folder of shards: which is meant is said.
TEST(Hostile, ANameOfSeveralNamesNone) {
  World world;
  world.fill();
  const Digest other = sha256("another film");
  std::vector<Fact> facts = world.footage();
  for (Fact& fact : facts) {
    if (fact.has_source()) fact.mutable_source()->set_digest(std::string(other.text()));
  }
  std::erase_if(facts, [](const Fact& fact) { return !fact.has_source(); });
  ASSERT_EQ(facts.size(), 1U);
  Fact shard;
  shard.mutable_shard()->set_name("shard-000000.tar");
  shard.mutable_shard()->set_root(std::string(sha256("root").text()));
  shard.mutable_shard()->set_digest(std::string(sha256("tar").text()));
  facts.push_back(shard);
  world.append(facts);
  Store(world.ledger, Access::append).sign_head(world.log);
  const Store store(world.ledger, Access::read);
  for (const auto& [name, digest] : {std::pair("2026-01/a.webm", "source:" + to_hex(other)),
                                     std::pair("shard-000000.tar", "shard:" + world.root_hex())}) {
    EXPECT_THAT(error_of([&] { impact_of(store, name); }),
                AllOf(StartsWith("usage"), HasSubstr("names 2 "), HasSubstr(digest)));
    EXPECT_EQ(error_of([&] { impact_of(store, digest); }), "");
  }
  EXPECT_EQ(impact_of(store, "LIC-1").what, "licence LIC-1");
}

// Whoever may sign permits cannot stand in for those who approve.
TEST(Hostile, APermitForWhatNobodyApprovedIsNoRecord) {
  World world;
  world.add_licence(full_licence_text());
  world.append(world.footage());
  Store(world.ledger, Access::append).sign_head(world.log);
  const auto permit = [&](const std::string& from, const std::string& to) {
    Fact fact;
    fact.mutable_permit()->set_note(
        sign_text(replaced(parse_note(world.permit_note()).text, from, to), {&world.approver}));
    return fact;
  };
  {
    World approved;
    approved.fill();
    EXPECT_EQ(error_of([&] {
                Fact fact;
                fact.mutable_permit()->set_note(approved.permit_note());
                approved.append({fact});
              }),
              "");
  }
  const Fact approval = world.approval();
  // Made elsewhere, where the tables say that it was approved.
  World forger;
  forger.fill();
  Fact forged;
  forged.mutable_permit()->set_note(
      sign_text(parse_note(forger.permit_note()).text, {&world.approver}));
  EXPECT_THAT(error_of([&] { world.append({forged}); }), HasSubstr("was not approved for TRAIN"));
  world.append({approval});
  Store(world.ledger, Access::append).sign_head(world.log);
  const Fact good = permit("TRAIN", "TRAIN");
  const std::string end = "expires_at: \"", year = format_time(now_us()).substr(0, 4);
  EXPECT_THAT(error_of([&] { world.append({permit(end + year, end + "2096")}); }),
              HasSubstr("it is for more than 168 hours"));
  world.append({world.revocation("shard", "sha256:" + world.root_hex(), world.approver)});
  EXPECT_THAT(error_of([&] { world.append({good}); }), HasSubstr("was revoked"));
  EXPECT_EQ(verify_ledger(world.ledger, {}).findings.size(), 0U);
}

}  // namespace
}  // namespace cleared::ledger
