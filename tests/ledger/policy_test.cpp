// Who may do what under a policy: a truth table of acts and signers, keys that come and go, and the
// attack that policies are there against.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/authority.h"
#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/textproto.h"
#include "ledger/trust.h"
#include "ledger/verify.h"
#include "tests/ledger/world.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

struct Rule {
  Policy::Act act;
  const char* role;
  uint32_t need;
};
constexpr Policy::Act kActs[] = {Policy::APPROVE,       Policy::PERMIT,    Policy::REVOKE,
                                 Policy::CHANGE_POLICY, Policy::ENROL_KEY, Policy::RETIRE_KEY};
const std::vector<Rule> kTwoForAll = {
    {Policy::APPROVE, "approver", 2},   {Policy::PERMIT, "approver", 2},
    {Policy::REVOKE, "approver", 2},    {Policy::CHANGE_POLICY, "approver", 2},
    {Policy::ENROL_KEY, "approver", 2}, {Policy::RETIRE_KEY, "approver", 2}};

using Signers = std::vector<const SignerKey*>;

std::string policy_text(uint32_t version, const std::vector<Rule>& rules) {
  PolicyText text;
  text.mutable_policy()->set_version(version);
  text.mutable_policy()->set_at("2026-01-02T03:04:05Z");
  for (const auto& [act, role, need] : rules) {
    auto& rule = *text.mutable_policy()->add_rule();
    rule.set_act(act);
    rule.set_role(role);
    rule.set_need(need);
  }
  return format_textproto(text);
}

// A ledger with approvers a, b and one whose key was retired, a second key of a's name, and under
// the policy given.
struct Court : World {
  SignerKey& a = approver;
  SignerKey b = new_signer_key("approver-b");
  SignerKey a2 = new_signer_key("example-approver");  // to replace a
  SignerKey retired = new_signer_key("approver-r");
  SignerKey later = new_signer_key("approver-l");     // not enrolled
  SignerKey stranger = new_signer_key("approver-b");  // b's name, no key of the ledger
  int acts = 0;
  SignerKey newcomer = new_signer_key("newcomer");  // whom the act ENROL_KEY is about

  explicit Court(const std::vector<Rule>& rules) {
    append({key(b, "approver"), key(a2, "approver"), key(retired, "approver"), end(retired)});
    fill();
    if (!rules.empty()) append({policy(policy_text(1, rules), {&a})});
  }

  Fact end(const SignerKey& signer, const std::string& role = "approver") const {
    Fact fact = key(signer, role);
    fact.mutable_key()->set_retired(true);
    return fact;
  }
  static Fact policy(const std::string& text, const Signers& signers) {
    Fact fact;
    fact.mutable_policy()->set_note(sign_text(text, signers));
    return fact;
  }
  uint32_t next_version() const {
    const Store store(ledger, Access::read);
    return store.authority().policy_version(store.size()) + 1;
  }
  Fact endorsed(Fact fact, const Signers& signers) const {
    KeyRecord& record = *fact.mutable_key();
    record.set_note(sign_text(
        std::string(record.retired() ? "retire " : "") + record.role() + " " + record.vkey() + "\n",
        signers));
    return fact;
  }

  // Each time another fact: the same one again would be no news, whoever signed it.
  Fact act(Policy::Act which, const Signers& signers) {
    const Digest shard = shard_root(manifest);
    Fact fact;
    switch (which) {
      case Policy::APPROVE:
        return approval_fact(
            sign_text(replaced(parse_note(approval().approval().note()).text, "03:04:05Z",
                               "03:04:0" + std::to_string(++acts % 5) + "Z"),
                      signers),
            {&shard, 1});
      case Policy::PERMIT:
        fact.mutable_permit()->set_note(sign_text(parse_note(permit_note()).text, signers));
        return fact;
      case Policy::REVOKE:
        fact.mutable_revocation()->set_note(sign_text(
            parse_note(revocation("shard", digest_name(shard), a).revocation().note()).text,
            signers));
        return fact;
      case Policy::CHANGE_POLICY:
        return policy(policy_text(next_version(), {{Policy::APPROVE, "approver", 1}}), signers);
      case Policy::ENROL_KEY:
        return endorsed(key(newcomer, "curator"), signers);
      default:
        return endorsed(end(licensee, "licensee"), signers);
    }
  }
  std::string does(const Fact& fact) const {
    return error_of([&] { Store(ledger, Access::append).append({fact}); });
  }
};

// Only the newest counts: what it says is not there already when another one replaced it, and by a
// rule for the policy itself it is for the same people to say.
TEST(Policy, AWitnessPolicyIsInForceUntilTheNextOne) {
  Court court({});
  const auto text = [&](const std::string& end) {
    return "log " + format_verifier_key(court.log.verifier) + "\nquorum none\n" + end;
  };
  const auto fact = [&](const std::string& of, const Signers& signers = {}) {
    Fact out;
    out.mutable_witness_policy()->set_text(of);
    if (signers.empty()) return out;
    out.mutable_witness_policy()->set_signatures(sign_text(of, signers).substr(of.size() + 1));
    return out;
  };
  const std::string a = text("# a\n"), b = text("# b\n"), c = text("# c\n");
  const auto added = [&](const Fact& one) {
    return Store(court.ledger, Access::append).append({one}).added;
  };
  const auto in_force = [&] {
    const Store store(court.ledger, Access::read);
    Statement newest(store.db(), "SELECT text FROM witness_policy ORDER BY seq DESC");
    return newest.next() ? newest.text(0) : "";
  };
  EXPECT_EQ(added(fact(a)) + added(fact(b)) + added(fact(a)), 3U);
  EXPECT_EQ(added(fact(a)), 0U);
  EXPECT_EQ(in_force(), a);

  court.append(
      {court.policy(policy_text(1, {{Policy::CHANGE_POLICY, "approver", 2}}), {&court.a})});
  EXPECT_THAT(court.does(fact(b)),
              AllOf(StartsWith("permission"), HasSubstr("so it must come signed")));
  EXPECT_THAT(court.does(fact(c, {&court.a})), StartsWith("permission"));
  EXPECT_THAT(court.does(fact(b, {&court.a, &court.b})), HasSubstr("says the same"));
  EXPECT_EQ(court.does(fact(c, {&court.a, &court.b})), "");
  EXPECT_EQ(in_force(), c);
  Fact other = fact(a, {&court.a, &court.b});
  other.mutable_witness_policy()->set_text(b);
  EXPECT_THAT(court.does(other), StartsWith("permission"));
  const std::string whole = text("\n# after an empty line\n");
  Fact cut = fact(whole, {&court.a, &court.b});
  cut.mutable_witness_policy()->set_text(text(""));
  cut.mutable_witness_policy()->set_signatures(whole.substr(text("").size() + 1) + "\n" +
                                               cut.witness_policy().signatures());
  EXPECT_THAT(court.does(cut), HasSubstr("is another text"));
  EXPECT_TRUE(verify_ledger(court.ledger, {}).findings.empty());
}

TEST(Policy, WhoMayDoWhat) {
  struct Row {
    const char* what;
    bool may;
    Signers (*signers)(const Court&);
  };
  const Row rows[] = {{"one", false, [](const Court& c) { return Signers{&c.a}; }},
                      {"the other", false, [](const Court& c) { return Signers{&c.b}; }},
                      {"one name, two keys", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.a2};
                       }},
                      {"a retired key", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.retired};
                       }},
                      {"a key not there yet", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.later};
                       }},
                      {"another role", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.licensor};
                       }},
                      {"only other roles", false,
                       [](const Court& c) {
                         return Signers{&c.trainer, &c.licensor};
                       }},
                      {"the log", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.log};
                       }},
                      {"a name without its key", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.stranger};
                       }},
                      {"whom it is about", false,
                       [](const Court& c) {
                         return Signers{&c.a, &c.newcomer};
                       }},
                      {"two", true,
                       [](const Court& c) {
                         return Signers{&c.a, &c.b};
                       }},
                      {"two, by the newer key", true,
                       [](const Court& c) {
                         return Signers{&c.b, &c.a2};
                       }},
                      {"two and more", true, [](const Court& c) {
                         return Signers{&c.a, &c.b, &c.a2, &c.retired, &c.licensor};
                       }}};
  for (const Policy::Act act : kActs) {
    std::optional<Court> court;
    for (const Row& row : rows) {
      if (!court || row.may) court.emplace(kTwoForAll);
      const std::string said = court->does(court->act(act, row.signers(*court)));
      EXPECT_EQ(said.empty(), row.may) << act_word(act) << ", " << row.what << ": " << said;
      if (!row.may) {
        EXPECT_THAT(said, StartsWith("permission")) << act_word(act) << ", " << row.what;
      }
    }
    EXPECT_TRUE(verify_ledger(court->ledger, {}).findings.empty()) << act_word(act);
  }
}

TEST(Policy, WithoutOneAnApproverIsEnough) {
  for (const Policy::Act act : kActs) {
    Court court({});
    const bool anyone = act == Policy::ENROL_KEY || act == Policy::RETIRE_KEY;
    EXPECT_EQ(court.does(court.act(act, {&court.licensor})).empty(), anyone) << act_word(act);
    if (!anyone) {
      EXPECT_EQ(court.does(court.act(act, {&court.b})), "") << act_word(act);
    }
  }
}

// Rules for one act say nothing about the others, and all rules of an act must be met.
TEST(Policy, RulesAreForTheirActAndRole) {
  Court court({{Policy::APPROVE, "approver", 2}, {Policy::APPROVE, "licensor", 1}});
  EXPECT_THAT(court.does(court.act(Policy::APPROVE, {&court.a, &court.b})),
              HasSubstr("any licensor"));
  EXPECT_THAT(court.does(court.act(Policy::APPROVE, {&court.a, &court.licensor})),
              HasSubstr("2 different names of role approver, it has 1 (example-approver)"));
  EXPECT_EQ(court.does(court.act(Policy::APPROVE, {&court.a, &court.b, &court.licensor})), "");
  EXPECT_EQ(court.does(court.act(Policy::REVOKE, {&court.b})), "");
}

// Whoever can append could make up keys to outvote the others. A rule for keys stops that; without
// one the operator is trusted (docs/formats/policy.md).
TEST(Policy, NobodyOutvotesTheOthersWithKeysOfHisOwn) {
  Court court(kTwoForAll);
  const SignerKey puppet = new_signer_key("puppet");
  const Fact enrol = court.key(puppet, "approver");
  EXPECT_THAT(court.does(enrol), HasSubstr("must come as a signed note"));
  EXPECT_THAT(court.does(court.endorsed(enrol, {&court.a})), StartsWith("permission"));
  EXPECT_THAT(court.does(court.endorsed(enrol, {&court.a, &puppet})), StartsWith("permission"));
  // Two approvers signed for another key.
  Fact swapped = enrol;
  swapped.mutable_key()->set_note(
      court.endorsed(court.key(court.newcomer, "approver"), {&court.a, &court.b}).key().note());
  EXPECT_THAT(court.does(swapped), StartsWith("corrupt"));
  // ... or for this one, as something less.
  swapped.mutable_key()->set_note(
      court.endorsed(court.key(puppet, "curator"), {&court.a, &court.b}).key().note());
  EXPECT_THAT(court.does(swapped), StartsWith("corrupt"));
  // ... or for its end.
  swapped.mutable_key()->set_note(
      court.endorsed(court.end(puppet), {&court.a, &court.b}).key().note());
  EXPECT_THAT(court.does(swapped), StartsWith("corrupt"));
  // In one append with what it would vote for.
  EXPECT_THAT(error_of([&] {
                court.append({enrol, court.act(Policy::APPROVE, {&court.a, &puppet})});
              }),
              StartsWith("permission"));
  // Thinning out the others until he alone is left is refused, too.
  EXPECT_THAT(court.does(court.end(court.b)), StartsWith("permission"));

  Court open({{Policy::APPROVE, "approver", 2}});
  EXPECT_EQ(open.does(open.key(puppet, "approver")), "");
  EXPECT_EQ(open.does(open.act(Policy::APPROVE, {&open.a, &puppet})), "");
}

TEST(Keys, RetiringOneVoidsItsLaterUseAndNotItsEarlierOne) {
  Court court({{Policy::APPROVE, "approver", 1}});
  const Fact before = court.act(Policy::APPROVE, {&court.b});
  EXPECT_EQ(court.does(before), "");
  EXPECT_EQ(court.does(court.end(court.b)), "");
  Store(court.ledger, Access::append).sign_head(court.log);
  EXPECT_THAT(court.does(court.act(Policy::REVOKE, {&court.b})), StartsWith("permission"));
  EXPECT_TRUE(verify_ledger(court.ledger, {}).findings.empty());
  const Store store(court.ledger, Access::read);
  Statement select(store.db(), "SELECT COUNT(*) FROM approval WHERE signers = 'approver-b'");
  ASSERT_TRUE(select.next());
  EXPECT_EQ(select.integer(0), 1);
}

TEST(Keys, ASignatureDoesNotCountBeforeItsKeyIsThere) {
  Court court(kTwoForAll);
  const Fact early = court.act(Policy::APPROVE, {&court.a, &court.later});
  EXPECT_THAT(court.does(early), StartsWith("permission"));
  EXPECT_EQ(court.does(court.endorsed(court.key(court.later, "approver"), {&court.a, &court.b})),
            "");
  EXPECT_EQ(court.does(early), "");
}

// At every moment of a rotation there are two names that can sign, and never a third vote.
TEST(Keys, AreReplacedWithoutAFlagDay) {
  Court court(kTwoForAll);
  const SignerKey b2 = new_signer_key("approver-b");
  const auto both = [&](const SignerKey& one) { return Signers{&court.a, &one}; };
  const auto works = [&](const SignerKey& one) {
    return court.does(court.act(Policy::APPROVE, both(one))).empty();
  };
  EXPECT_TRUE(works(court.b));
  EXPECT_FALSE(works(b2));
  EXPECT_EQ(court.does(court.endorsed(court.key(b2, "approver"), both(court.b))), "");
  EXPECT_TRUE(works(court.b));
  EXPECT_TRUE(works(b2));
  EXPECT_FALSE(court.does(court.act(Policy::REVOKE, {&court.b, &b2})).empty());
  EXPECT_EQ(court.does(court.endorsed(court.end(court.b), both(b2))), "");
  EXPECT_FALSE(works(court.b));
  EXPECT_TRUE(works(b2));
  // The last key of a name that the policy cannot do without stays.
  EXPECT_THAT(court.does(court.endorsed(court.end(b2), both(b2))),
              HasSubstr("without it nobody could meet the policy (approve needs 2 approver)"));
  // A key that was retired does not come back.
  EXPECT_NE(court.does(court.endorsed(court.key(court.b, "approver"), both(b2))), "");
  EXPECT_FALSE(works(court.b));
}

TEST(Keys, ANameStandsForOneRole) {
  Court court({});
  EXPECT_THAT(court.does(court.key(new_signer_key("approver-b"), "licensor")),
              HasSubstr("is taken by a approver"));
  EXPECT_EQ(court.does(court.end(court.b)), "");
  EXPECT_EQ(court.does(court.key(new_signer_key("approver-b"), "licensor")), "");
  EXPECT_THAT(court.does(court.end(court.licensor, "approver")), StartsWith("corrupt"));
  EXPECT_THAT(court.does(court.end(court.log, "log")), StartsWith("permission"));
  EXPECT_THAT(court.does(court.end(court.later)), StartsWith("corrupt"));
}

// Else one person is two of them, a retired key goes on, and a licensor is a licensee, too.
TEST(Keys, OneIsOnRecordUnderOneName) {
  Court court(kTwoForAll);
  const auto enrol = [&](const SignerKey& key, const std::string& role) {
    return court.does(court.endorsed(court.key(key, role), {&court.a, &court.b, &key}));
  };
  EXPECT_THAT(enrol(renamed(court.a, "anna"), "approver"),
              HasSubstr("anna is the key of example-approver (example-approver+"));
  EXPECT_THAT(enrol(renamed(court.retired, "carla"), "approver"),
              HasSubstr("is the key of approver-r"));
  EXPECT_THAT(enrol(renamed(court.licensor, "studio-2"), "licensee"), StartsWith("corrupt"));
  EXPECT_THAT(enrol(renamed(court.log, "logger"), "approver"), StartsWith("corrupt"));
  EXPECT_THAT(enrol(renamed(court.a, court.log.verifier.name), "log"), StartsWith("corrupt"));
  EXPECT_EQ(enrol(new_signer_key("anna"), "approver"), "");
}

// A ledger that an older program wrote may have one under two: it is still one vote.
TEST(Keys, OneUnderTwoNamesIsOneVote) {
  const SignerKey a = new_signer_key("ann"), again = renamed(a, "anna"), b = new_signer_key("bob");
  Authority authority;
  uint64_t seq = 1;
  for (const SignerKey* key : {&a, &again, &b}) {
    KeyRecord record;
    record.set_name(key->verifier.name);
    record.set_role("approver");
    record.set_vkey(format_verifier_key(key->verifier));
    authority.add(seq++, record);
  }
  const auto names = [&](const Signers& signers) {
    return authority.signers(parse_note(sign_text("yes\n", signers)), "approver", seq);
  };
  EXPECT_THAT(names({&a, &again}), testing::ElementsAre("ann"));
  EXPECT_THAT(names({&again}), testing::ElementsAre("anna"));
  EXPECT_THAT(names({&a, &again, &b}), testing::ElementsAre("ann", "bob"));
  EXPECT_EQ(authority.names_of("approver", seq), 2U);

  Trust trust;
  for (const SignerKey* key : {&a, &again, &b}) trust.keys.push_back({"approver", key->verifier});
  EXPECT_THAT(trust.signers(parse_note(sign_text("yes\n", {&a, &again})), "approver"),
              testing::ElementsAre("ann"));
  std::string text;
  for (const PublicKey& key : trust.keys) text += format_public_key(key) + "\n";
  EXPECT_THAT(error_of([&] { parse_trust(text, "trust"); }),
              testing::AllOf(StartsWith("corrupt: trust:2: anna is the key of ann"),
                             HasSubstr("take one of the lines out")));
  EXPECT_EQ(error_of([&] {
              parse_trust(
                  format_public_key(trust.keys[0]) + "\n" + format_public_key(trust.keys[0]) + "\n",
                  "trust");
            }),
            "");
}

TEST(Policy, OneThatNobodyCouldMeetIsRefused) {
  Court court({});
  const std::string good = policy_text(1, {{Policy::APPROVE, "approver", 2}});
  const std::pair<std::string, const char*> cases[] = {
      {policy_text(1, {{Policy::APPROVE, "approver", 3}}), "nobody could ever meet it"},
      {policy_text(1, {{Policy::APPROVE, "witness", 1}}), "nobody could ever meet it"},
      {policy_text(1, {{Policy::APPROVE, "approver", 0}}), "none needed"},
      {policy_text(1, {{Policy::APPROVE, "boss", 1}}), "no such role"},
      {policy_text(1, {{Policy::APPROVE, "log", 1}}), "no such role"},
      {policy_text(1, {{Policy::APPROVE, "approver", 1}, {Policy::APPROVE, "approver", 2}}),
       "two rules"},
      {policy_text(2, {{Policy::APPROVE, "approver", 1}}), "must have version 1"},
      {policy_text(0, {{Policy::APPROVE, "approver", 1}}), "must have version 1"},
      {replaced(good, "APPROVE", "DANCE"), "policy:"},
      {replaced(good, "need: 2", "need: -2"), "policy:"},
  };
  for (const auto& [text, says] : cases) {
    EXPECT_THAT(court.does(Court::policy(text, {&court.a})),
                testing::AllOf(StartsWith("corrupt"), HasSubstr(says)))
        << text;
  }
  EXPECT_EQ(court.does(Court::policy(good, {&court.a})), "");
  EXPECT_THAT(court.does(Court::policy(policy_text(1, {}), {&court.a})), StartsWith("corrupt"));
  EXPECT_EQ(court.does(Court::policy(policy_text(2, {}), {&court.a})), "");
  EXPECT_EQ(court.does(court.act(Policy::APPROVE, {&court.a})), "");
}

// A permit waits for its second signature; what it was made from must still hold then.
TEST(Permit, IsJudgedAgainWhenItIsRecorded) {
  const auto says = [](const World& world, const std::function<void(Permit&)>& change) {
    const Store store(world.ledger, Access::read);
    PermitText text;
    parse_textproto(parse_note(world.permit_note()).text, "permit", text);
    change(*text.mutable_permit());
    return [&world, text] {
      const Store now(world.ledger, Access::read);
      return error_of([&] { check_permit(now, Rights(now), text.permit()); });
    };
  };
  const auto same = [](Permit&) {};
  struct Row {
    const char* says;
    std::function<void(Permit&)> change;
    std::function<void(World&)> meanwhile;
  };
  const Row rows[] = {
      {"", same, [](World&) {}},
      {"refused: revoked", same,
       [](World& w) { w.append({w.revocation("licence", "LIC-1", w.licensor)}); }},
      {"refused: passes_reserved",  // two drafts of one budget
       same,
       [](World& w) {
         Fact fact;
         fact.mutable_permit()->set_note(w.permit_note());
         w.append({fact});
       }},
      {"corrupt", same,
       [](World& w) {
         w.add_licence(replaced(replaced(full_licence_text(), "  version: 1\n",
                                         "  version: 2\n  supersedes: \"LIC-1@1\"\n"),
                                "2099-12-31", "2098-12-31"));
       }},
      {"refused: passes_exceeded", [](Permit& p) { p.mutable_shard(0)->clear_max_passes(); },
       [](World&) {}},
      {"refused: passes_exceeded", [](Permit& p) { p.mutable_shard(0)->set_max_passes(5); },
       [](World&) {}},
      {"refused: not_approved",
       [](Permit& p) { p.mutable_shard(0)->set_root(digest_name(sha256("x"))); }, [](World&) {}},
      {"refused: not_approved", [](Permit& p) { p.mutable_purpose()->set_use(FINETUNE); },
       [](World&) {}},
      {"refused: not_for_training", [](Permit& p) { p.mutable_purpose()->set_use(INGEST); },
       [](World&) {}},
      {"refused: territory_not_allowed",
       [](Permit& p) { p.mutable_purpose()->set_compute_territory("CN"); }, [](World&) {}},
      {"refused: permit_expired", [](Permit& p) { p.set_expires_at("2020-01-01T00:00:00Z"); },
       [](World&) {}},
      {"corrupt", [](Permit& p) { p.mutable_shard(0)->set_valid_to("2199-12-31"); }, [](World&) {}},
      {"corrupt", [](Permit& p) { p.mutable_shard(0)->set_samples(3); }, [](World&) {}},
      {"corrupt", [](Permit& p) { p.set_tree_root(digest_name(sha256("x"))); }, [](World&) {}},
      {"corrupt", [](Permit& p) { p.set_tree_size(p.tree_size() - 1); }, [](World&) {}},
      {"corrupt", [](Permit& p) { p.set_origin("other.example/log"); }, [](World&) {}},
      {"corrupt",
       [](Permit& p) {
         p.set_issued_at("2199-01-01T00:00:00Z");
         p.set_expires_at("2199-01-02T00:00:00Z");
       },
       [](World&) {}},
  };
  for (size_t i = 0; i < std::size(rows); ++i) {
    World world;
    world.fill();
    const auto again = says(world, rows[i].change);
    rows[i].meanwhile(world);
    EXPECT_THAT(again(), StartsWith(rows[i].says)) << "row " << i;
    EXPECT_EQ(again().empty(), std::string(rows[i].says).empty()) << "row " << i;
  }
}

}  // namespace
}  // namespace cleared::ledger
