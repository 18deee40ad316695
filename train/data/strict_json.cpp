#include "train/data/strict_json.h"

#include <set>
#include <vector>

#include <nlohmann/json.hpp>

#include "ledger/base/error.h"

namespace cleared::train {

using Json = nlohmann::json;

Json parse_strict_json(std::string_view text, const std::string& where) {
  constexpr int kMaxDepth = 4;
  std::vector<std::set<std::string>> open_objects;
  const auto watch = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMaxDepth) throw Error(Errc::corrupt, where, ": nests too deeply");
    if (event == Json::parse_event_t::object_start) open_objects.emplace_back();
    if (event == Json::parse_event_t::object_end) open_objects.pop_back();
    if (event == Json::parse_event_t::key &&
        !open_objects.back().insert(value.get<std::string>()).second) {
      throw Error(Errc::corrupt, where, ": has two entries ", value.dump());
    }
    return true;
  };
  try {
    Json json = Json::parse(text.begin(), text.end(), watch);
    if (!json.is_object()) throw Error(Errc::corrupt, where, ": is not an object");
    return json;
  } catch (const Json::exception&) {
    throw Error(Errc::corrupt, where, ": is not JSON");
  }
}

}  // namespace cleared::train
