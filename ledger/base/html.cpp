#include "ledger/base/html.h"

#include <utility>

namespace cleared {
namespace {

constexpr std::pair<std::string_view, char> kEntities[] = {
    {"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&#39;", '\''}};

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    std::string_view as(&c, 1);
    for (const auto& [entity, plain] : kEntities) {
      if (c == plain) as = entity;
    }
    out += as;
  }
  return out;
}

std::string unescape_html(std::string_view html) {
  std::string out;
  while (!html.empty()) {
    size_t length = 1;
    char plain = html[0];
    for (const auto& [entity, c] : kEntities) {
      if (!html.starts_with(entity)) continue;
      length = entity.size();
      plain = c;
    }
    out += plain;
    html.remove_prefix(length);
  }
  return out;
}

}  // namespace cleared
