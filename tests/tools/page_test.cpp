#include "tools/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cleared::tools {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string page_of(size_t rows, uint64_t more) {
  ledger::Table table;
  table.columns = {"n"};
  table.numeric = {true};
  for (size_t i = 1; i <= rows; ++i) table.rows.push_back({std::to_string(i)});
  Page page("t");
  page.table(table, "ask for <all>", more);
  return std::move(page).finish();
}

TEST(Page, ATableThatIsTooLongSaysHowManyRowsAreLeftOut) {
  EXPECT_THAT(page_of(kPageRows, 0), HasSubstr(">" + std::to_string(kPageRows) + "<"));
  EXPECT_THAT(page_of(kPageRows, 0), Not(HasSubstr("more;")));
  EXPECT_THAT(page_of(kPageRows + 1, 0), Not(HasSubstr(">" + std::to_string(kPageRows + 1) + "<")));
  EXPECT_THAT(page_of(kPageRows + 1, 0), HasSubstr("<p>and 1 more; ask for &lt;all&gt;.</p>"));
  EXPECT_THAT(page_of(kPageRows + 1, 9), HasSubstr("and 10 more;"));
  EXPECT_THAT(page_of(0, 3), HasSubstr("and 3 more;"));
}

}  // namespace
}  // namespace cleared::tools
