// A licence that came after the footage that it covers: every view and statement knows it, as the
// gate does (rights_test.cpp) and the impact (impact_test.cpp).
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/account.h"
#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/query.h"
#include "ledger/textproto.h"
#include "ledger/verify.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kRateOfFirst = 1'000'003;
constexpr uint64_t kRateOfLate = 2'000'005;

void pay(LicenceText& terms, uint64_t rate_micros) {
  terms.clear_pay();
  Pay& pay = *terms.add_pay();
  pay.set_basis(Pay::PER_SAMPLE_SECOND);
  pay.set_currency("USD");
  pay.set_rate_micros(rate_micros);
}

// LIC-1 and LIC-2 with a shard each, and a run that consumed of both.
struct Late : RunWorld {
  Late()
      : RunWorld({{"LIC-1", 2}, {"LIC-2", 3}},
                 [](size_t, LicenceText& terms) { pay(terms, kRateOfFirst); }) {
    run = begin_run("run-1-aaaaaaaa00000000");
    span(run, 10, {{0, {{1, 3}, {2, 4}}}, {1, {{1, 5}}}});
    sign();
  }
  // Of the footage of LIC-1, or what else the pattern fits.
  void add_late(const std::string& id = "LIC-9", const std::string& pattern = "footage-0/**") {
    world_licence(id, pattern, licensor, "");
  }
  void world_licence(const std::string& id, const std::string& pattern, const SignerKey& signer,
                     const std::string& supersedes) {
    LicenceText terms = parse_licence(full_licence_text(), "test");
    terms.mutable_licence()->set_id(id);
    terms.mutable_licence()->set_licensor(signer.verifier.name);
    if (!supersedes.empty()) {
      terms.mutable_licence()->set_version(2);
      terms.mutable_licence()->set_supersedes(supersedes);
    }
    terms.mutable_covers()->set_delivery(0, pattern);
    terms.mutable_limits()->clear_max_passes();
    pay(terms, kRateOfLate);
    Store(ledger, Access::append)
        .append_licence(sign_text(format_textproto(terms), {&signer, &licensee}), "test");
  }
  // Of each row, once and sorted.
  std::vector<std::string> column(const std::string& sql) const {
    std::set<std::string> out;
    for (const auto& row : query_sql(ledger, sql).rows) out.insert(row[0]);
    return {out.begin(), out.end()};
  }
  std::vector<std::string> cleared() const {
    return column("SELECT licence || ' ' || path FROM cleared");
  }
  std::vector<std::string> touched() const {
    return column("SELECT revoked || ' ' || clips || ' from ' || first_step FROM touched");
  }
  // "LIC-1@1 1000": passes of each version, by the statement and by the query that it prints.
  std::vector<std::string> paid(const std::string& licensor_name = "example-stock") const {
    AccountRequest request;
    request.licensor = licensor_name;
    request.from = request.to = date_of(now_us());
    Store(ledger, Access::append).sign_head(log);  // all that counts is below it
    const Account a = make_account(Store(ledger, Access::read), request);
    std::map<std::string, uint64_t> by_query;
    for (const auto& row : query_sql(ledger, a.query()).rows) {
      by_query[row[0]] += std::stoull(row[4]);
    }
    std::vector<std::string> out;
    for (const auto& part : a.part()) {
      if (part.passes() == 0) continue;
      EXPECT_EQ(by_query[part.licence()], part.sample_us()) << part.licence();
      EXPECT_EQ(part.sample_us(), part.passes() * kSampleUs);
      const auto& fee = part.fee(0);
      EXPECT_EQ(fee.amount_micros(), times(fee.rate_micros(), part.sample_us(), 1'000'000));
      for (const auto* list : {&fee.run_micros(), &fee.clip_micros()}) {
        EXPECT_EQ(std::accumulate(list->begin(), list->end(), uint64_t{0}), fee.amount_micros());
      }
      by_query.erase(part.licence());
      out.push_back(part.licence() + " " + std::to_string(part.passes()));
    }
    EXPECT_TRUE(by_query.empty());
    return out;
  }
  RunOf run;
};

TEST(LateLicence, IsInTheViewOfWhatMayBeUsed) {
  Late world;
  EXPECT_THAT(world.cleared(), ElementsAre("LIC-1@1 footage-0/a.webm", "LIC-2@1 footage-1/a.webm"));
  world.add_late();
  EXPECT_THAT(world.cleared(), ElementsAre("LIC-1@1 footage-0/a.webm", "LIC-2@1 footage-1/a.webm",
                                           "LIC-9@1 footage-0/a.webm"));
  // Of several every one has to be in force.
  world.append({world.revocation("licence", "LIC-9", world.licensor)});
  EXPECT_THAT(world.cleared(), ElementsAre("LIC-2@1 footage-1/a.webm"));
  EXPECT_TRUE(verify_ledger(world.ledger, {}).findings.empty());
}

// An amendment is a licence of later, too: what was taken in under the version before stays.
TEST(LateLicence, AnAmendmentTakesThePlaceOfWhatItSupersedes) {
  Late world;
  world.world_licence("LIC-1", "footage-0/**", world.licensor, "LIC-1@1");
  EXPECT_THAT(world.cleared(), ElementsAre("LIC-1@2 footage-0/a.webm", "LIC-2@1 footage-1/a.webm"));
  world.append({world.revocation("licence", "LIC-1", world.licensor)});
  EXPECT_THAT(world.cleared(), ElementsAre("LIC-2@1 footage-1/a.webm"));
}

TEST(LateLicence, ItsRevocationTouchesWhatWasConsumed) {
  Late world;
  world.add_late();
  world.append({world.revocation("licence", "LIC-9", world.licensor)});
  EXPECT_THAT(world.touched(), ElementsAre("LIC-9 2 from 3"));
}

// Consumed before it came is paid as it was, and from then on under it.
TEST(LateLicence, IsPaidFromThenOn) {
  Late world;
  EXPECT_THAT(world.paid(), ElementsAre("LIC-1@1 3", "LIC-2@1 1"));
  world.add_late();
  EXPECT_THAT(world.paid(), ElementsAre("LIC-1@1 3", "LIC-2@1 1"));
  world.span(world.run, 20, {{0, {{5, 13}}}, {1, {{1, 15}, {0, 0}, {1, 15}}}});
  EXPECT_THAT(world.paid(), ElementsAre("LIC-1@1 3", "LIC-2@1 3", "LIC-9@1 5"));
  // A new version of the first changes nothing of that.
  world.world_licence("LIC-1", "footage-0/**", world.licensor, "LIC-1@1");
  world.span(world.run, 30, {{0, {{1, 23}}}});
  EXPECT_THAT(world.paid(), ElementsAre("LIC-1@1 3", "LIC-2@1 3", "LIC-9@1 6"));
  // One that covers a part of a shard splits it.
  world.add_late("LIC-10", "footage-1/**");
  world.span(world.run, 40, {{0, {{1, 33}}}, {1, {{2, 33}}}});
  EXPECT_THAT(world.paid(), ElementsAre("LIC-1@1 3", "LIC-10@1 2", "LIC-2@1 3", "LIC-9@1 7"));
  const auto total = [&](const char* sql) { return query_sql(world.ledger, sql).rows[0][0]; };
  EXPECT_EQ(total("SELECT SUM(passes) FROM exposure"),
            total("SELECT SUM(passes) FROM consumption"));
}

// A claim of another licensor stops the use of the footage and takes nobody's pay.
TEST(LateLicence, OfAnotherLicensorClearsNothingAndIsPaidNothing) {
  Late world;
  const SignerKey rival = new_signer_key("rival");
  world.append({world.key(rival, "licensor")});
  world.world_licence("RIVAL-1", "footage-0/**", rival, "");
  EXPECT_THAT(world.cleared(), ElementsAre("LIC-2@1 footage-1/a.webm"));
  world.span(world.run, 20, {{0, {{5, 13}}}});  // under a permit of before
  EXPECT_THAT(world.paid(), ElementsAre("LIC-1@1 8", "LIC-2@1 1"));
  EXPECT_THAT(world.paid("rival"), IsEmpty());
  EXPECT_THAT(world.column("SELECT licensor FROM exposure"), ElementsAre("example-stock"));
}

}  // namespace
}  // namespace cleared::ledger
