// Text in an HTML page. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace cleared {

// With & < > " ' as entities: safe between tags and in a quoted attribute. Bytes are not looked at
// otherwise.
std::string escape_html(std::string_view text);

// The text of which escape_html() made this; other entities stay as they are.
std::string unescape_html(std::string_view html);

}  // namespace cleared
