// JSON from elsewhere, as headers and indexes of tensors are written. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

namespace cleared::train {

// An object without duplicate keys that nests no deeper than those do, else Error{corrupt}, which
// begins with `where`.
nlohmann::json parse_strict_json(std::string_view text, const std::string& where);

}  // namespace cleared::train
