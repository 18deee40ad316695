#include "ledger/textproto.h"

#include <memory>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

#include "ledger/base/check.h"
#include "ledger/base/utf8.h"

namespace cleared::ledger {
namespace {

// Keeps the first problem, counted from 1 as editors do. A missing required field has no place.
class FirstProblem : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstProblem(std::string_view where) : where_(where) {}
  void AddError(int line, google::protobuf::io::ColumnNumber column,
                const std::string& message) override {
    if (!text_.empty()) return;
    std::ostringstream out;
    out << where_ << ':';
    if (line >= 0) out << line + 1 << ':' << column + 1 << ':';
    out << ' ' << message;
    text_ = std::move(out).str();
  }
  void AddWarning(int line, google::protobuf::io::ColumnNumber column,
                  const std::string& message) override {
    AddError(line, column, message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string_view where_;
  std::string text_;
};

// Walks the tokens of a text that parses, beside the fields that they are values of.
class PlainValues {
  using Tokenizer = google::protobuf::io::Tokenizer;
  using Descriptor = google::protobuf::Descriptor;
  using FieldDescriptor = google::protobuf::FieldDescriptor;

 public:
  PlainValues(std::string_view text, std::string_view where)
      : where_(where),
        problem_(where),
        in_(text.data(), static_cast<int>(text.size())),
        tokens_(&in_, &problem_) {
    tokens_.set_allow_f_after_float(true);  // as the parser sets it
    tokens_.set_comment_style(Tokenizer::SH_COMMENT_STYLE);
    tokens_.set_require_space_after_number(false);
    tokens_.set_allow_multiline_strings(true);
    tokens_.Next();
  }

  void check(const Descriptor& type, std::string_view end = "") {
    while (tokens_.current().text != end) {
      const FieldDescriptor* field = type.FindFieldByName(take());
      if (field == nullptr) fail("does not parse");
      took(":");
      if (took("[")) {
        while (!took("]")) {
          check_value(*field);
          took(",");
        }
      } else {
        check_value(*field);
      }
      if (!took(";")) took(",");
    }
    tokens_.Next();
  }

 private:
  std::string take() {
    if (tokens_.current().type == Tokenizer::TYPE_END) fail("does not parse");
    std::string text = tokens_.current().text;
    tokens_.Next();
    return text;
  }
  bool took(std::string_view symbol) {
    if (tokens_.current().text != symbol) return false;
    tokens_.Next();
    return true;
  }

  void check_value(const FieldDescriptor& field) {
    const auto require = [&](bool ok, const char* what) {
      if (!ok) fail(field.name() + " must be " + what);
    };
    const std::string& text = tokens_.current().text;
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_MESSAGE:
        check(*field.message_type(), take() == "<" ? ">" : "}");
        return;
      case FieldDescriptor::CPPTYPE_ENUM:
        require(tokens_.current().type == Tokenizer::TYPE_IDENTIFIER, "a word, not its number");
        break;
      case FieldDescriptor::CPPTYPE_BOOL:
        require(text == "true" || text == "false", "true or false");
        break;
      case FieldDescriptor::CPPTYPE_STRING:
        require(is_plain_string(text), "written as it reads: no letter by its number");
        break;
      default:
        took("-");
        require(is_plain_number(text), "a number in digits, with no 0 before them");
    }
    take();
    require(field.cpp_type() != FieldDescriptor::CPPTYPE_STRING ||
                tokens_.current().type != Tokenizer::TYPE_STRING,
            "one string, not several");
  }

  static bool is_plain_number(std::string_view text) {
    const bool octal_or_hex = text.size() > 1 && text[0] == '0' && text[1] != '.' && text[1] != 'e';
    return !octal_or_hex && text.find_first_not_of("0123456789.eE+-") == std::string_view::npos;
  }
  // A control character would be printed by its number.
  static bool is_plain_string(std::string_view text) {
    for (size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      if (c < ' ' || c == 0x7f) return false;
      if (c != '\\') continue;
      if (std::string_view("nrt\"'\\").find(text[++i]) == std::string_view::npos) return false;
    }
    return true;
  }

  [[noreturn]] void fail(const std::string& what) {
    throw Error(Errc::corrupt, where_, ":", tokens_.current().line + 1, ":",
                tokens_.current().column + 1, ": ", what);
  }

  std::string_view where_;
  FirstProblem problem_;
  google::protobuf::io::ArrayInputStream in_;
  Tokenizer tokens_;
};

}  // namespace

void require_plain_values(std::string_view text, std::string_view where,
                          const google::protobuf::Message& type) {
  PlainValues(text, where).check(*type.GetDescriptor());
}

void parse_textproto(std::string_view text, std::string_view where, google::protobuf::Message& out,
                     Errc code) {
  if (text.size() > size_t{1} << 30) throw Error(code, where, ": too long");
  FirstProblem problem(where);
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&problem);
  parser.SetRecursionLimit(32);
  google::protobuf::io::ArrayInputStream in(text.data(), static_cast<int>(text.size()));
  if (!parser.Parse(&in, &out) || !problem.text().empty()) {
    throw Error(code,
                problem.text().empty() ? std::string(where) + ": does not parse" : problem.text());
  }
  // As an escape, "\377", it is in a text that is UTF-8.
  if (const std::string bad = bad_text_in(out); !bad.empty()) {
    throw Error(code, where, ": ", bad, " is not UTF-8");
  }
}

std::string bad_text_in(const google::protobuf::Message& message) {
  using Field = google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  std::vector<const Field*> fields;
  reflection.ListFields(message, &fields);
  std::string scratch;
  for (const Field* field : fields) {
    const bool many = field->is_repeated();
    const int count = many ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (field->type() == Field::TYPE_STRING) {
        const std::string& text =
            many ? reflection.GetRepeatedStringReference(message, field, i, &scratch)
                 : reflection.GetStringReference(message, field, &scratch);
        if (!is_utf8(text)) return field->name();
      } else if (field->cpp_type() == Field::CPPTYPE_MESSAGE) {
        const std::string inner =
            bad_text_in(many ? reflection.GetRepeatedMessage(message, field, i)
                             : reflection.GetMessage(message, field));
        if (!inner.empty()) return field->name() + "." + inner;
      }
    }
  }
  return "";
}

std::string place_of(std::string_view text, const google::protobuf::Message& type,
                     std::string_view path) {
  const std::unique_ptr<google::protobuf::Message> parsed(type.New());
  google::protobuf::TextFormat::ParseInfoTree places;
  google::protobuf::TextFormat::Parser parser;
  FirstProblem ignored("");
  parser.RecordErrorsTo(&ignored);
  parser.SetRecursionLimit(32);
  parser.WriteLocationsTo(&places);
  google::protobuf::io::ArrayInputStream in(text.data(), static_cast<int>(text.size()));
  if (!parser.Parse(&in, parsed.get())) return "";
  std::string out;
  const auto* tree = &places;
  for (const auto* message = type.GetDescriptor(); tree != nullptr && message != nullptr;) {
    const size_t dot = path.find('.');
    const auto* field = message->FindFieldByName(std::string(path.substr(0, dot)));
    if (field == nullptr) break;
    const int index = field->is_repeated() ? 0 : -1;
    const auto place = tree->GetLocation(field, index);
    if (place.line < 0) break;
    out = std::to_string(place.line + 1) + ":" + std::to_string(place.column + 1);
    if (dot == std::string_view::npos) break;
    tree = tree->GetTreeForNested(field, index);
    message = field->message_type();
    path.remove_prefix(dot + 1);
  }
  return out;
}

std::string format_textproto(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetUseUtf8StringEscaping(true);
  std::string out;
  CLEARED_CHECK(printer.PrintToString(message, &out));
  return out;
}

}  // namespace cleared::ledger
