#include "tools/statement_command.h"

#include <cstdio>
#include <memory>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "ledger/account.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/key.h"
#include "ledger/note.h"
#include "ledger/textproto.h"
#include "tools/cli.h"
#include "tools/output.h"
#include "tools/page.h"

namespace cleared::tools {
using namespace cleared::ledger;
namespace {

struct StatementOptions {
  std::string ledger, key, out, html;
  std::vector<std::string> revenue;
  AccountRequest request;
  bool json = false, csv = false, no_clips = false;
};

constexpr uint64_t kMicros = 1'000'000;
constexpr size_t kPageNoteBytes = 1 << 20;
constexpr const char* kAll = "ledger statement --csv prints them all";

// "USD=1000.25": at most six places after the point.
std::pair<std::string, uint64_t> parse_revenue(const std::string& text) {
  const size_t equals = text.find('=');
  const std::string amount = equals == std::string::npos ? "" : text.substr(equals + 1);
  const size_t point = amount.find('.');
  const std::string whole = amount.substr(0, point);
  std::string part = point == std::string::npos ? "" : amount.substr(point + 1);
  const auto digits = [](const std::string& s) {
    return s.find_first_not_of("0123456789") == std::string::npos;
  };
  const std::string currency = text.substr(0, equals);
  const bool capitals =
      currency.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
  if (equals != 3 || !capitals || whole.empty() || whole.size() > 12 || part.size() > 6 ||
      !digits(whole) || !digits(part) || (point != std::string::npos && part.empty())) {
    throw Error(Errc::usage, "statement: --revenue \"", text, "\" is not like USD=1000000.00");
  }
  part.resize(6, '0');
  return {currency, std::stoull(whole) * kMicros + std::stoull(part)};
}

std::string money(uint64_t micros) {
  char out[40];
  std::snprintf(out, sizeof out, "%llu.%06llu", static_cast<unsigned long long>(micros / kMicros),
                static_cast<unsigned long long>(micros % kMicros));
  return out;
}

std::string rate_text(const Account::Fee& fee) {
  switch (fee.basis()) {
    case Pay::PER_MINUTE_INGESTED:
      return money(fee.rate_micros()) + " a minute ingested";
    case Pay::PER_SAMPLE_SECOND:
      return money(fee.rate_micros()) + " a sample-second";
    case Pay::REVENUE_SHARE:
      return "of a pool of " + money(fee.pool_micros()) + " shared by " +
             money(fee.pool_sample_us()) + " sample-seconds";
    case Pay::FIXED:
      return "fixed";
    case Pay::NO_FEE:
      return "no fee";
  }
  return "";
}

// All of it in lines of one form: what a spreadsheet or a test adds up again. `emit` gets them one
// by one, since there may be millions of clips.
Table empty_lines() {
  Table out;
  out.columns = {"kind", "licence", "basis", "rate",         "currency",
                 "what", "passes",  "us",    "amount_micros"};
  out.numeric = {false, false, false, false, false, false, true, true, true};
  return out;
}
template <class Emit>
void each_line(const Account& a, const Emit& emit) {
  const auto line = [&](const char* kind, const Account::Part& part, const Account::Fee* fee,
                        const std::string& what, const std::string& passes, uint64_t us,
                        const std::string& amount) {
    emit({kind, part.licence(), fee == nullptr ? "" : Pay::Basis_Name(fee->basis()),
          fee == nullptr ? "" : rate_text(*fee), fee == nullptr ? "" : fee->currency(), what,
          passes, std::to_string(us), amount});
  };
  const auto amount_at = [](const auto& list, int i) {
    return i < list.size() ? std::to_string(list.Get(i)) : std::string();
  };
  for (const auto& part : a.part()) {
    line("exposure", part, nullptr, "", std::to_string(part.passes()), part.sample_us(), "");
    // Exposure is told where no fee is counted by it, too.
    const auto with_fees = [&](const auto& each) {
      if (part.fee().empty()) each(nullptr);
      for (const auto& fee : part.fee()) each(&fee);
    };
    with_fees([&](const Account::Fee* fee) {
      if (fee != nullptr) {
        line("fee", part, fee, "", "", fee->quantity_us(), std::to_string(fee->amount_micros()));
        for (const auto& share : fee->share()) {
          line("share", part, fee, share.party(), "", 0, std::to_string(share.amount_micros()));
        }
      }
      const Account::Fee none;
      const Account::Fee& f = fee == nullptr ? none : *fee;
      for (int i = 0; i < part.run_size(); ++i) {
        line("run", part, fee, part.run(i).run(), std::to_string(part.run(i).passes()),
             part.run(i).sample_us(), amount_at(f.run_micros(), i));
      }
      for (int i = 0; i < part.clip_size(); ++i) {
        line("clip", part, fee, part.clip(i).clip(), std::to_string(part.clip(i).passes()),
             part.clip(i).sample_us(), amount_at(f.clip_micros(), i));
      }
      for (int i = 0; i < part.source_size(); ++i) {
        line("source", part, fee, part.source(i).path(), "", part.source(i).duration_us(),
             amount_at(f.source_micros(), i));
      }
    });
  }
  for (const auto& total : a.total()) {
    emit({total.party().empty() ? "total" : "total_of_party", "", "", "", total.currency(),
          total.party(), "", "", std::to_string(total.amount_micros())});
  }
}

Table totals_of(const Account& a) {
  Table out;
  out.columns = {"party", "currency", "amount"};
  out.numeric = {false, false, true};
  for (const auto& t : a.total()) {
    out.rows.push_back(
        {t.party().empty() ? "all parties" : t.party(), t.currency(), money(t.amount_micros())});
  }
  return out;
}

Table fees_of(const Account& a) {
  Table out;
  out.columns = {"licence", "sample_s",   "passes", "basis",
                 "rate",    "quantity_s", "amount", "currency"};
  out.numeric = {false, true, true, false, false, true, true, false};
  for (const auto& part : a.part()) {
    const auto row = [&](const std::string& basis, const std::string& rate, uint64_t us,
                         const std::string& amount, const std::string& currency) {
      out.rows.push_back({part.licence(), money(part.sample_us()), std::to_string(part.passes()),
                          basis, rate, money(us), amount, currency});
    };
    if (part.fee().empty()) row("none", "no fee agreed", part.sample_us(), "0.000000", "");
    for (const auto& fee : part.fee()) {
      row(Pay::Basis_Name(fee.basis()), rate_text(fee), fee.quantity_us(),
          money(fee.amount_micros()), fee.currency());
    }
  }
  return out;
}

// Runs, clips or sources of each part with what each fee gives them: `most` rows, and how many more
// there are.
struct Listed {
  Table table;
  uint64_t more = 0;
};
template <class List, class Of, class Name>
Listed by(const Account& a, const char* title, size_t most, const List& list, const Of& micros,
          const Name& name) {
  Listed out;
  out.table.columns = {"licence", title, "seconds", "rate", "amount", "currency"};
  out.table.numeric = {false, false, true, false, true, false};
  for (const auto& part : a.part()) {
    std::vector<const Account::Fee*> fees;  // that count by it
    for (const auto& fee : part.fee()) {
      if (!micros(fee).empty()) fees.push_back(&fee);
    }
    if (fees.empty()) fees.push_back(nullptr);
    for (int i = 0; i < list(part).size(); ++i) {
      if (out.table.rows.size() + fees.size() > most) {
        out.more += fees.size();
        continue;
      }
      const auto [what, us] = name(list(part).Get(i));
      for (const Account::Fee* fee : fees) {
        out.table.rows.push_back({part.licence(), what, money(us),
                                  fee == nullptr ? "no fee by it" : rate_text(*fee),
                                  fee == nullptr ? "" : money(micros(*fee).Get(i)),
                                  fee == nullptr ? "" : fee->currency()});
      }
    }
  }
  return out;
}
Listed runs_of(const Account& a, size_t most) {
  return by(
      a, "run", most, [](const auto& p) -> const auto& { return p.run(); },
      [](const auto& f) -> const auto& { return f.run_micros(); },
      [](const auto& r) { return std::pair(r.run(), r.sample_us()); });
}
Listed clips_of(const Account& a, size_t most) {
  return by(
      a, "clip", most, [](const auto& p) -> const auto& { return p.clip(); },
      [](const auto& f) -> const auto& { return f.clip_micros(); },
      [](const auto& c) { return std::pair(c.clip(), c.sample_us()); });
}
Listed sources_of(const Account& a, size_t most) {
  return by(
      a, "source", most, [](const auto& p) -> const auto& { return p.source(); },
      [](const auto& f) -> const auto& { return f.source_micros(); },
      [](const auto& s) { return std::pair(s.path(), s.duration_us()); });
}

std::string title_of(const Account& a) {
  return "Statement for " + a.licensor() + ", " + a.from() + " to " + a.to();
}
std::string basis_of(const Account& a) {
  return "From the ledger " + a.origin() + " at tree head " + std::to_string(a.tree_size()) + " " +
         a.tree_root() +
         ". Days are UTC and both ends count. It states exposure, what runs consumed, "
         "and never influence.";
}

std::string to_page(const Account& a, const std::string& note) {
  Page page(title_of(a));
  page.sentence(basis_of(a));
  page.heading("Due");
  page.table(totals_of(a), kAll);
  page.heading("By licence and rate");
  page.table(fees_of(a), kAll);
  const auto list = [&](const char* heading, const Listed& listed) {
    page.heading(heading);
    page.table(listed.table, kAll, listed.more);
  };
  list("By run", runs_of(a, kPageRows));
  list("By clip", clips_of(a, kPageRows));
  list("Ingested", sources_of(a, kPageRows));
  page.heading("How it is counted");
  page.sentence(a.rounding());
  page.sentence(
      "This query, on the ledger with sqlite3 or `ledger query --sql`, gives passes and "
      "sample_us of every run and clip again:");
  page.block("query", a.query());
  if (!note.empty()) {
    page.heading("Signed");
    if (note.size() <= kPageNoteBytes) {
      page.block("statement", note);
    } else {
      page.sentence("What was signed has " + std::to_string(note.size()) +
                    " bytes, too many for this page; it is the file that --out wrote.");
    }
  }
  return std::move(page).finish();
}

// Line by line, as in CSV.
void print_account(const Account& a) {
  const Json head = {
      {"licensor", a.licensor()}, {"from", a.from()},           {"to", a.to()},
      {"origin", a.origin()},     {"tree_size", a.tree_size()}, {"tree_root", a.tree_root()},
      {"rounding", a.rounding()}, {"query", a.query()}};
  const std::string text = head.dump(2, ' ', true, Json::error_handler_t::replace);
  std::printf("%s,\n  \"lines\": [\n", text.substr(0, text.rfind('\n')).c_str());
  Table line = empty_lines();
  bool first = true;
  each_line(a, [&](std::vector<std::string> row) {
    line.rows = {std::move(row)};
    std::fputs(first ? "    " : "    ,", stdout);
    print_json_line(to_json(line)[0]);
    first = false;
  });
  std::printf("  ]\n}\n");
}

void print_text(const Account& a) {
  std::printf("%s\n%s\n", printable(title_of(a)).c_str(), printable(basis_of(a)).c_str());
  print_table(fees_of(a));
  const Table runs = runs_of(a, SIZE_MAX).table;
  if (!runs.rows.empty()) print_table(runs);
  std::printf("due\n");
  print_table(totals_of(a));
  std::printf("%s\nquery: %s\n", a.rounding().c_str(), printable(a.query()).c_str());
}

int statement(StatementOptions o) {
  for (const std::string& text : o.revenue) {
    if (o.request.revenue.insert(parse_revenue(text)).second) continue;
    throw Error(Errc::usage, "statement: --revenue ", text.substr(0, 3),
                " is given twice; give what licences share in as one amount");
  }
  const bool told = o.csv || o.json || !o.html.empty() || !o.out.empty();  // the table has no clips
  o.request.clips = told && !o.no_clips;
  if (o.key.empty() != o.out.empty()) {
    throw Error(Errc::usage, "statement: --key signs what --out writes; give both or neither");
  }
  const Store store(o.ledger, Access::read);
  const Account account = make_account(store, o.request);
  std::string note;
  if (!o.key.empty()) {
    AccountText text;
    *text.mutable_account() = account;
    Note unsigned_note{format_textproto(text), {}};
    add_signature(unsigned_note, read_signer_key(o.key));
    note = format_note(unsigned_note);
    write_file(o.out, note);
  }
  if (!o.html.empty()) write_file(o.html, to_page(account, note));
  if (o.json) {
    print_account(account);
  } else if (o.csv) {
    print_csv_line(empty_lines().columns);
    each_line(account, [](const std::vector<std::string>& row) { print_csv_line(row); });
  } else {
    print_text(account);
    if (!o.out.empty()) std::printf("%s: signed\n", o.out.c_str());
    if (!o.html.empty()) std::printf("%s: the page\n", o.html.c_str());
  }
  return exit_ok;
}

}  // namespace

void add_statement_command(CLI::App& app, std::function<int()>& run) {
  const auto o = std::make_shared<StatementOptions>();
  CLI::App* command = app.add_subcommand(
      "statement", "what a licensor is due for a time: exposure, rates, fees and splits, exact");
  command->callback([o, &run] { run = [o] { return statement(*o); }; });
  command->add_option("LEDGER", o->ledger, "the ledger file")->required();
  command->add_option("--licensor", o->request.licensor, "name of the licensor")->required();
  command->add_option("--from", o->request.from, "first day, 2026-01-01, UTC")->required();
  command->add_option("--to", o->request.to, "last day, which counts")->required();
  command->add_option("--revenue", o->revenue,
                      "USD=1000000.00: what licences with a share of revenue share in");
  command->add_flag("--no-clips", o->no_clips, "runs and rates alone, not clip by clip");
  command->add_option("--key", o->key, "private key to sign the statement with");
  command->add_option("--out", o->out, "where the signed statement goes");
  command->add_option("--html", o->html, "write one page");
  command->add_flag("--csv", o->csv, "print CSV, all lines");
  command->add_flag("--json", o->json, "print JSON, all lines");
  command->footer(
      "Examples:\n  ledger statement film.db --licensor example-stock --from 2026-01-01 --to "
      "2026-03-31\n  ledger statement film.db --licensor example-stock --from 2026-01-01 --to "
      "2026-03-31 \\\n    --revenue USD=250000.00 --key studio.key --out q1.statement --html "
      "q1.html\n" +
      command->get_footer());
}

}  // namespace cleared::tools
