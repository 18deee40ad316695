// Known answers: data/public.checkpoint, the tree head of a public Certificate Transparency log
// (arche2025h1.staging.ct.transparency.dev, <prefix>/checkpoint) with the cosignatures of four
// public witnesses, whose keys their operators publish (data/public.policy). Its first signature
// line is of a type not known here. And the key ids and signatures of RFC 8032 section 7.1.
#include "ledger/cosignature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/file.h"
#include "ledger/tree_head.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::StartsWith;

constexpr uint64_t kPublicTime = 1'779'573'024;  // 2026-05-23T21:50:24Z, in each of its lines
constexpr std::string_view kHeadText =
    "example.com/log\n12\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";

Note public_head() {
  return parse_note(read_file("ledger/data/public.checkpoint"));
}

SignerKey new_witness(std::string_view name = "witness.example/w1") {
  return new_signer_key(name, SignatureType::ed25519_cosignature);
}

Note cosigned(const SignerKey& witness, uint64_t seconds) {
  Note note{std::string(kHeadText), {}};
  add_signature(note, cosign(note.text, witness, seconds));
  return note;
}

TEST(Cosignature, OfPublicWitnesses) {
  const Note note = public_head();
  for (const char* vkey : {
           "transparency.dev/DEV:witness-little-garden+d8042a87+"
           "BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4CPdiVEPM",
           "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
           "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
           "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
       }) {
    const VerifierKey key = parse_verifier_key(vkey);
    EXPECT_EQ(format_verifier_key(key), vkey);
    EXPECT_EQ(cosigned_at(note, key), kPublicTime) << vkey;
    EXPECT_FALSE(signed_by(note, key)) << "a cosignature is no signature: " << vkey;
  }
  EXPECT_TRUE(signed_by(note, parse_verifier_key("arche2025h1.staging.ct.transparency.dev+ba2f06c0+"
                                                 "AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f")));
  EXPECT_EQ(format_note(note), read_file("ledger/data/public.checkpoint"));
}

TEST(Cosignature, HoldsItsTime) {
  const SignerKey witness = new_witness();
  for (const uint64_t seconds : {uint64_t{0}, uint64_t{1}, kPublicTime, kLastCosignatureTime}) {
    EXPECT_EQ(cosigned_at(cosigned(witness, seconds), witness.verifier), seconds);
  }
  EXPECT_THAT(error_of([&] { cosign(kHeadText, witness, kLastCosignatureTime + 1); }),
              StartsWith("usage"));
}

TEST(Cosignature, EveryChangedByteIsNoticed) {
  const SignerKey witness = new_witness();
  const Note good = cosigned(witness, kPublicTime);
  ASSERT_EQ(good.signatures[0].signature.size(), 72U);
  for (size_t i = 0; i < 72; ++i) {  // time and signature
    Note bad = good;
    bad.signatures[0].signature[i] = static_cast<char>(bad.signatures[0].signature[i] ^ 1);
    EXPECT_EQ(cosigned_at(bad, witness.verifier), std::nullopt) << i;
  }
  for (size_t i = 0; i < good.text.size(); ++i) {
    Note bad = good;
    bad.text[i] = static_cast<char>(bad.text[i] ^ 1);
    EXPECT_EQ(cosigned_at(bad, witness.verifier), std::nullopt) << i;
  }
}

TEST(Cosignature, IsNotWhatElseTheKeySigned) {
  const SignerKey witness = new_witness();
  const Note good = cosigned(witness, kPublicTime);
  std::string time = good.signatures[0].signature.substr(0, 8);
  const auto with = [&](std::string signature) {
    Note note = good;
    note.signatures[0].signature = std::move(signature);
    return note;
  };
  const std::pair<const char*, Note> cases[] = {
      {"no line", Note{good.text, {}}},
      {"cut", with(good.signatures[0].signature.substr(0, 71))},
      {"longer", with(good.signatures[0].signature + 'x')},
      {"no time", with(good.signatures[0].signature.substr(8))},
      {"over the bare text", with(time + sign_bytes(as_bytes(kHeadText), witness))},
  };
  for (const auto& [name, note] : cases) {
    EXPECT_EQ(cosigned_at(note, witness.verifier), std::nullopt) << name;
  }
}

TEST(Cosignature, ABadLineOfAKeySpoilsItsGoodOne) {
  const SignerKey witness = new_witness();
  Note note = cosigned(witness, 10);
  note.signatures.push_back(cosign(note.text, witness, 20));
  EXPECT_EQ(cosigned_at(note, witness.verifier), 20U);  // the latest of its lines
  note.signatures.push_back(cosign(note.text, witness, 5));
  EXPECT_EQ(cosigned_at(note, witness.verifier), 20U);
  note.signatures.back().signature[70] ^= 1;
  EXPECT_EQ(cosigned_at(note, witness.verifier), std::nullopt);
}

TEST(Cosignature, CoversExtensionLines) {
  const SignerKey witness = new_witness();
  Note note{std::string(kHeadText) + "extension\n", {}};
  add_signature(note, cosign(note.text, witness, 10));
  EXPECT_EQ(cosigned_at(note, witness.verifier), 10U);
  note.text = kHeadText;
  EXPECT_EQ(cosigned_at(note, witness.verifier), std::nullopt);
}

TEST(Cosignature, IsForTreeHeadsAlone) {
  const SignerKey witness = new_witness();
  EXPECT_THAT(error_of([&] { cosign("any text\n", witness, 1); }), StartsWith("corrupt"));
  EXPECT_THAT(error_of([&] { cosign(kHeadText, new_signer_key("log"), 1); }), StartsWith("usage"));
  EXPECT_THAT(error_of([&] { sign_note(kHeadText, witness); }), StartsWith("usage"));
  Note note{"any text\n", {}};
  const std::string message = "cosignature/v1\ntime 0\n" + note.text;
  note.signatures.push_back({witness.verifier.name, witness.verifier.id,
                             std::string(8, '\0') + sign_bytes(as_bytes(message), witness)});
  EXPECT_EQ(cosigned_at(note, witness.verifier), std::nullopt);
}

TEST(WitnessKey, RoundTrips) {
  const SignerKey witness = new_witness();
  EXPECT_EQ(parse_signer_key(format_signer_key(witness)).verifier, witness.verifier);
  EXPECT_EQ(parse_verifier_key(format_verifier_key(witness.verifier)), witness.verifier);
  // The type is part of the id: the same key as a log's is another key.
  SignerKey log = witness;
  log.verifier.type = SignatureType::ed25519;
  EXPECT_THAT(error_of([&] { parse_signer_key(format_signer_key(log)); }), StartsWith("corrupt"));
}

TEST(Ed25519, Rfc8032) {
  struct Case {
    const char *seed, *key, *message, *signature;
  };
  const Case cases[] = {
      {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
       "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf"
       "9b4"
       "6bd25bf5f0595bbe24655141438e7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f"
       "11d"
       "8c387b2eaeb4302aeeb00d291612bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984"
       "dc6"
       "594a7c15e9716ed28dc027beceea1ec40a"},
      {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
       "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
       "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3f"
       "eeb"
       "bd454d4423643ce80e2a9ac94fa54ca49f",
       "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c6643"
       "1e0"
       "303dca179c138ac17ad9bef1177331a704"},
  };
  const auto bytes = [](std::string_view hex) {
    std::string out;
    for (size_t i = 0; i < hex.size(); i += 2) {
      out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    }
    return out;
  };
  for (const Case& c : cases) {
    SignerKey key = new_signer_key("k");
    key.seed = bytes(c.seed);
    key.verifier.key = bytes(c.key);
    const std::string message = bytes(c.message);
    const std::string signature = sign_bytes(as_bytes(message), key);
    EXPECT_EQ(to_hex(as_bytes(signature)), c.signature);
    EXPECT_TRUE(verify_bytes(as_bytes(message), signature, key.verifier));
    EXPECT_FALSE(verify_bytes(as_bytes(message + "x"), signature, key.verifier));
  }
}

}  // namespace
}  // namespace cleared::ledger
