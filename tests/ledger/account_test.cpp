// What a licensor is due, beside the query that the statement itself prints and arithmetic done
// again here in fractions. tests/tools/statement_test.py does it once more in Python, from the CSV.
#include "ledger/account.h"

#include <map>
#include <numeric>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/clock.h"
#include "ledger/digest.h"
#include "ledger/licence.h"
#include "ledger/query.h"
#include "ledger/textproto.h"
#include "tests/ledger/full_world.h"
#include "tests/ledger/runs.h"

namespace cleared::ledger {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(Apportion, LosesNoUnit) {
  const auto split = [](uint64_t total, std::vector<uint64_t> weights) {
    return apportion(total, weights);
  };
  EXPECT_THAT(split(100, {1, 1, 1}), ElementsAre(34, 33, 33));
  EXPECT_THAT(split(5, {1, 0, 2}), ElementsAre(2, 0, 3));
  EXPECT_THAT(split(1, {1, 2}), ElementsAre(0, 1));
  EXPECT_THAT(split(0, {7, 9}), ElementsAre(0, 0));
  EXPECT_THAT(split(9, {0, 0}), ElementsAre(9, 0));
  // Hamilton's method, as Balinski and Young (Fair Representation, 1982) describe it.
  EXPECT_THAT(split(26, {9061, 7179, 5259, 3319, 1182}), ElementsAre(9, 7, 5, 4, 1));
  // Products above 64 bits.
  EXPECT_THAT(split(UINT64_MAX / 2, {UINT64_MAX, UINT64_MAX}),
              ElementsAre(UINT64_MAX / 4 + 1, UINT64_MAX / 4));
  EXPECT_THAT(error_of([&] { split(1, {}); }), StartsWith("usage"));
  std::mt19937_64 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<uint64_t> weights(1 + random() % 9);
    for (uint64_t& w : weights) w = random() % 1'000;
    const uint64_t total = random() % 10'000;
    const auto parts = apportion(total, weights);
    const uint64_t sum = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
    ASSERT_EQ(std::accumulate(parts.begin(), parts.end(), uint64_t{0}), total);
    for (size_t k = 0; sum > 0 && k < parts.size(); ++k) {
      ASSERT_LE(parts[k] * sum, total * weights[k] + sum);  // never a whole unit off
      ASSERT_GE(parts[k] * sum + sum, total * weights[k]);
    }
  }
}

TEST(Apportion, TimesRoundsHalfUp) {
  EXPECT_EQ(times(3, 1, 2), 2U);
  EXPECT_EQ(times(1, 1, 3), 0U);
  EXPECT_EQ(times(2, 1, 3), 1U);
  EXPECT_EQ(times(4'000'000'000'000, 4'000'000'000'000, 16'000'000), 1'000'000'000'000'000'000U);
  EXPECT_THAT(error_of([] { times(UINT64_MAX, UINT64_MAX, 1); }), StartsWith("usage"));
}

Pay pay(Pay::Basis basis, uint64_t rate_micros, uint32_t pool_bps = 0) {
  Pay out;
  out.set_basis(basis);
  out.set_currency("USD");
  if (rate_micros > 0) out.set_rate_micros(rate_micros);
  if (pool_bps > 0) out.set_pool_bps(pool_bps);
  return out;
}

struct Paid : RunWorld {
  explicit Paid(bool same_first = false)
      : RunWorld(
            {{"LIC-1", 3}, {"LIC-2", 2}, {"LIC-3", 4}},
            [](size_t i, LicenceText& terms) {
              terms.clear_pay();
              if (i == 0) {
                *terms.add_pay() = pay(Pay::PER_SAMPLE_SECOND, 1'234'567);
                *terms.add_pay() = pay(Pay::PER_MINUTE_INGESTED, 2'000'001);
                for (const auto& [party, share] :
                     {std::pair<const char*, uint32_t>{"example-stock", 3334},
                      {"guild", 3333},
                      {"fund", 3333}}) {
                  auto& split = *terms.mutable_pay(0)->add_split();
                  split.set_party(party);
                  split.set_share_bps(share);
                }
              } else {
                *terms.add_pay() = pay(Pay::REVENUE_SHARE, 0, 500);
              }
            },
            {}, same_first) {
    RunOf a = begin_run("run-1-aaaaaaaa00000000");
    span(a, 10, {{0, {{1, 3}, {0, 0}, {2, 9}}}, {1, {{1, 1}}}});
    span(a, 20, {{0, {{0, 0}, {4, 11}}}, {2, {{2, 12}, {1, 12}, {1, 13}, {3, 14}}}});
    RunOf b = begin_run("run-1-bbbbbbbb00000000");
    span(b, 5, {{0, {{1, 0}, {1, 0}, {1, 0}}}, {1, {{5, 1}, {1, 2}}}});
    sign();
  }
  AccountRequest request() const {
    AccountRequest out;
    out.licensor = "example-stock";
    out.from = out.to = date_of(now_us());
    out.revenue["USD"] = 1'000'000'010;
    return out;
  }
  Account account() const { return make_account(Store(ledger, Access::read), request()); }
};

uint64_t sum(const auto& list) {
  return std::accumulate(list.begin(), list.end(), uint64_t{0});
}

bool adds_up(const auto& list, const Account::Fee& fee) {
  return list.empty() || sum(list) == fee.amount_micros();
}

TEST(Account, EveryListAddsUpToItsFee) {
  const Paid world;
  const Account a = world.account();
  ASSERT_EQ(a.part_size(), 3);
  std::map<std::string, uint64_t> parties;
  uint64_t all = 0;
  for (const auto& part : a.part()) {
    uint64_t passes = 0, sample_us = 0;
    for (const auto& run : part.run()) {
      passes += run.passes();
      sample_us += run.sample_us();
    }
    EXPECT_EQ(passes, part.passes());
    EXPECT_EQ(sample_us, part.sample_us());
    for (const auto& fee : part.fee()) {
      EXPECT_TRUE(adds_up(fee.run_micros(), fee)) << part.licence();
      EXPECT_TRUE(adds_up(fee.clip_micros(), fee)) << part.licence();
      EXPECT_TRUE(adds_up(fee.source_micros(), fee)) << part.licence();
      uint64_t shares = 0;
      for (const auto& share : fee.share()) {
        shares += share.amount_micros();
        parties[share.party()] += share.amount_micros();
      }
      EXPECT_EQ(shares, fee.amount_micros());
      all += fee.amount_micros();
    }
  }
  for (const auto& total : a.total()) {
    EXPECT_EQ(total.amount_micros(), total.party().empty() ? all : parties.at(total.party()));
  }
  EXPECT_EQ(a.total_size(), 4);
}

TEST(Account, RatesTimesWhatWasConsumed) {
  const Paid world;
  const Account a = world.account();
  // 10 passes of 2.000003 s at 1.234567: 24.69137703701..., and 3 clips' footage by the minute.
  const auto& part = a.part(0);
  EXPECT_EQ(part.licence(), "LIC-1@1");
  EXPECT_EQ(part.passes(), 10U);
  EXPECT_EQ(part.sample_us(), 20'000'030U);
  EXPECT_EQ(part.fee(0).amount_micros(), 24'691'377U);
  EXPECT_EQ(part.fee(0).share(0).amount_micros() + part.fee(0).share(1).amount_micros() +
                part.fee(0).share(2).amount_micros(),
            24'691'377U);
  EXPECT_EQ(part.fee(1).quantity_us(), 6'000'009U);
  EXPECT_EQ(part.fee(1).amount_micros(), 200'000U);  // 200000.4000...
  // A pool of 50.0000005, rounded half up, by 7 and 7 passes of one length.
  EXPECT_EQ(a.part(1).fee(0).pool_micros(), 50'000'001U);
  EXPECT_EQ(a.part(1).fee(0).amount_micros(), 25'000'001U);
  EXPECT_EQ(a.part(2).fee(0).amount_micros(), 25'000'000U);
}

void expect_the_query_to_give(const RunWorld& world, const Account& a) {
  std::map<std::string, uint64_t> runs, clips;
  uint64_t passes = 0;
  const Table table = query_sql(world.ledger, a.query());
  for (const auto& row : table.rows) {
    runs[row[0] + row[1]] += std::stoull(row[4]);
    clips[row[0] + "sha256:" + row[2]] += std::stoull(row[4]);
    passes += std::stoull(row[3]);
  }
  for (const auto& part : a.part()) {
    for (const auto& run : part.run()) EXPECT_EQ(runs[part.licence() + run.run()], run.sample_us());
    for (const auto& clip : part.clip()) {
      EXPECT_EQ(clips[part.licence() + clip.clip()], clip.sample_us());
    }
    passes -= part.passes();
  }
  EXPECT_EQ(passes, 0U);
  EXPECT_GE(table.rows.size(), 10U);
}

TEST(Account, TheQueryItPrintsGivesTheSame) {
  const Paid world;
  expect_the_query_to_give(world, world.account());
}

void expect_the_same_without_clips(const Paid& world) {
  Account with = world.account();
  AccountRequest request = world.request();
  request.clips = false;
  const Account without = make_account(Store(world.ledger, Access::read), request);
  for (auto& part : *with.mutable_part()) {
    part.clear_clip();
    for (auto& fee : *part.mutable_fee()) fee.clear_clip_micros();
  }
  EXPECT_EQ(with.SerializeAsString(), without.SerializeAsString());
}

TEST(Account, WithoutClipsTheRestIsTheSame) {
  expect_the_same_without_clips(Paid());
}

// A sample whose bytes were in an earlier shard is that shard's sample, whatever its licence.
TEST(Account, SamplesOfEqualBytesAreTheFirstsClip) {
  const Paid world(true);
  const Account a = world.account();
  EXPECT_EQ(a.part(0).passes(), 10U + 6 + 2);  // with the first samples of the others' shards
  EXPECT_EQ(a.part(1).passes(), 1U);
  EXPECT_EQ(a.part(2).passes(), 5U);
  expect_the_query_to_give(world, a);
  expect_the_same_without_clips(world);
}

// More shards and licences than one thread takes at a time.
TEST(Account, ManyShardsAndLicencesAddUp) {
  std::vector<std::pair<std::string, size_t>> licences;
  for (size_t i = 0; i < 70; ++i) licences.emplace_back("LIC-" + std::to_string(i), 1 + i % 2);
  RunWorld world(licences, [](size_t i, LicenceText& terms) {
    terms.clear_pay();
    *terms.add_pay() = pay(Pay::PER_SAMPLE_SECOND, 1'000 + i);
  });
  for (const char* name : {"run-1-aaaaaaaa00000000", "run-1-bbbbbbbb00000000"}) {
    RunOf run = world.begin_run(name);
    std::map<size_t, Eaten> eaten;
    for (size_t i = 0; i < licences.size(); ++i) eaten[i] = Eaten(licences[i].second, {1 + i, 0});
    world.span(run, 10, eaten);
  }
  world.sign();
  AccountRequest request;
  request.licensor = "example-stock";
  request.from = request.to = date_of(now_us());
  const Account a = make_account(Store(world.ledger, Access::read), request);
  ASSERT_EQ(a.part_size(), 70);
  for (const auto& part : a.part()) {
    const size_t i = std::stoull(part.licence().substr(4));
    EXPECT_EQ(part.passes(), 2 * (1 + i) * licences[i].second) << part.licence();
    EXPECT_EQ(part.clip_size(), static_cast<int>(licences[i].second)) << part.licence();
  }
  expect_the_query_to_give(world, a);
}

TEST(Account, CountsWhatIsToldSampleBySampleToo) {
  const FullWorld world;
  AccountRequest request;
  request.licensor = "example-stock";
  request.from = request.to = date_of(now_us());
  request.revenue["USD"] = 1'000'000'000;
  const Account a = make_account(Store(world.ledger, Access::read), request);
  ASSERT_EQ(a.part_size(), 1);
  EXPECT_EQ(a.part(0).passes(), 3U);
  EXPECT_EQ(a.part(0).sample_us(), 6'000'000U);
  EXPECT_EQ(a.part(0).fee(0).amount_micros(), 50'000'000U);
  EXPECT_EQ(a.part(0).fee(0).share(1).amount_micros(), 5'000'000U);
}

// What was consumed under one version stays at its rate when a new one is agreed.
TEST(Account, AnAmendmentChangesNoRateOfBefore) {
  Paid world;
  const auto version_2 = [](const std::string& ref) {
    return replaced(replaced(full_licence_text(), "id: \"LIC-1\"\n  version: 1",
                             "id: \"LIC-1\"\n  version: 2\n  supersedes: \"" + ref + "\""),
                    "2026-01/**", "footage-0/**");
  };
  std::string text = version_2("LIC-1@1");
  text = replaced(text, "basis: REVENUE_SHARE", "basis: PER_SAMPLE_SECOND");
  world.add_licence(replaced(text, "  pool_bps: 500\n", ""));
  const uint64_t before = world.account().part(0).fee(0).amount_micros();
  EXPECT_EQ(before, 24'691'377U);
  RunOf run = world.begin_run("run-1-cccccccc00000000");
  world.span(run, 5, {{0, {{1, 0}}}});
  world.sign();
  const Account a = world.account();
  ASSERT_EQ(a.part_size(), 4);
  EXPECT_EQ(a.part(0).fee(0).amount_micros(), before);
  EXPECT_EQ(a.part(1).licence(), "LIC-1@2");
  EXPECT_EQ(a.part(1).fee(0).amount_micros(), 4'000'006U);
}

// Two versions of one licence, a run under each, and what the day's statement pays.
struct Amended : RunWorld {
  explicit Amended(std::vector<Pay> first, std::vector<Pay> second, std::string from = {})
      : RunWorld({{"LIC-1", 2}, {"LIC-2", 2}}, [&](size_t i, LicenceText& terms) {
          terms.clear_pay();
          if (i == 0) terms.mutable_pay()->Assign(first.begin(), first.end());
          if (i == 1) *terms.add_pay() = pay(Pay::REVENUE_SHARE, 0, 600);
        }) {
    RunOf a = begin_run("run-1-aaaaaaaa00000000");
    span(a, 10, {{0, {{1, 3}}}, {1, {{1, 3}}}});
    LicenceText next = parse_licence(full_licence_text(), "test");
    next.mutable_licence()->set_version(2);
    next.mutable_licence()->set_supersedes("LIC-1@1");
    if (!from.empty()) next.mutable_licence()->set_valid_from(from);
    next.mutable_covers()->set_delivery(0, "footage-0/**");
    next.mutable_pay()->Assign(second.begin(), second.end());
    add_licence(format_textproto(next));
    span(a, 20, {{0, {{2, 13}}}});
    sign();
  }
  Account account(const std::string& from, const std::string& to) const {
    AccountRequest out;
    out.licensor = "example-stock";
    out.from = from;
    out.to = to;
    out.revenue["USD"] = 1'000'000'000;
    return make_account(Store(ledger, Access::read), out);
  }
};
std::vector<uint64_t> amounts(const Account& account) {
  std::vector<uint64_t> out;
  for (const auto& part : account.part()) {
    for (const auto& fee : part.fee()) out.push_back(fee.amount_micros());
  }
  return out;
}

// The revenue of a time is shared once, whatever was amended in it.
TEST(Account, AnAmendedPoolIsPaidOnce) {
  const Amended world({pay(Pay::REVENUE_SHARE, 0, 500)}, {pay(Pay::REVENUE_SHARE, 0, 600)});
  const std::string today = date_of(now_us());
  EXPECT_THAT(error_of([&] { world.account("2024-01-01", "2099-12-31"); }),
              AllOf(StartsWith("usage: "), HasSubstr("LIC-1@2 shares another part"),
                    HasSubstr("and one from " + today)));
  // The whole day is under the new one: of LIC-1 three samples are consumed, of LIC-2 one.
  EXPECT_EQ(amounts(world.account(today, today)),
            (std::vector<uint64_t>{0, 45'000'000, 15'000'000}));
  EXPECT_TRUE(amounts(world.account("2024-01-01", "2024-12-31")).empty());
  const Amended same({pay(Pay::REVENUE_SHARE, 0, 600)}, {pay(Pay::REVENUE_SHARE, 0, 600)});
  EXPECT_EQ(amounts(same.account("2024-01-01", "2099-12-31")),
            (std::vector<uint64_t>{15'000'000, 30'000'000, 15'000'000}));
}

TEST(Account, AFixedFeeIsDueOnce) {
  const Amended world({pay(Pay::FIXED, 5)}, {pay(Pay::FIXED, 7)}, "2025-06-01");
  EXPECT_EQ(amounts(world.account("2024-01-01", "2024-12-31")), (std::vector<uint64_t>{5}));
  EXPECT_TRUE(amounts(world.account("2025-01-01", "2025-12-31")).empty());
  const Amended added({}, {pay(Pay::FIXED, 7)}, "2025-06-01");
  EXPECT_EQ(amounts(added.account("2025-01-01", "2025-12-31")), (std::vector<uint64_t>{7}));
}

// Sums that wrap around would be small ones.
TEST(Account, NoAmountIsBeyondAllMoney) {
  const std::vector<Pay> ten(10, pay(Pay::FIXED, 1'000'000'000'000'000'000));
  const Amended world(ten, {pay(Pay::FIXED, 1)}, "2025-06-01");
  EXPECT_THAT(error_of([&] { world.account("2024-01-01", "2024-12-31"); }),
              HasSubstr("beyond all money"));
}

TEST(Account, SaysWhatItCannotState) {
  Paid world;
  const auto said = [&](const std::function<void(AccountRequest&)>& change) {
    AccountRequest request = world.request();
    change(request);
    return error_of([&] { make_account(Store(world.ledger, Access::read), request); });
  };
  EXPECT_THAT(said([](AccountRequest& r) { r.licensor = "nobody"; }), StartsWith("not_found"));
  EXPECT_THAT(said([](AccountRequest& r) { r.from = "2026-02-30"; }), StartsWith("usage"));
  EXPECT_THAT(said([](AccountRequest& r) { r.to = "2025-01-01"; }), HasSubstr("before"));
  EXPECT_THAT(said([](AccountRequest& r) { r.revenue.clear(); }), HasSubstr("--revenue USD="));
  EXPECT_EQ(said([](AccountRequest& r) { r.from = r.to = "2025-01-01"; }), "");
  Store(world.ledger, Access::append).erase_document("LIC-3@1", "asked for");
  EXPECT_THAT(said([](AccountRequest&) {}), HasSubstr("was erased"));
  Database::open(world.ledger, Access::append)
      .exec("UPDATE document SET note = replace(note, '1234567', '1')");
  EXPECT_THAT(said([](AccountRequest&) {}), StartsWith("corrupt"));
}

}  // namespace
}  // namespace cleared::ledger
