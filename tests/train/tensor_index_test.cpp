#include "train/tensor_index.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/digest.h"

namespace cleared::train {
namespace {

const std::string kHex(64, 'a');

// An index of two files, or with `from` replaced by `to`.
std::string index_with(const std::string& from = "", const std::string& to = "") {
  std::string text = R"({"metadata": {"total_size": 12, "sha256": {)"
                     R"("w-00001-of-00002.safetensors": ")" +
                     kHex + R"(", "w-00002-of-00002.safetensors": ")" + kHex +
                     R"("}}, "weight_map": {"a": "w-00001-of-00002.safetensors", )"
                     R"("b": "w-00002-of-00002.safetensors"}})";
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string error_of(const std::string& text) {
  try {
    parse_index(text, "w", "w.index");
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), Errc::corrupt);
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
}

TEST(TensorIndex, ReadsWhatItWrites) {
  TensorIndex index{.total_size = 12, .digests = {}, .file_of = {}};
  for (size_t i : {1, 2}) {
    const std::string name = part_name("w", i, 2);
    index.digests.emplace(name, ledger::sha256(name));
    index.file_of.emplace(i == 1 ? "b/\"quoted\"" : "a", name);
  }
  const std::string text = format_index(index);
  const TensorIndex back = parse_index(text, "w", "w.index");
  EXPECT_EQ(back.total_size, index.total_size);
  EXPECT_EQ(back.digests, index.digests);
  EXPECT_EQ(back.file_of, index.file_of);
  EXPECT_EQ(format_index(back), text);
}

TEST(TensorIndex, NamesFilesAsOthersDo) {
  EXPECT_EQ(whole_name("weights"), "weights.safetensors");
  EXPECT_EQ(index_name("weights"), "weights.safetensors.index.json");
  EXPECT_EQ(part_name("weights", 1, 3), "weights-00001-of-00003.safetensors");
  EXPECT_TRUE(is_part_name("w-00001-of-00003.safetensors", "w"));
  for (const char* name : {"w-0001-of-00003.safetensors", "w-00001-of-0000x.safetensors",
                           "v-00001-of-00003.safetensors", "w-00001-of-00003.safetensors2",
                           "w-00001-of-000030safetensors", "w.safetensors", ""}) {
    EXPECT_FALSE(is_part_name(name, "w")) << name;
  }
}

TEST(TensorIndex, TakesOnlyWhatIsWhole) {
  EXPECT_EQ(error_of(index_with()), "");
  EXPECT_EQ(error_of(index_with("12", "0")), "");
  struct Case {
    std::string from, to, says;
  };
  const Case cases[] = {
      {"}}, ", "}, ", "is not JSON"},
      {R"({"metadata")", R"([{"metadata")", "is not JSON"},
      {R"("weight_map")", R"("metadata")", "two entries \"metadata\""},
      {R"("total_size": 12)", R"("total_size": 12, "total_size": 12)", "two entries"},
      {R"("a": )", R"("b": )", "two entries \"b\""},
      {"w-00002", "w-00001", "two entries"},
      {R"("weight_map")", R"("weights")", "nothing else"},
      {R"("metadata": {)", R"("more": 1, "metadata": {)", "nothing else"},
      {R"("total_size")", R"("total")", "nothing else"},
      {R"("total_size")", R"("more": "text", "total_size")", "nothing else"},
      {"12", "-12", "not a number of bytes"},
      {"12", "1.5", "not a number of bytes"},
      {"12", "\"12\"", "not a number of bytes"},
      {"12", "18446744073709551616", "not a number of bytes"},
      {kHex, std::string(63, 'a'), "w-00001-of-00002.safetensors is not a SHA-256"},
      {kHex, std::string(64, 'A'), "is not a SHA-256"},
      {"\"" + kHex + "\"", "7", "is not a SHA-256"},
      // Other files than w-00001-of-00002 and w-00002-of-00002.
      {R"("w-00002-of-00002.safetensors": ")", R"("w-00003-of-00002.safetensors": ")",
       "w-00002-of-00002.safetensors is not one"},
      {R"("sha256": {)", R"("sha256": {"w-00003-of-00003.safetensors": "x", )", "sha256 has 3"},
      {R"("w-00002-of-00002.safetensors": ")", R"("../w-00002-of-00002.safetensors": ")",
       "is not one"},
      {R"("a": "w)", R"("a": "../w)", "\"../w-00001-of-00002.safetensors\", of which"},
      {R"("a": "w)", R"("a": "/w)", "of which sha256 has no digest"},
      {R"("a": "w)", R"("a": "sub/w)", "of which sha256 has no digest"},
      {R"("a": "w-00001-of-00002.safetensors")", R"("a": ["w-00001-of-00002.safetensors"])",
       "of which sha256 has no digest"},
      {R"("a": "w-00001)", R"("a": "w-00002)", "no tensor is in w-00001-of-00002.safetensors"},
      {R"("a")", "\"\\u0001\\n\"", ""},  // any name, as of any tensor
      {R"("a")", "\"\xFF\"", "is not JSON"},
      {R"("a": ")", R"("a": {"b": {"c": {"d": 1}}}, "x": ")", "nests too deeply"},
  };
  for (const Case& c : cases) {
    const std::string error = error_of(index_with(c.from, c.to));
    EXPECT_THAT(error, testing::HasSubstr(c.says)) << c.from << " -> " << c.to;
    EXPECT_EQ(error.empty(), c.says.empty()) << c.from << " -> " << c.to;
  }
  for (const char* text : {"", "null", "[]", "{}", R"({"metadata": 1, "weight_map": 1})",
                           R"({"metadata": {"total_size": 0, "sha256": {}}, "weight_map": {}})",
                           R"({"metadata": {"total_size": 0, "sha256": []}, "weight_map": {}})"}) {
    EXPECT_NE(error_of(text), "") << text;
  }
  EXPECT_NE(error_of(std::string(100'000, '[')), "");
}

}  // namespace
}  // namespace cleared::train
