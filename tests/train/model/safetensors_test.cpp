// Checked against the PyPI package safetensors, in both directions.
#include "train/model/safetensors.h"

#include <cstring>
#include <fstream>

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "tests/train/model/support.h"

namespace cleared::train {
namespace {

using testing::TemporaryFolder;

TensorMap some_tensors() {
  return {{"b/weight", at::arange(6, at::kFloat).view({2, 3})},
          {"a", at::arange(5, at::kLong)},
          {"empty", at::zeros({0, 4})},
          {"half", at::ones({3}, at::kBFloat16)},
          {"one", at::full({}, 7, at::kDouble)},
          {"turned", at::arange(6, at::kInt).view({2, 3}).t()},
          {"yes", at::ones({3}, at::kBool)}};
}

TEST(Safetensors, WhatIsWrittenIsReadBackAndHasOneDigest) {
  const TemporaryFolder folder;
  const auto path = folder.path() / "x.safetensors";
  const Metadata metadata = {{"step", "3"}, {"quoted", "\"\n\xC3\xA9"}};
  const Digest digest = write_safetensors(path, some_tensors(), metadata);
  const Safetensors back = read_safetensors(path);
  EXPECT_EQ(back.digest, digest);
  EXPECT_EQ(digest, ledger::sha256(read_file(path)));
  EXPECT_EQ(back.metadata, metadata);
  const TensorMap tensors = some_tensors();
  ASSERT_EQ(back.tensors.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_TRUE(at::equal(back.tensors.at(name), tensor)) << name;
    EXPECT_EQ(back.tensors.at(name).scalar_type(), tensor.scalar_type()) << name;
  }
  EXPECT_EQ(write_safetensors(folder.path() / "again", some_tensors(), metadata), digest);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
}

TEST(Safetensors, ThePythonPackageReadsOursAndWeReadItsOwn) {
  if (!testing::python_has("safetensors.numpy")) GTEST_SKIP() << "no PyPI safetensors here";
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "ours", some_tensors(), {{"step", "3"}});
  const auto out = testing::run_python(folder, R"(
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file
with safe_open("ours", "numpy") as f:
    assert f.metadata() == {"step": "3"}, f.metadata()
    assert sorted(f.keys()) == ["a", "b/weight", "empty", "half", "one", "turned", "yes"]
    assert f.get_tensor("b/weight").tolist() == [[0, 1, 2], [3, 4, 5]]
    assert f.get_tensor("turned").tolist() == [[0, 3], [1, 4], [2, 5]]
    assert f.get_tensor("a").tolist() == [0, 1, 2, 3, 4] and f.get_tensor("one") == 7
save_file({"x": np.arange(4, dtype="f8"), "y": np.array([[1, 2]], dtype="u1")}, "theirs", {"by": "python"})
)");
  ASSERT_EQ(out.status, 0) << out.text;
  const Safetensors theirs = read_safetensors(folder.path() / "theirs");
  EXPECT_EQ(theirs.metadata.at("by"), "python");
  EXPECT_TRUE(at::equal(theirs.tensors.at("x"), at::arange(4, at::kDouble)));
  EXPECT_TRUE(at::equal(theirs.tensors.at("y"), at::arange(1, 3, at::kByte).view({1, 2})));
}

TEST(Safetensors, TensorsAreSplitInOrderAndNeverCut) {
  TensorMap tensors;
  for (const auto& [name, size] :
       std::map<std::string, int64_t>{{"a", 3}, {"b", 2}, {"c", 9}, {"d", 0}, {"e", 1}, {"f", 4}}) {
    tensors.emplace(name, at::ones({size}, at::kByte));
  }
  const auto split = [&](uint64_t file_bytes) {
    std::string text;
    for (const TensorMap& file : split_tensors(tensors, file_bytes)) {
      for (const auto& [name, tensor] : file) text += name;
      text += " ";
    }
    return text;
  };
  EXPECT_EQ(split(19), "abcdef ");
  EXPECT_EQ(split(18), "abcde f ");
  EXPECT_EQ(split(5), "ab c def ");
  EXPECT_EQ(split(1), "a b c de f ");
  EXPECT_EQ(split_tensors({}, 1).size(), 1U);
}

std::string file_of(const std::string& header, size_t data_bytes) {
  std::string bytes(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);  // little-endian machines only, as are all we build for
  return bytes + header + std::string(data_bytes, '\1');
}

bool is_accepted(const std::string& bytes) try {
  parse_safetensors(std::make_shared<const std::string>(bytes), "row");
  return true;
} catch (const Error& error) {
  EXPECT_EQ(error.code(), Errc::corrupt);
  EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  return false;
}

TEST(Safetensors, OfOurOwnOnlyWhatWeWrite) {
  const auto is_own = [](const std::string& bytes) {
    EXPECT_TRUE(is_accepted(bytes));
    try {
      parse_own_safetensors(std::make_shared<const std::string>(bytes), "row");
      return true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), Errc::corrupt);
      return false;
    }
  };
  const std::string a = R"("a":{"data_offsets":[0,1],"dtype":"U8","shape":[1]})",
                    b = R"("b":{"data_offsets":[1,2],"dtype":"U8","shape":[1]})";
  const auto padded = [](std::string header) {
    header.resize((header.size() + 7) / 8 * 8, ' ');
    return header;
  };
  EXPECT_TRUE(is_own(file_of(padded("{" + a + "," + b + "}"), 2)));
  EXPECT_TRUE(is_own(format_safetensors({{"a", at::ones({3})}}, {{"k", "v"}})));
  EXPECT_FALSE(is_own(file_of(padded("{" + b + "," + a + "}"), 2)));
  EXPECT_FALSE(is_own(file_of(padded("{" + a + ", " + b + "}"), 2)));
  EXPECT_FALSE(is_own(file_of(padded("{" + a + "," + b + "}") + "        ", 2)));
  EXPECT_FALSE(is_own(file_of("{" + a + "," + b + "}\n", 2)));
}

TEST(Safetensors, TakesOnlyWhatIsWhole) {
  struct Row {
    const char* what;
    std::string header;
    size_t data;
    bool ok;
  };
  const Row rows[] = {
      {"one tensor", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8, true},
      {"padded", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )", 1, true},
      {"nothing", R"({})", 0, true},
      {"metadata", R"({"__metadata__":{"k":"v"}})", 0, true},
      {"empty tensor", R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", 0, true},
      {"two, written in the other order",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       2, true},
      {"not JSON", R"({"a")", 0, false},
      {"not an object", R"([1,2])", 0, false},
      {"space first", R"( {})", 0, false},
      {"text after the object", R"({} x)", 0, false},
      {"invalid UTF-8", "{\"\xFF\":1}", 0, false},
      {"two tensors of one name",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
       1, false},
      {"two dtypes", R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1,
       false},
      {"unknown key", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}})", 1, false},
      {"no shape", R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, false},
      {"tensor is a number", R"({"a":1})", 0, false},
      {"unknown dtype", R"({"a":{"dtype":"F31","shape":[1],"data_offsets":[0,4]}})", 4, false},
      {"dtype is a number", R"({"a":{"dtype":32,"shape":[1],"data_offsets":[0,4]}})", 4, false},
      {"negative side", R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, false},
      {"side is a fraction", R"({"a":{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}})", 1,
       false},
      {"size overflows",
       R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0, false},
      {"size overflows before it is nothing",
       R"({"a":{"dtype":"F64","shape":[4611686018427387904,4,0],"data_offsets":[0,0]}})", 0, false},
      {"range too short", R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", 4, false},
      {"range turned round", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}})", 1, false},
      {"range of three", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}})", 1, false},
      {"past the end", R"({"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}})", 8, false},
      {"bytes left over", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 2, false},
      {"gap at the start", R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", 2, false},
      {"overlap",
       R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
       3, false},
      {"gap between",
       R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
       3, false},
      {"metadata is a number", R"({"__metadata__":{"k":1}})", 0, false},
      {"metadata is a list", R"({"__metadata__":[]})", 0, false},
      {"deep", std::string(100'000, '['), 0, false},
      {"deep objects", R"({"a":{"b":{"c":{"d":{"e":{"f":1}}}}}})", 0, false},
  };
  for (const Row& row : rows)
    EXPECT_EQ(is_accepted(file_of(row.header, row.data)), row.ok) << row.what;
}

TEST(Safetensors, HeaderSizeIsNotTrusted) {
  EXPECT_FALSE(is_accepted(""));
  EXPECT_FALSE(is_accepted("\x02\0\0"));
  EXPECT_FALSE(is_accepted(std::string(8, '\xFF') + "{}"));
  EXPECT_FALSE(is_accepted(std::string("\x03\0\0\0\0\0\0\0{}", 10)));
  EXPECT_TRUE(is_accepted(std::string("\x02\0\0\0\0\0\0\0{}", 10)));
  EXPECT_FALSE(is_accepted(std::string(8, '\0')));
}

TEST(Safetensors, AFileIsWholeOrAbsent) {
  const TemporaryFolder folder;
  EXPECT_THROW(write_safetensors(folder.path() / "no/such/folder", some_tensors(), {}), Error);
  EXPECT_THROW(
      write_safetensors(folder.path() / "x", {{"c", at::ones({1}, at::kComplexFloat)}}, {}), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_THROW(read_safetensors(folder.path() / "x"), Error);
}

}  // namespace
}  // namespace cleared::train
