// Known answers: keys, text and signature of the documentation of golang.org/x/mod/sumdb/note
// (note_test.go and example_test.go, in Debian's golang-golang-x-mod-dev), and the
// pre-authentication encoding of github.com/secure-systems-lab/dsse, protocol.md.
#include "ledger/note.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "ledger/attestation.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/tree_head.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kPeterSecret =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
constexpr std::string_view kPeter =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
constexpr std::string_view kEnoch =
    "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop";
constexpr std::string_view kText =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
constexpr std::string_view kPeterLine =
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/"
    "SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
constexpr std::string_view kEnochLine =
    "— EnochRoot "
    "rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/"
    "5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n";

std::string both() {
  return std::string(kText) + "\n" + std::string(kPeterLine) + std::string(kEnochLine);
}

TEST(Note, SignsAsGoDoes) {
  Note note{std::string(kText), {}};
  add_signature(note, parse_signer_key(kPeterSecret));
  EXPECT_EQ(format_note(note), std::string(kText) + "\n" + std::string(kPeterLine));
}

TEST(Note, VerifiesWhatGoSigned) {
  const Note note = parse_note(both());
  EXPECT_EQ(note.text, kText);
  EXPECT_TRUE(signed_by(note, parse_verifier_key(kPeter)));
  EXPECT_TRUE(signed_by(note, parse_verifier_key(kEnoch)));
  EXPECT_EQ(format_note(note), both());
}

TEST(Note, EveryChangedByteOfTheTextIsNoticed) {
  const VerifierKey peter = parse_verifier_key(kPeter);
  for (size_t i = 0; i < kText.size(); ++i) {
    Note note = parse_note(both());
    note.text[i] = static_cast<char>(note.text[i] ^ 1);
    EXPECT_FALSE(signed_by(note, peter)) << i;
  }
}

// Whatever byte of a note is changed to whatever other, left out or put in, it is refused or its
// key has no longer signed it. The one exception is the line of another key, which nobody asks
// about.
TEST(Note, EveryDamageToANoteIsNoticed) {
  const VerifierKey peter = parse_verifier_key(kPeter);
  const std::string good = std::string(kText) + "\n" + std::string(kPeterLine);
  const auto holds = [&](const std::string& text) {
    try {
      return signed_by(parse_note(text), peter);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt);
      return false;
    }
  };
  ASSERT_TRUE(holds(good));
  for (size_t i = 0; i < good.size(); ++i) {
    std::vector<char> others = {'\n', ' ', '+', '=', 'A', '\x80'};
    for (int bit = 0; bit < 8; ++bit) others.push_back(static_cast<char>(good[i] ^ 1 << bit));
    for (const char other : others) {
      std::string bad = good;
      bad[i] = other;
      EXPECT_EQ(holds(bad), bad == good) << int{other} << " at " << i;
    }
    std::string bad = good;
    bad.erase(i, 1);
    EXPECT_FALSE(holds(bad)) << "left out at " << i;
    bad = good;
    bad.insert(i, 1, bad[i]);
    EXPECT_FALSE(holds(bad)) << "doubled at " << i;
  }
}

TEST(Note, TakesLinesOfUnknownTypes) {
  // 16 signatures of 5,000 bytes, as post-quantum ones may be.
  Note note{std::string(kText), {}};
  for (uint32_t i = 0; i < 16; ++i) {
    note.signatures.push_back({"pq.example", i, std::string(5000, static_cast<char>(i))});
  }
  add_signature(note, parse_signer_key(kPeterSecret));
  const Note again = parse_note(format_note(note));
  EXPECT_EQ(again.signatures.size(), 17U);
  EXPECT_TRUE(signed_by(again, parse_verifier_key(kPeter)));
}

TEST(Note, ABadLineOfAKeySpoilsItsGoodOne) {
  const VerifierKey peter = parse_verifier_key(kPeter);
  Note note = parse_note(both());
  NoteSignature bad = note.signatures[0];
  bad.signature[5] = static_cast<char>(bad.signature[5] ^ 1);
  note.signatures.push_back(bad);
  EXPECT_FALSE(signed_by(note, peter));
  EXPECT_TRUE(signed_by(note, parse_verifier_key(kEnoch)));
}

TEST(Note, ALineOfAnotherKeyIsNotThisKeys) {
  const VerifierKey peter = parse_verifier_key(kPeter);
  const SignerKey namesake = new_signer_key("PeterNeumann");
  Note note{std::string(kText), {}};
  add_signature(note, namesake);
  EXPECT_FALSE(signed_by(note, peter));
  note.signatures[0].id = peter.id;  // pretends to be his
  EXPECT_FALSE(signed_by(note, peter));
  note.signatures[0] = parse_note(both()).signatures[0];
  note.signatures[0].name = "SomeoneElse";
  EXPECT_FALSE(signed_by(note, peter));
  note.signatures[0].name = "PeterNeumann";
  note.signatures[0].signature.pop_back();
  EXPECT_FALSE(signed_by(note, peter));
}

TEST(Note, SigningAgainReplaces) {
  Note note{std::string(kText), {}};
  const SignerKey key = new_signer_key("k");
  add_signature(note, key);
  add_signature(note, key);
  EXPECT_EQ(note.signatures.size(), 1U);
  EXPECT_TRUE(signed_by(note, key.verifier));
}

TEST(Note, RefusesWhatIsMalformed) {
  const std::string good = both();
  const std::string line(kPeterLine);
  std::string many = std::string(kText) + "\n";
  for (int i = 0; i < 101; ++i) many += line;
  const std::pair<const char*, std::string> cases[] = {
      {"empty", ""},
      {"only text", std::string(kText)},
      {"no signature", std::string(kText) + "\n"},
      {"no blank line", std::string(kText) + line},
      {"last newline missing", good.substr(0, good.size() - 1)},
      {"hyphen for the dash", std::string(kText) + "\n- " + line.substr(4)},
      {"no space after the dash", std::string(kText) + "\n—" + line.substr(4)},
      {"no name", std::string(kText) + "\n— " + line.substr(line.find("x08"))},
      {"name with plus", replaced(good, "PeterNeumann", "Peter+umann")},
      {"name with a space", replaced(good, "PeterNeumann", "Peter Neumann")},
      {"no base64", replaced(good, "x08go/", "x08go_")},
      {"cut base64", replaced(good, "nAM=\n", "nAM\n")},
      {"only an id", std::string(kText) + "\n— PeterNeumann x08gow==\n"},
      {"carriage return", replaced(good, "problem,\n", "problem,\r\n")},
      {"zero byte", replaced(good, "problem", std::string_view("pro\0lem", 7))},
      {"no UTF-8", replaced(good, "problem", "pro\xffl")},
      {"overlong UTF-8", replaced(good, "problem", "pro\xc0\xaf")},
      {"surrogate", replaced(good, "problem", "pro\xed\xa0\x80")},
      {"101 signatures", many},
      {"over 1 MB", std::string(1'000'000, 'x') + "\n\n" + line},
  };
  for (const auto& [name, text] : cases) {
    EXPECT_THAT(error_of([&, t = text] { parse_note(t); }), StartsWith("corrupt: note:")) << name;
  }
  // Blank lines of the text itself are text.
  EXPECT_EQ(parse_note("a\n\nb\n\n" + line).text, "a\n\nb\n");
}

TEST(Key, RoundTrips) {
  EXPECT_EQ(format_verifier_key(parse_verifier_key(kPeter)), kPeter);
  EXPECT_EQ(format_verifier_key(parse_verifier_key(kEnoch)), kEnoch);
  const SignerKey peter = parse_signer_key(kPeterSecret);
  EXPECT_EQ(format_signer_key(peter), kPeterSecret);
  EXPECT_EQ(format_verifier_key(peter.verifier), kPeter);
}

TEST(Key, RefusesWhatIsMalformed) {
  const std::string good(kPeter);
  const std::pair<std::string, const char*> cases[] = {
      {"", "corrupt"},
      {"PeterNeumann", "corrupt"},
      {"PeterNeumann+c74f20a3", "corrupt"},
      {good + "=", "corrupt"},
      {good + "\n", "corrupt"},
      {replaced(good, "c74f20a3", "C74F20A3"), "corrupt"},
      {replaced(good, "c74f20a3", "c74f20a4"), "corrupt"},
      {replaced(good, "c74f20a3", "0c74f20a3"), "corrupt"},
      {replaced(good, "PeterNeumann", "Peter\u00a0Neumann"), "corrupt"},
      {replaced(good, "PeterNeumann", "PeterNeumanm"), "corrupt"},
      {replaced(good, "PeterNeumann", ""), "corrupt"},
      {replaced(good, "ARpc", "BRpc"), "unsupported"},  // type 5
      {replaced(good, "ARpc2", "ARpc3"), "corrupt"},
      {"PeterNeumann+c74f20a3+", "corrupt"},
      {"PeterNeumann+c74f20a3+AQ==", "corrupt"},      // a type and no key
      {"PeterNeumann+c74f20a3+Bg==", "unsupported"},  // type 6 has longer keys
  };
  for (const auto& [text, code] : cases) {
    EXPECT_THAT(error_of([&, t = text] { parse_verifier_key(t); }), StartsWith(code)) << text;
  }
  const std::string secret(kPeterSecret);
  EXPECT_THAT(error_of([&] { parse_signer_key(good); }), StartsWith("corrupt"));
  EXPECT_THAT(error_of([&] { parse_signer_key(replaced(secret, "AYEK", "AYEL")); }),
              StartsWith("corrupt"));
  for (const char* name : {"", "a b", "a+b", "a\nb", "\xff"}) {
    EXPECT_THAT(error_of([&] { new_signer_key(name); }), StartsWith("usage")) << name;
  }
}

TEST(KeyFile, IsForItsOwnerAlone) {
  const TempFolder folder;
  const SignerKey key = new_signer_key("example");
  write_key_pair(folder / "k", "approver", key);
  EXPECT_EQ(read_signer_key(folder / "k.key").seed, key.seed);
  const auto keys = read_public_keys(folder / "k.pub");
  ASSERT_EQ(keys.size(), 1U);
  EXPECT_EQ(keys[0].role, "approver");
  EXPECT_EQ(keys[0].key, key.verifier);
  EXPECT_THAT(error_of([&] { write_key_pair(folder / "k", "approver", key); }), StartsWith("io"));
  EXPECT_THAT(error_of([&] { write_key_pair(folder / "l", "boss", key); }), StartsWith("usage"));
  for (const auto mode : {std::filesystem::perms(0640), std::filesystem::perms(0604)}) {
    std::filesystem::permissions(folder / "k.key", mode);
    EXPECT_THAT(error_of([&] { read_signer_key(folder / "k.key"); }),
                testing::AllOf(StartsWith("permission"), HasSubstr("chmod 600")));
  }
  for (const char* text : {"", "# nothing\n", "approver\n", "boss x+1+2\n", "approver x+1+2\n"}) {
    write_file(folder / "bad.pub", text);
    EXPECT_THAT(error_of([&] { read_public_keys(folder / "bad.pub"); }), StartsWith("corrupt"))
        << text;
  }
}

TEST(TreeHead, ParsesOnlyWhatFormatWrites) {
  const std::string root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  const std::string good = "example.com/log\n12\n" + root + "\n";
  for (const std::string& text : {good, good + "extension\n", good + "a b\n+\n"}) {
    EXPECT_EQ(format_tree_head(parse_tree_head(text)), text);
  }
  EXPECT_EQ(parse_tree_head(good + "a b\n+\n").extensions, (std::vector<std::string>{"a b", "+"}));
  for (const std::string& bad :
       {std::string(), good + "extension", good + "\nextension\n", good + "\n",
        good.substr(0, good.size() - 1), replaced(good, "12", "012"), replaced(good, "12", "-1"),
        replaced(good, "12", "+1"), replaced(good, "12", ""),
        replaced(good, "12", "18446744073709551616"), replaced(good, "example.com/log", ""),
        replaced(good, "47DE", "47D"), replaced(good, "uFU=", "uFV=")}) {
    EXPECT_THAT(error_of([&] { parse_tree_head(bad); }), StartsWith("corrupt")) << bad;
  }
}

TEST(TreeHead, IsNotWrittenWithALineTooMany) {
  for (const TreeHead& bad : {TreeHead{"", 1, {}}, TreeHead{"a\nb", 1, {}},
                              TreeHead{"a", 1, {}, {""}}, TreeHead{"a", 1, {}, {"b\nc"}}}) {
    EXPECT_THAT(error_of([&] { static_cast<void>(format_tree_head(bad)); }), StartsWith("usage"));
  }
}

// --- attestation ---

TrainingStatement statement() {
  TrainingStatement s;
  s.subjects = {{"weights.safetensors", sha256("weights")}, {"config", sha256("config")}};
  s.run = "run-1";
  s.step = 20;
  s.seed = UINT64_MAX;
  s.ranks = 2;
  s.code_version = "1.0 \"quoted\" \u00e9";
  s.machine = "avx2";
  s.config = sha256("c");
  s.permit = sha256("p");
  s.tree_head = {"example/log", 7, sha256("root")};
  s.receipt = sha256("r");
  s.steps_root = sha256("s");
  s.parent = std::string(64, 'a');
  s.vae = std::string(64, 'b');
  s.foreign_weights = {{"foreign", sha256("f")}};
  return s;
}

TEST(Envelope, SignsTheEncodingOfTheSpecification) {
  const SignerKey key = new_signer_key("k");
  const Envelope sealed =
      parse_envelope(seal_envelope("http://example.com/HelloWorld", "hello world", key));
  EXPECT_EQ(sealed.payload, "hello world");
  ASSERT_EQ(sealed.signatures.size(), 1U);
  EXPECT_TRUE(verify_bytes(as_bytes("DSSEv1 29 http://example.com/HelloWorld 11 hello world"),
                           sealed.signatures[0].signature, key.verifier));
  EXPECT_TRUE(signed_by(sealed, key.verifier));
}

TEST(Envelope, ChangesAreNoticed) {
  const SignerKey key = new_signer_key("k");
  const Envelope good = parse_envelope(seal_envelope("type", "payload", key));
  Envelope bad = good;
  bad.payload += "x";
  EXPECT_FALSE(signed_by(bad, key.verifier));
  bad = good;  // a byte moved from type to payload
  bad.payload_type = "typ";
  bad.payload = "epayload";
  EXPECT_FALSE(signed_by(bad, key.verifier));
  bad = good;
  bad.signatures[0].signature[0] = static_cast<char>(bad.signatures[0].signature[0] ^ 1);
  EXPECT_FALSE(signed_by(bad, key.verifier));
  EXPECT_FALSE(signed_by(good, new_signer_key("k").verifier));
}

TEST(Statement, RoundTrips) {
  const std::string text = format_statement(statement());
  EXPECT_EQ(format_statement(parse_statement(text)), text);
  EXPECT_EQ(parse_statement(text).seed, UINT64_MAX);
  EXPECT_EQ(text.find("textEncoder"), std::string::npos);  // as before there were such
  TrainingStatement began = statement();
  began.text_encoder = std::string(64, 'c');
  EXPECT_EQ(parse_statement(format_statement(began)).text_encoder, began.text_encoder);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["_type"], "https://in-toto.io/Statement/v1");
  EXPECT_EQ(json["subject"][0]["digest"]["sha256"], to_hex(sha256("weights")));
}

TEST(Statement, RefusesWhatIsNoStatement) {
  const std::string good = format_statement(statement());
  for (const std::string& bad :
       {std::string(), std::string("[]"), std::string("{}"), good.substr(0, good.size() - 1),
        good + "x", replaced(good, "Statement/v1", "Statement/v2"),
        replaced(good, "training-checkpoint:v1", "training-checkpoint:v2"),
        replaced(good, "\"step\":20", "\"step\":\"20\""),
        replaced(good, "\"step\":20", "\"step\":-20"),
        replaced(good, "\"step\":20", "\"step\":20.5"),
        replaced(good, "\"ranks\":2", "\"ranks\":4294967298"), replaced(good, "\"step\":20,", ""),
        replaced(good, "\"sha256\":\"", "\"sha256\":\"A"), std::string(100'000, '[')}) {
    EXPECT_THAT(error_of([&] { parse_statement(bad); }), StartsWith("corrupt"))
        << bad.substr(0, 80);
  }
  for (const char* bad : {"", "{}", "[", R"({"payload":"!","payloadType":"t","signatures":[]})",
                          R"({"payload":"","payloadType":1,"signatures":[]})"}) {
    EXPECT_THAT(error_of([&] { parse_envelope(bad); }), StartsWith("corrupt")) << bad;
  }
}

}  // namespace
}  // namespace cleared::ledger
