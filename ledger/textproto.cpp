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

}  // namespace

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
