// Text in an HTML page, and the frame of a page that opens from a mail attachment: no script,
// nothing loaded from elsewhere, dark where the reader's screen is. Any thread.
#pragma once

#include <string>
#include <string_view>

namespace cleared {

// With & < > " ' as entities: safe between tags and in a quoted attribute. Bytes are not looked at
// otherwise.
std::string escape_html(std::string_view text);

// The text of which escape_html() made this; other entities stay as they are.
std::string unescape_html(std::string_view html);

// All up to the first words of the body. `style` adds to what pages share, or changes it.
std::string html_head(std::string_view title, std::string_view style);
constexpr std::string_view kHtmlEnd = "</body></html>\n";

}  // namespace cleared
