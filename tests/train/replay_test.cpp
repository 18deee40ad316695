// An auditor makes a run again, and whoever lied about it is found out: every forger here holds the
// trainer's own key, and signs what he made up.
#include <algorithm>
#include <cctype>
#include <cstring>
#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "ledger/digest.h"
#include "ledger/note.h"
#include "tests/train/forgery.h"
#include "tests/train/train_program.h"
#include "train/run_folder.h"

namespace cleared::train {
namespace {

using testing::HasSubstr;

// Whom the auditor trusts: the approver of the permit, and the trainer.
std::string auditor_trust(const GateFixture& f) {
  const fs::path path = f.folder() / "auditor.trust";
  write_file(path, read_file(f.paths().trust) + read_file(f.folder() / "trainer.pub"));
  return path;
}

class TrainReplay : public TrainRun {
 protected:
  static Ended replay(const GateFixture& f, const std::string& run,
                      const std::vector<std::string>& more = {}) {
    const GatePaths paths = f.paths();
    return train(std::vector<std::string>{"replay", f.folder() / run, "--permit", paths.permit,
                                          "--trust", auditor_trust(f), "--shards", paths.shards,
                                          "--curate", CLEARED_CURATE} +
                 more);
  }
  static Ended step0(const GateFixture& f, const std::string& run) {
    return train({"step0", f.folder() / run, "--trust", auditor_trust(f)});
  }
};

TEST_F(TrainReplay, AgreesWithAnHonestRun) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  f.revoke();  // after the run: what was allowed then stays so
  struct Case {
    std::vector<std::string> args;
    const char* says;
  };
  const Case cases[] = {
      {{}, "steps 0 to 2 made again: 3 of 3 lines"},
      {{"--from", "3", "--notices", f.paths().notices}, "steps 3 to 5 made again: 3 of 3 lines"},
      {{"--steps", "6"}, "tensors of 2 checkpoints, bit for bit"},
      {{"--from", "3", "--steps", "2"}, "no checkpoint lies at the end"},
      {{"--tolerance", "1e-3", "--nproc-per-node", "2"}, "of a tensor off"},
  };
  for (const Case& c : cases) {
    const Ended ended = replay(f, "a", c.args);
    EXPECT_EQ(ended.code, 0) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says));
    EXPECT_THAT(ended.output, HasSubstr("permit judged at 2"));
  }
  const Ended start = step0(f, "a");
  EXPECT_EQ(start.code, 0) << start.output;
  EXPECT_THAT(start.output, HasSubstr("tensors made again from seed 7, as 2 checkpoints say"));
}

// An auditor has one machine: what two ranks made, one makes again.
TEST_F(TrainReplay, MakesATwoRankRunAgainOnAnyNumberOfRanks) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a", kTwoRanks).code, 0);
  for (const char* ranks : {"1", "2"}) {
    const Ended ended = replay(f, "a", {"--steps", "6", "--nproc-per-node", ranks});
    EXPECT_EQ(ended.code, 0) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("bit for bit"));
  }
  // A refusal of damaged files is not taken for a rank that was lost.
  std::string lines = read_file(f.folder() / "a/step-000003/steps.txt");
  lines.back() = ' ';
  write_file(f.folder() / "a/step-000003/steps.txt", lines);
  const Ended damaged = replay(f, "a");
  EXPECT_EQ(damaged.code, 65) << damaged.output;
}

TEST_F(TrainReplay, AsksTheGateAndTheFolder) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const std::string permit = read_file(f.paths().permit);
  struct Case {
    std::vector<std::string> args;
    int code;
    const char* says;
  };
  const Case cases[] = {
      {{"--at", "2099-01-01T00:00:00Z"}, 3, "permit_expired"},
      {{"--at", "yesterday"}, 2, "not a time"},
      {{"--from", "4"}, 66, "--from takes 0 or one of: 3, 6"},
      {{"--from", "6"}, 66, "no checkpoint after step 6"},
      {{"--steps", "7"}, 66, "its last checkpoint is of step 6"},
      {{"--from", "3", "--steps", "18446744073709551615"},
       66,
       "asked for are 18446744073709551615"},
      {{"--steps", "-1"}, 2, "-1"},
  };
  for (const Case& c : cases) {
    const Ended ended = replay(f, "a", c.args);
    EXPECT_EQ(ended.code, c.code) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says));
  }
  f.permit();  // another note, of the same terms
  EXPECT_THAT(replay(f, "a").output, HasSubstr("the run was made under"));
  write_file(f.paths().permit, permit);
  f.damage(1);
  const Ended swapped = replay(f, "a");
  EXPECT_EQ(swapped.code, 3) << swapped.output;
  EXPECT_THAT(swapped.output, HasSubstr("sample_changed: sample clip1"));
}

// A run that keeps its last checkpoints alone is no liar.
TEST_F(TrainReplay, NamesTheStartThatAPrunedRunLeaves) {
  for (const auto& [keep, code, says] :
       {std::tuple("keep: 2", 66, "replay with --from 6"), {"keep: 1", 66, "no two in a row"}}) {
    std::string config = tiny_config(9);
    config.replace(config.find("keep: 0"), 7, keep);
    const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
    ASSERT_EQ(run(f, "a").code, 0);
    const Ended ended = replay(f, "a");
    EXPECT_EQ(ended.code, code) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(says));
    const int from = replay(f, "a", {"--from", "6"}).code;
    EXPECT_EQ(from, keep == std::string("keep: 2") ? 0 : 66);
  }
}

// A permit that leaves out what the run had consumed already leaves it out for the auditor, too.
TEST_F(TrainReplay, CountsPassesAsThePermitThatTheRunWentOnWith) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a", {"--until", "3"}).code, 0);
  f.permit([&](ledger::Permit& p) {
    p.mutable_shard(0)->set_max_passes(2);
    p.mutable_counted()->set_run(state_of(f.folder() / "a/step-000003").run());
    p.mutable_counted()->set_end_step(3);
  });
  const Ended went_on = run(f, "a");
  ASSERT_EQ(went_on.code, 0) << went_on.output;
  const Ended ended = replay(f, "a", {"--from", "3"});
  EXPECT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("steps 3 to 5 made again: 3 of 3 lines"));
}

TEST_F(TrainReplay, FindsWhatAReceiptMadeUp) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  // Line and word of steps.txt: the first line is the codec's.
  const auto change_word = [](size_t line, size_t word, const std::string& to) {
    return [=](Forgery& forgery) {
      size_t at = 0;
      for (size_t i = 0; i < line; ++i) at = forgery.lines.find('\n', at) + 1;
      for (size_t i = 0; i < word; ++i) at = forgery.lines.find(' ', at) + 1;
      const size_t end = forgery.lines.find_first_of(" \n", at);
      forgery.lines.replace(at, end - at, to);
    };
  };
  const std::string other = to_hex(f.manifest().samples[0].digest);
  struct Case {
    const char* name;
    std::function<void(Forgery&)> change;
    const char* says;
  };
  const Case cases[] = {
      {"loss", change_word(2, 3, "3f800000"), "step 1 disagrees: loss: the run says 1, it is"},
      {"norm", change_word(3, 5, "3f800000"), "step 2 disagrees: norm: the run says 1, it is"},
      {"skipped", change_word(1, 6, "skipped"), "step 0 disagrees: applied"},
      {"sample", change_word(3, 7, std::string(64, 'a')), "step 2 disagrees: sample of slot 0"},
      {"codec", change_word(0, 1, std::string(64, 'b')), "step 0 disagrees: samples of the codec"},
      {"seed", [](Forgery& g) { g.state.set_seed(8); }, "step 0 disagrees: config"},
      {"other weights", [](Forgery& g) { g.weights[g.weights.size() - 1] ^= 1; },
       "step 3 disagrees: weights after the step: tensor"},
      {"moments", [](Forgery& g) { g.optimiser[g.optimiser.size() - 1] ^= 1; },
       "step 3 disagrees: weights after the step: tensor optimiser.v."},
  };
  for (const Case& c : cases) {
    fs::remove_all(run);
    fs::copy(kept, run, fs::copy_options::recursive);
    forge(f, run, 3, c.change);
    const Ended ended = replay(f, "a");
    EXPECT_EQ(ended.code, 1) << c.name << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says)) << c.name;
  }
  // The next receipt no longer follows one that was made up.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  forge(f, run, 3, cases[0].change);
  const Ended chain = replay(f, "a", {"--from", "3"});
  EXPECT_EQ(chain.code, 1) << chain.output;
  EXPECT_THAT(chain.output, HasSubstr("run receipt of step-000006: receipt before"));

  // Without the trainer's key not even that much: digests and signatures say no.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  std::string sums = read_file(run / "step-000003/SHA256SUMS");
  const std::string lines = read_file(run / "step-000003/steps.txt");
  const std::string cut = lines.substr(0, lines.rfind("step 2"));
  sums.replace(sums.find(to_hex(ledger::sha256(lines))), 64, to_hex(ledger::sha256(cut)));
  write_file(run / "step-000003/steps.txt", cut);
  write_file(run / "step-000003/SHA256SUMS", sums);
  const Ended unsigned_lines = replay(f, "a");
  EXPECT_EQ(unsigned_lines.code, 65) << unsigned_lines.output;
  EXPECT_THAT(unsigned_lines.output, HasSubstr("speaks of other files"));
}

// What was consumed and where it came from is what is paid for; the rest of a checkpoint says how
// it came about. All of it follows from permit, config and the steps themselves.
TEST_F(TrainReplay, FindsACheckpointThatLiesAboutItself) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  const Digest other = ledger::sha256("other");
  const std::string other_name = ledger::digest_name(other);
  const std::vector<std::string> none, three = {"--from", "3"};
  const auto replaced = [](std::string& text, const std::string& a, const std::string& b) {
    const size_t at = text.find(a);
    ASSERT_NE(at, std::string::npos) << a;
    text.replace(at, a.size(), b);
  };
  const auto state = [](void (State::*set)(double)) {
    return [=](Forgery& g) { (g.state.*set)(0.001); };
  };
  const auto stated = [](const std::function<void(State&)>& change) {
    return [=](Forgery& g) { g.statement = change; };
  };
  struct Case {
    const char* name;
    uint64_t step;
    std::vector<std::string> args;
    std::function<void(Forgery&)> change;
    const char* says;
  };
  const Case cases[] = {
      {"codec twice", 3, none,
       [](Forgery& g) { g.lines = g.lines.substr(0, g.lines.find('\n') + 1) + g.lines; },
       "step 0 disagrees: run receipt of step-000003: step lines"},
      {"no codec", 3, none, [](Forgery& g) { g.lines.erase(0, g.lines.find('\n') + 1); },
       "step 0 disagrees: run receipt of step-000003: step lines"},
      {"codec after a step", 3, none,
       [](Forgery& g) { g.lines += g.lines.substr(0, g.lines.find('\n') + 1); },
       "step 0 disagrees: run receipt of step-000003: step lines"},
      {"codec in a later span", 6, three,
       [&](Forgery& g) { g.lines = "codec " + to_hex(other) + "\n" + g.lines; },
       "step 3 disagrees: run receipt of step-000006: step lines"},
      {"durations", 6, three,
       [](Forgery& g) {
         for (auto& [sample, place] : g.places) place.duration_us = 1;
       },
       "step 3 disagrees: place of sample"},
      {"shard", 6, three,
       [&](Forgery& g) {
         for (auto& [sample, place] : g.places) place.shard = other;
       },
       "step 3 disagrees: place of sample"},
      {"place of what the codec saw", 3, none,
       [&](Forgery& g) { g.places.at(*parse_digest(g.lines.substr(6, 64))).index = 7; },
       "step 0 disagrees: place of sample"},
      {"tree head of receipt and state", 6, three,
       [](Forgery& g) { g.state.set_origin("other.example/log"); },
       "step 3 disagrees: state of step-000006: the run says origin: \"other.example/log\""},
      {"tree size", 6, three, [](Forgery& g) { g.state.set_tree_size(1); },
       "step 3 disagrees: state of step-000006: the run says tree_size: 1, it is tree_size: 9"},
      {"tree head of the receipt alone", 6, three,
       [&](Forgery& g) { g.receipt = [&](ReceiptFacts& r) { r.tree_root = other_name; }; },
       "step 3 disagrees: run receipt of step-000006: tree head"},
      {"run", 6, three, [](Forgery& g) { g.state.set_run("tiny-other"); },
       "step 6 disagrees: metadata of the weights of step-000006: the run says "
       "receipt.consumed_root"},
      {"where the order began", 6, three, [](Forgery& g) { g.state.set_order_first_step(3); },
       "step 3 disagrees: state of step-000006: the run says order_first_step: 3"},
      {"samples", 6, three, [&](Forgery& g) { g.state.set_samples_root(other_name); },
       "step 3 disagrees: state of step-000006: the run says samples_root"},
      {"initial weights", 3, none, [&](Forgery& g) { g.state.set_step0(other_name); },
       "step 0 disagrees: state of step-000003: the run says step0"},
      {"first loss", 6, three, state(&State::set_first_loss),
       "step 6 disagrees: state of step-000006: the run says first_loss: 0.001"},
      {"smooth loss", 3, none, state(&State::set_smooth_loss),
       "step 3 disagrees: state of step-000003: the run says smooth_loss: 0.001"},
      {"tensors", 6, three, [](Forgery& g) { g.tensors.replace(0, 64, std::string(64, 'a')); },
       "step 6 disagrees: tensors.txt of step-000006: the run says aaaa"},
      {"tensors of the start", 3, three,
       [](Forgery& g) { g.tensors.replace(0, 64, std::string(64, 'a')); },
       "step 3 disagrees: tensors.txt of step-000003: the run says aaaa"},
      {"totals", 6, three, [](Forgery& g) { g.totals.clear(); },
       "step 6 disagrees: totals.txt of step-000006: the run says nothing"},
      {"metadata: seed", 6, three,
       [&](Forgery& g) { replaced(g.weights, "\"seed\":\"7\"", "\"seed\":\"9\""); },
       "step 6 disagrees: metadata of the weights of step-000006: the run says seed=9"},
      {"metadata: threads", 6, three,
       [&](Forgery& g) { replaced(g.weights, "\"threads\":\"1\"", "\"threads\":\"9\""); },
       "step 6 disagrees: metadata of the weights of step-000006: the run says threads=9"},
      {"statement: run", 6, three, stated([](State& s) { s.set_run("other"); }),
       "step 6 disagrees: statement of step-000006"},
      {"statement: step", 6, three, stated([](State& s) { s.set_step(7000); }), "\"step\":7000"},
      {"statement: seed", 6, three, stated([](State& s) { s.set_seed(99); }), "\"seed\":99"},
      {"statement: ranks", 6, three, stated([](State& s) { s.set_ranks(64); }), "\"ranks\":64"},
      {"statement: machine", 6, three, stated([](State& s) { s.set_machine("abacus"); }), "abacus"},
      {"statement: permit", 6, three, stated([&](State& s) { s.set_permit(other_name); }),
       "\"permit\":"},
      {"statement of the start", 3, three, stated([](State& s) { s.set_seed(99); }),
       "step 3 disagrees: statement of step-000003"},
  };
  for (const Case& c : cases) {
    fs::remove_all(run);
    fs::copy(kept, run, fs::copy_options::recursive);
    forge(f, run, c.step, c.change);
    const Ended ended = replay(f, "a", c.args);
    EXPECT_EQ(ended.code, 1) << c.name << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says)) << c.name;
  }
  // The trainer's own programs do not take such a statement either.
  auto resume = run_args(f, "a", {"--from", "3"});
  resume[0] = "resume";
  const Ended resumed = train(resume);
  EXPECT_EQ(resumed.code, 65) << resumed.output;
  EXPECT_THAT(resumed.output, HasSubstr("says \"seed\":99"));
  // No program takes weights that speak of other foreign weights than the state.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  forge(f, run, 6, [&](Forgery& g) {
    replaced(g.weights, "\"foreign_weights\":\"none\"", "\"foreign_weights\":\"mine\"");
  });
  const Ended foreign = replay(f, "a", three);
  EXPECT_EQ(foreign.code, 65) << foreign.output;
  EXPECT_THAT(foreign.output, HasSubstr("says foreign weights none"));
  // What the forger writes is found out for its lies alone.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  forge(f, run, 6, [](Forgery&) {});
  EXPECT_EQ(replay(f, "a", three).code, 0);
}

// The safetensors file `bytes` with a tensor more, as a run would write it.
std::string with_tensor(const std::string& bytes, const std::string& name, const std::string& type,
                        const std::string& data) {
  uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  auto header = nlohmann::json::parse(bytes.substr(8, size));
  const std::string before = bytes.substr(8 + size) + data;
  const size_t count = type == "F32" ? data.size() / 4 : data.size();
  header[name] = {{"dtype", type},
                  {"shape", {count}},
                  {"data_offsets", {before.size() - data.size(), before.size()}}};
  std::string after;
  for (auto& [tensor, entry] : header.items()) {
    if (tensor == "__metadata__") continue;
    auto& range = entry["data_offsets"];
    const size_t begin = range[0], end = range[1];
    range = {after.size(), after.size() + end - begin};
    after += before.substr(begin, end - begin);
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  size = text.size();
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + after;
}

// An auditor's machine starts no process by the word of a folder that nobody has signed, and none
// beyond what a run of that config can have had.
TEST_F(TrainReplay, StartsNoRanksByTheWordOfAFolder) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  struct Case {
    uint32_t ranks, threads;
    bool is_signed;
    const char* says;
  };
  const Case cases[] = {
      {2, 1, false, "speaks of other files"},
      {3, 1, true, "says 3 ranks, which are not started by its word: say with --nproc-per-node"},
      {8, 1, true, "says 8 ranks"},
      {0, 1, true, "says 0 ranks"},
      {1, 5000, true, "says 5000 threads, which are not started by its word: say with --threads"},
      {5000, 1, false, "speaks of other files"},
      {5000, 1, true, "says 5000 ranks"},
  };
  for (const Case& c : cases) {
    fs::remove_all(run);
    fs::copy(kept, run, fs::copy_options::recursive);
    const auto change = [&](State& state) {
      state.set_ranks(c.ranks);
      state.set_threads(c.threads);
    };
    const fs::path folder = run / "step-000003";
    if (c.is_signed) {
      forge(f, run, 3, [&](Forgery& forgery) { change(forgery.state); });
    } else {
      State state = state_of(folder);
      change(state);
      write_file(folder / "state.textproto", ledger::format_textproto(state));
      sum_again(folder);
    }
    const GatePaths paths = f.paths();
    Process process(CLEARED_TRAIN,
                    {"replay", run, "--permit", paths.permit, "--trust", auditor_trust(f),
                     "--shards", paths.shards, "--curate", CLEARED_CURATE});
    size_t children = 0;
    while (!is_gone(process.pid()))
      children = std::max(children, children_of(process.pid()).size());
    EXPECT_EQ(process.wait(), 65) << c.says << ": " << process.output();
    EXPECT_THAT(process.output(), HasSubstr(c.says));
    EXPECT_EQ(children, 0U) << c.says;
  }
  // Asked for, its word does not count.
  forge(f, run, 3, [](Forgery& forgery) { forgery.state.set_ranks(5000); });
  EXPECT_THAT(replay(f, "a", {"--nproc-per-node", "1"}).output, HasSubstr("step 3 disagrees"));
}

// tensors.txt with that tensor of floats, too.
std::string with_line(const std::string& tensors, const std::string& name,
                      const std::string& data) {
  std::map<std::string, std::string> lines = {
      {name,
       to_hex(ledger::sha256(data)) + " " + name + " Float " + std::to_string(data.size() / 4)}};
  std::istringstream in(tensors);
  for (std::string line; std::getline(in, line);) {
    lines.emplace(line.substr(65, line.find(' ', 65) - 65), line);
  }
  std::string out;
  for (const auto& [key, line] : lines) out += line + "\n";
  return out;
}

// Files that say what a run would say in other words: whatever is between the words is signed along
// with them, and goes out with the checkpoint.
TEST_F(TrainReplay, FindsFilesThatARunWritesInOtherWords) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  const auto padded = [](std::string Forgery::*file) {
    return [=](Forgery& g) {
      std::string& bytes = g.*file;
      uint64_t size = 0;
      std::memcpy(&size, bytes.data(), sizeof size);
      const std::string hidden = " \t\n\r  \t\t";
      bytes.insert(8 + size, hidden);
      size += hidden.size();
      std::memcpy(bytes.data(), &size, sizeof size);
    };
  };
  const auto text = [](std::string Forgery::*file, auto change) {
    return [=](Forgery& g) { change(g.*file); };
  };
  const auto written = [](const std::string& file, auto change) {
    return [=](Forgery& g) {
      g.bytes = [=](const std::string& name, std::string& bytes) {
        if (name == file) change(bytes);
      };
    };
  };
  const auto comment = [](std::string& bytes) { bytes += "# hidden\n"; };
  const auto zero = [](std::string& bytes) { bytes.insert(bytes.find(' ') + 1, "0"); };
  const auto signs_again = [&](auto change) {
    return [&, change](std::string& bytes) {
      ledger::Note note = ledger::parse_note(bytes);
      change(note);
      bytes = ledger::format_note(note);
    };
  };
  const ledger::SignerKey trainer = ledger::read_signer_key(f.trainer_key());
  const auto upper = [](std::string& bytes) {
    std::transform(bytes.begin(), bytes.begin() + 64, bytes.begin(), ::toupper);
  };
  struct Case {
    const char* name;
    std::function<void(Forgery&)> change;
    const char* says;
  };
  const Case cases[] = {
      {"weights", padded(&Forgery::weights), "weights.safetensors: its header is not as"},
      {"moments", padded(&Forgery::optimiser), "optimizer.safetensors: its header is not as"},
      {"totals: a number", text(&Forgery::totals, zero), "totals.txt:1: not as a run writes it"},
      {"totals: the order",
       text(&Forgery::totals,
            [](std::string& bytes) {
              const size_t end = bytes.find('\n') + 1;
              bytes = bytes.substr(end) + bytes.substr(0, end);
            }),
       "totals.txt:1: not as a run writes it"},
      {"tensors: a line", text(&Forgery::tensors, comment), "not as a run writes it"},
      {"tensors: letters", text(&Forgery::tensors, upper), "tensors.txt:1: not as a run writes it"},
      {"tensors: one less",
       text(&Forgery::tensors,
            [](std::string& bytes) { bytes.erase(bytes.rfind('\n', bytes.size() - 2) + 1); }),
       "not as a run writes it"},
      {"state", written("state.textproto", comment), "not as a run writes it"},
      {"receipt", written("receipt.note", signs_again([&](ledger::Note& note) {
                            note.text += "# hidden\n";
                            ledger::add_signature(note, trainer);
                          })),
       "not as a run writes it"},
      {"receipt: a signature", written("receipt.note", signs_again([](ledger::Note& note) {
                                         ledger::add_signature(note, {"hidden", 1, "anything"});
                                       })),
       "not as a run writes it"},
      {"statement", written("statement.dsse.json", [](std::string& bytes) { bytes += " \t"; }),
       "statement.dsse.json:2: not as a run writes it"},
  };
  for (const Case& c : cases) {
    // At the end of what is replayed, and where it starts.
    for (const auto& [step, from] : {std::pair{6, "3"}, {3, "3"}}) {
      fs::remove_all(run);
      fs::copy(kept, run, fs::copy_options::recursive);
      forge(f, run, static_cast<uint64_t>(step), c.change);
      const Ended ended = replay(f, "a", {"--from", from});
      EXPECT_THAT(ended.code, testing::AnyOf(1, 65)) << c.name << " " << step << ended.output;
      if (step == 3) continue;
      EXPECT_THAT(ended.output, HasSubstr(c.says)) << c.name;
    }
  }
}

// Whatever else is signed along with a checkpoint goes out with it: it must be nothing.
TEST_F(TrainReplay, FindsTensorsAndFilesThatDoNotBelong) {
  GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", run = f.folder() / "a";
  fs::copy(run, kept, fs::copy_options::recursive);
  struct Case {
    const char *name, *type;
    std::string Forgery::*file;
    int code = 65;  // of who knows what should be there: replay, step0
  };
  const Case cases[] = {
      {"hidden.model", "U8", &Forgery::weights}, {"model.hidden", "F32", &Forgery::weights},
      {"ema", "F32", &Forgery::weights},         {"ema2.inp.weight", "F32", &Forgery::weights},
      {"ema9.hidden", "U8", &Forgery::weights},  {"codec.hidden", "F32", &Forgery::weights, 1},
      {"hidden", "U8", &Forgery::optimiser},     {"m.hidden", "F32", &Forgery::optimiser},
  };
  for (const Case& c : cases) {
    fs::remove_all(run);
    fs::copy(kept, run, fs::copy_options::recursive);
    forge(f, run, 6, [&](Forgery& forged) {
      const std::string data(64, 'x');
      forged.*c.file = with_tensor(forged.*c.file, c.name, c.type, data);
      if (c.code == 1) forged.tensors = with_line(forged.tensors, c.name, data);
    });
    f.release(*ledger::parse_digest_name(state_of(run / "step-000006").weights()));
    auto resume = run_args(f, "a");
    resume[0] = "resume";
    const std::vector<std::string> sample = {"sample",
                                             "--checkpoint",
                                             run / "step-000006",
                                             "--out",
                                             f.folder() / "a.gif",
                                             "--release",
                                             f.folder() / "a.release",
                                             "--trust",
                                             f.folder() / "trust-release",
                                             "--notices",
                                             f.paths().notices};
    for (const Ended& ended : {replay(f, "a", {"--from", "3"}), step0(f, "a")}) {
      EXPECT_EQ(ended.code, c.code) << c.name << ": " << ended.output;
      EXPECT_THAT(ended.output, HasSubstr(c.name));
    }
    for (const Ended& ended : {train(resume), train(sample)}) {
      EXPECT_EQ(ended.code, 65) << c.name << ": " << ended.output;
    }
  }
  // A file, listed and signed.
  fs::remove_all(run);
  fs::copy(kept, run, fs::copy_options::recursive);
  forge(f, run, 6, [](Forgery& forged) { forged.more = {{"more.safetensors", "anything"}}; });
  for (const Ended& ended : {replay(f, "a", {"--from", "3"}), step0(f, "a")}) {
    EXPECT_EQ(ended.code, 65) << ended.output;
    EXPECT_THAT(ended.output, HasSubstr("more.safetensors does not belong to it"));
  }
}

// A tolerance is for numbers that were computed, not for what the text was split by.
TEST_F(TrainReplay, ToleratesNoOtherPairsOfTheText) {
  std::string config = tiny_config();
  config.replace(config.find("dropout: 0.1"), 12, "dropout: 0.1 vocabulary: 262");
  const GateFixture f(config, {sample_video(0), sample_video(1), sample_video(2)});
  ASSERT_EQ(run(f, "a").code, 0);
  const std::vector<std::string> tolerant = {"--from", "3", "--tolerance", "1"};
  EXPECT_EQ(replay(f, "a", tolerant).code, 0);
  forge(f, f.folder() / "a", 6, [](Forgery& forged) {
    uint64_t size = 0;
    std::memcpy(&size, forged.weights.data(), sizeof size);
    const auto header = nlohmann::json::parse(forged.weights.substr(8, size));
    const size_t pairs = 8 + size + header["codec.pairs"]["data_offsets"][0].get<size_t>();
    forged.weights[pairs] ^= 1;
    // The list agrees with it.
    const size_t line = forged.tensors.find(" codec.pairs ") - 64;
    const size_t bytes = header["codec.pairs"]["data_offsets"][1].get<size_t>() -
                         header["codec.pairs"]["data_offsets"][0].get<size_t>();
    forged.tensors.replace(line, 64, to_hex(ledger::sha256(forged.weights.substr(pairs, bytes))));
  });
  const Ended ended = replay(f, "a", tolerant);
  EXPECT_EQ(ended.code, 1) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("tensor codec.pairs"));
}

// The weights come from a run that did something else, and are passed off as what the config, the
// permit and the order of this one make.
TEST_F(TrainReplay, FindsWeightsThatCameAboutInAnotherWay) {
  struct Case {
    const char* name;
    std::string config;
    std::vector<std::string> videos;
    uint64_t taken_from;  // step of the other run's checkpoint
    const char* says;
  };
  const auto replaced = [](std::string text, const std::string& a, const std::string& b) {
    return text.replace(text.find(a), a.size(), b);
  };
  const std::vector<std::string> videos = {sample_video(0), sample_video(1), sample_video(2)};
  const Case cases[] = {
      {"learning rate", replaced(tiny_config(), "learning_rate: 1e-3", "learning_rate: 2e-3"),
       videos, 3, "step 1 disagrees: loss"},
      {"seed", replaced(tiny_config(), "seed: 7", "seed: 8"), videos, 3, "step 0 disagrees: loss"},
      {"shard", tiny_config(), {videos[0], videos[1], videos[0]}, 3, "step 0 disagrees"},
      {"extra step", replaced(tiny_config(), "every: 3", "every: 4"), videos, 4,
       "step 3 disagrees: weights after the step"},
  };
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path kept = f.folder() / "kept", mine = f.folder() / "a";
  fs::copy(mine, kept, fs::copy_options::recursive);
  for (const Case& c : cases) {
    const GateFixture other(c.config, c.videos);
    const Ended trained = run(other, "b");
    ASSERT_EQ(trained.code, 0) << c.name << ": " << trained.output;
    const Forgery theirs = read_forgery(step_folder(other.folder() / "b", c.taken_from));
    fs::remove_all(mine);
    fs::copy(kept, mine, fs::copy_options::recursive);
    forge(f, mine, 3, [&](Forgery& forgery) {
      // Losses as the other run had them, samples as this one must have consumed them.
      std::string lines;
      for (size_t step = 0; step < 4; ++step) {
        const auto line = [&](const std::string& text) {
          size_t at = 0;
          for (size_t i = 0; i < step; ++i) at = text.find('\n', at) + 1;
          return text.substr(at, text.find('\n', at) - at);
        };
        const std::string right = line(forgery.lines), theirs_line = line(theirs.lines);
        const size_t facts = theirs_line.find("applied");
        lines += (step == 0 ? right
                            : theirs_line.substr(0, facts) + right.substr(right.find("applied"))) +
                 "\n";
      }
      forgery.lines = lines;
      forgery.weights = theirs.weights;
      forgery.optimiser = theirs.optimiser;
    });
    const Ended ended = replay(f, "a");
    EXPECT_EQ(ended.code, 1) << c.name << ": " << ended.output;
    EXPECT_THAT(ended.output, HasSubstr(c.says)) << c.name;
  }
}

TEST_F(TrainReplay, FindsAStartThatIsNotTheSeeds) {
  const GateFixture f = make();
  ASSERT_EQ(run(f, "a").code, 0);
  const fs::path list = f.folder() / "a/step0.txt";
  const std::string honest = read_file(list);
  std::string other = honest;
  const size_t line = other.find(" model.inp.weight");
  ASSERT_NE(line, std::string::npos);
  other[line - 1] = other[line - 1] == '0' ? '1' : '0';
  write_file(list, other);
  const Ended other_list = step0(f, "a");
  EXPECT_EQ(other_list.code, 1) << other_list.output;
  EXPECT_THAT(other_list.output, HasSubstr("where the run began"));

  for (const uint64_t step : {3, 6}) {
    forge(f, f.folder() / "a", step, [&](Forgery& forgery) {
      forgery.state.set_step0(ledger::digest_name(ledger::sha256(other)));
    });
  }
  const Ended pretrained = step0(f, "a");
  EXPECT_EQ(pretrained.code, 1) << pretrained.output;
  EXPECT_THAT(pretrained.output, HasSubstr("tensor model.inp.weight"));
  fs::remove(list);
  EXPECT_EQ(step0(f, "a").code, 66);
}

}  // namespace
}  // namespace cleared::train
