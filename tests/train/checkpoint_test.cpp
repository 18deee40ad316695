#include "train/checkpoint.h"

#include <algorithm>
#include <fstream>
#include <functional>

#include <ATen/Functions.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/digest.h"
#include "ledger/key.h"
#include "tests/train/model/support.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

namespace fs = std::filesystem;

// Bytes that this process has read so far, from the page cache or not.
uint64_t bytes_read() {
  std::ifstream in("/proc/self/io");
  std::string word;
  uint64_t number = 0;
  in >> word >> number;
  return number;
}

const Digest kSample = ledger::sha256("sample");

State some_state() {
  const std::string digest = ledger::digest_name(kSample);
  State state;
  state.set_run("tiny");
  state.set_step(1);
  state.set_permit(digest);
  state.set_config(digest);
  state.set_code_version("1");
  state.set_seed(7);
  state.set_ranks(1);
  state.set_threads(1);
  state.set_machine("abacus");
  state.set_origin("test.example/ledger");
  state.set_tree_size(9);
  state.set_tree_root(digest);
  state.set_order_first_step(0);
  state.set_samples_root(digest);
  state.set_first_loss(1);
  state.set_smooth_loss(1);
  return state;
}

Span some_span() {
  Span span(0, std::make_shared<const Places>(Places{{kSample, {kSample, 0, 1'000'000}}}));
  span.codec({});
  span.step({.step = 0, .loss = 1, .gradient_norm = 1, .applied = true, .samples = {kSample}});
  return span;
}

// Writes RUN/step-000001, under a config with these `checkpoints`.
fs::path write_some(const fs::path& run, const CheckpointTensors& tensors,
                    const std::string& checkpoints, const ledger::SignerKey& key,
                    State state = some_state()) {
  std::string config = read_file("../configs/nano.textproto");
  const size_t at = config.find("checkpoints {");
  config.replace(at, config.find('}', at) + 1 - at, "checkpoints { " + checkpoints + " }");
  return write_checkpoint(run, state, tensors, {config, {}}, some_span(), key);
}

// Weights of a hundred gigabytes take minutes to hash.
TEST(Checkpoint, IsReadAndHashedOnceToGoOnFrom) {
  const ledger::SignerKey key = ledger::new_signer_key("trainer");
  CheckpointTensors tensors;
  tensors.model.emplace("w", at::linspace(-1, 1, 1 << 20));
  tensors.ema.emplace("w", at::linspace(-1, 1, 1 << 20));
  tensors.optimiser.emplace("m.w", at::linspace(0, 1, 1 << 20));
  for (const char* checkpoints : {"every: 1 keep: 0", "every: 1 keep: 0 file_bytes: 1"}) {
    const testing::TemporaryFolder run;
    const fs::path folder = write_some(run.path(), tensors, checkpoints, key);

    const uint64_t before = bytes_read();
    if (before == 0) GTEST_SKIP() << "the kernel does not count what is read";
    EXPECT_EQ(find_checkpoint(run.path(), {}), 1U);
    const Checkpoint back = read_checkpoint(folder, {{"trainer", key.verifier}});
    const uint64_t once = bytes_read() - before, all = (uint64_t{1} << 20) * 4 * 3;
    EXPECT_GE(once, all);
    EXPECT_LT(once, all + all / 10);
    EXPECT_TRUE(at::equal(back.tensors.model.at("w"), tensors.model.at("w")));
    EXPECT_EQ(back.weights_metadata, weights_metadata(some_state(), some_span()));

    // Without its totals it would have consumed nothing.
    std::string sums = read_file(folder / "SHA256SUMS");
    const size_t line = sums.find("  totals.txt") - 64;
    write_file(folder / "SHA256SUMS", sums.erase(line, sums.find('\n', line) + 1 - line));
    fs::remove(folder / "totals.txt");
    EXPECT_THROW(read_checkpoint(folder, {}), Error);
  }
}

CheckpointTensors some_tensors_of_a_model() {
  CheckpointTensors tensors;
  for (const char* name : {"a", "b", "c"}) {
    tensors.model.emplace(name, at::arange(0, 100, at::kFloat));
    tensors.ema.emplace(name, at::arange(1, 101, at::kFloat));
    tensors.optimiser.emplace(std::string("m.") + name, at::arange(2, 102, at::kFloat));
  }
  tensors.optimiser.emplace("steps", at::ones({}, at::kLong));
  return tensors;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Checkpoint, TensorsOfMoreThanAFileMayHoldAreInSeveral) {
  const ledger::SignerKey key = ledger::new_signer_key("trainer");
  const CheckpointTensors tensors = some_tensors_of_a_model();
  const auto write = [&](const testing::TemporaryFolder& run, const std::string& file_bytes) {
    return write_some(run.path(), tensors, "every: 1 keep: 0" + file_bytes, key);
  };
  // 2,400 bytes of weights and 1,208 of moments: in one file as without a limit, to the byte.
  const testing::TemporaryFolder one, exact;
  const fs::path whole = write(one, ""), fits = write(exact, " file_bytes: 2400");
  for (const char* name : {"weights.safetensors", "optimizer.safetensors"}) {
    EXPECT_EQ(read_file(whole / name), read_file(fits / name)) << name;
  }
  EXPECT_EQ(names_in(whole), names_in(fits));

  const testing::TemporaryFolder some;
  const fs::path folder = write(some, " file_bytes: 2399");
  EXPECT_TRUE(fs::exists(folder / "optimizer.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "weights.safetensors"));
  verify_checkpoint(folder);
  const Checkpoint back = read_checkpoint(folder, {{"trainer", key.verifier}});
  EXPECT_EQ(tensors_manifest(back.tensors), tensors_manifest(tensors));
  EXPECT_EQ(back.weights_metadata, weights_metadata(some_state(), some_span()));
  // What stands for the weights is the first file listed, the index, and it for all others.
  EXPECT_EQ(
      back.state.weights(),
      ledger::digest_name(ledger::sha256(read_file(folder / "weights.safetensors.index.json"))));
  EXPECT_EQ(read_sums(folder)[0].name, "weights.safetensors.index.json");
  for (const char* name :
       {"weights-00001-of-00002.safetensors", "weights-00002-of-00002.safetensors"}) {
    EXPECT_EQ(read_safetensors(folder / name).metadata, back.weights_metadata);
    EXPECT_LT(fs::file_size(folder / name), 4000U);
  }
  EXPECT_EQ(read_safetensors(folder / "weights.safetensors.index.json").tensors.size(), 6U);
}

// As users load a model: by the index's weight_map, file by file.
TEST(Checkpoint, ThePythonPackageReadsSeveralFilesByTheirIndex) {
  if (!testing::python_has("safetensors.numpy")) GTEST_SKIP() << "no PyPI safetensors here";
  const testing::TemporaryFolder run;
  write_some(run.path(), some_tensors_of_a_model(), "every: 1 keep: 0 file_bytes: 800",
             ledger::new_signer_key("trainer"));
  const auto out = testing::run_python(run, R"(
import hashlib, json, os
from safetensors import safe_open
os.chdir("step-000001")
for stem, names in ("weights", ["ema.a", "ema.b", "ema.c", "model.a", "model.b", "model.c"]), ("optimizer", ["m.a", "m.b", "m.c", "steps"]):
    text = open(stem + ".safetensors.index.json").read()
    index = json.loads(text)
    assert json.dumps(index, indent=2, sort_keys=True) + "\n" == text
    files = sorted(set(index["weight_map"].values()))
    assert files == [f"{stem}-{i + 1:05}-of-{len(files):05}.safetensors" for i in range(len(files))] and len(files) > 1
    tensors = {}
    for file in files:
        assert hashlib.sha256(open(file, "rb").read()).hexdigest() == index["metadata"]["sha256"][file]
        with safe_open(file, "numpy") as part:
            assert part.metadata()["format"] == "pt"
            for name in part.keys():
                assert index["weight_map"][name] == file and name not in tensors
                tensors[name] = part.get_tensor(name)
    assert sorted(tensors) == sorted(index["weight_map"]) == names, sorted(tensors)
    assert sum(t.nbytes for t in tensors.values()) == index["metadata"]["total_size"]
    first = {"m": 2, "e": 1, "s": 1}
    assert all(t.flat[0] == (0 if n.startswith("model") else first[n[0]]) for n, t in tensors.items())
)");
  EXPECT_EQ(out.status, 0) << out.text;
}

// The text of SHA256SUMS for the files that lie there, weights first.
void sum_again(const fs::path& folder) {
  fs::remove(folder / "SHA256SUMS");
  std::string sums;
  for (const std::string& name : names_in(folder)) {
    sums += to_hex(ledger::sha256(read_file(folder / name))) + "  " + name + "\n";
  }
  write_file(folder / "SHA256SUMS", sums);
}

// Whoever makes them has the trainer's key: all is listed as it is.
TEST(Checkpoint, FilesAndIndexMustAgree) {
  const std::string index = "weights.safetensors.index.json",
                    first = "weights-00001-of-00003.safetensors",
                    second = "weights-00002-of-00003.safetensors";
  struct Case {
    const char* what;
    std::function<void(const fs::path&)> harm;
    std::string says;
    bool by_names = true;  // found without a look into the tensors
  };
  const auto edit = [&](const std::string& from, const std::string& to) {
    return [=](const fs::path& f) {
      std::string text = read_file(f / index);
      const size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      write_file(f / index, text.replace(at, from.size(), to));
    };
  };
  const auto digest = [](const fs::path& path) { return to_hex(ledger::sha256(read_file(path))); };
  // Writes a file anew and its digest into the index.
  const auto rewrite = [&](const std::string& name, const auto& change) {
    return [=](const fs::path& f) {
      const std::string was = digest(f / name);
      Safetensors file = read_safetensors(f / name);
      change(file);
      write_safetensors(f / name, file.tensors, file.metadata);
      edit(was, digest(f / name))(f);
    };
  };
  const Case cases[] = {
      {"a file missing", [&](const fs::path& f) { fs::remove(f / second); },
       second + " is missing, and " + index + " names it"},
      {"a file more",
       [&](const fs::path& f) { fs::copy(f / first, f / "weights-00004-of-00003.safetensors"); },
       "weights-00004-of-00003.safetensors is not one that " + index + " names"},
      {"a file of another number",
       [&](const fs::path& f) { fs::copy(f / first, f / "weights-00001-of-00004.safetensors"); },
       "weights-00001-of-00004.safetensors is not one that"},
      {"one file beside its index",
       [&](const fs::path& f) { fs::copy(f / first, f / "weights.safetensors"); },
       index + " does not belong beside weights.safetensors"},
      {"no index", [&](const fs::path& f) { fs::remove(f / index); }, index + " is not listed"},
      {"files beside a single one",
       [&](const fs::path& f) {
         fs::remove(f / index);
         fs::copy(f / first, f / "weights.safetensors");
       },
       "-of-00003.safetensors does not belong to it"},
      {"another file of that name",
       [&](const fs::path& f) {
         fs::copy(f / first, f / second, fs::copy_options::overwrite_existing);
       },
       second + " was changed: its digest is not the one in " + index},
      {"a way out of the folder", edit("\"model.a\": \"" + second, "\"model.a\": \"../" + second),
       "../" + second},
      {"something said twice",
       edit("\"total_size\": 2400", "\"total_size\": 1, \"total_size\": 2400"),
       "two entries \"total_size\""},
      {"another size", edit("\"total_size\": 2400", "\"total_size\": 2404"),
       "total_size is 2404, and its tensors are of 2400 bytes", false},
      {"a tensor in the wrong file", edit("\"ema.a\": \"" + first, "\"ema.a\": \"" + second),
       first + " holds tensor \"ema.a\", which the index has in " + second, false},
      {"a tensor that is nowhere", edit("\"ema.a\":", "\"ema.0\": \"" + second + "\", \"ema.a\":"),
       "tensor \"ema.0\" is not in " + second, false},
      {"a tensor in two files",
       rewrite(second, [](Safetensors& file) { file.tensors.emplace("ema.a", at::ones({100})); }),
       second + " holds tensor \"ema.a\", which the index has in " + first, false},
      {"a tensor that the index does not name",
       rewrite(second, [](Safetensors& file) { file.tensors.emplace("hidden", at::ones({9})); }),
       second + " holds tensor \"hidden\", which the index does not have", false},
      {"other metadata",
       rewrite(second, [](Safetensors& file) { file.metadata["foreign_weights"] = "mine"; }),
       second + " has other metadata", false},
      {"ranges that overlap",
       [&](const fs::path& f) {
         const std::string was = digest(f / second);
         std::string bytes = read_file(f / second);
         const size_t at = bytes.find("[400,800]");
         ASSERT_NE(at, std::string::npos);
         write_file(f / second, bytes.replace(at, 9, "[100,500]"));
         edit(was, digest(f / second))(f);
       },
       second + ": tensor", false},
  };
  for (const Case& c : cases) {
    const testing::TemporaryFolder run;
    const fs::path folder =
        write_some(run.path(), some_tensors_of_a_model(), "every: 1 keep: 0 file_bytes: 800",
                   ledger::new_signer_key("trainer"));
    read_checkpoint(folder, {});
    c.harm(folder);
    sum_again(folder);
    const auto error_of = [&](const auto& body) -> std::string {
      try {
        body();
        return "";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::corrupt) << c.what;
        return error.what();
      }
    };
    const std::string read = error_of([&] { read_checkpoint(folder, {}); });
    EXPECT_THAT(read, ::testing::HasSubstr(c.says)) << c.what;
    EXPECT_THAT(read, ::testing::HasSubstr(folder.string())) << c.what;
    EXPECT_EQ(read.find('\n'), std::string::npos) << c.what;
    const std::string verified = error_of([&] { verify_checkpoint(folder); });
    EXPECT_EQ(verified, c.by_names ? read : "") << c.what;
  }
}

}  // namespace
}  // namespace cleared::train
