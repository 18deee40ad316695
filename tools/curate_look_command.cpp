#include "tools/curate_look_command.h"

#include <cstdio>
#include <string>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "curate/config.h"
#include "curate/config.pb.h"
#include "curate/look.h"
#include "tools/cli.h"

namespace cleared::tools {

struct LookCommand::Options {
  std::string ledger, delivery, config;
  bool keyframes = false, json = false;
};

namespace {

constexpr const char* kExamples = R"(Examples:
  curate look --keyframes deliveries/2026-01                    what is in these files?
  curate look --keyframes --ledger film.db deliveries/2026-01   and: may it be used, is it known or protected?
Nothing is recorded. What looks alike is a reason to ask `curate match`, and no match yet.
Exit codes: 0 done, 1 some file looks like known or protected footage, 4 some files were refused or could not be read.)";

void print_json(const curate::LookReport& file) {
  nlohmann::json out = {{"path", file.path},
                        {"size_bytes", file.size_bytes},
                        {"problem", file.problem},
                        {"pictures", file.pictures}};
  if (file.pictures > 0) {
    out["container"] = file.container;
    out["video_codec"] = file.video_codec;
    out["audio_codec"] = file.audio_codec;
    out["width"] = file.width;
    out["height"] = file.height;
    out["duration_us"] = file.duration_us;
    out["shots"] = file.shots;
  }
  if (file.judged) {
    out["cleared"] = file.cleared;
    out["verdict"] = file.verdict;
    out["like"] = nlohmann::json::array();
    for (const curate::Likeness& like : file.like) {
      out["like"].push_back(
          {{"name", like.name}, {"protected", like.is_protected}, {"pictures", like.pictures}});
    }
  }
  std::printf("%s\n", out.dump().c_str());
}

void print_text(const curate::LookReport& file, bool keyframes) {
  const char* outcome = file.pictures == 0             ? "failed"
                        : file.judged && !file.cleared ? "refused"
                        : file.judged                  ? "cleared"
                                                       : "seen";
  std::printf("%-9s %s: ", outcome, file.path.c_str());
  if (file.pictures > 0) {
    const std::string sound = file.audio_codec.empty() ? "" : " + " + file.audio_codec;
    std::printf("%.2f s, %u x %u, %s%s in %s, %llu bytes, %s%llu shots",
                double(file.duration_us) / 1e6, file.width, file.height, file.video_codec.c_str(),
                sound.c_str(), file.container.c_str(),
                static_cast<unsigned long long>(file.size_bytes), keyframes ? "perhaps " : "",
                static_cast<unsigned long long>(file.shots));
  }
  if (file.judged) std::printf("; %s", file.verdict.c_str());
  if (!file.problem.empty())
    std::printf("%s%s", file.pictures > 0 ? "; " : "", file.problem.c_str());
  std::printf("\n");
  for (const curate::Likeness& like : file.like) {
    std::printf("          %llu of %llu pictures look like %s%s\n",
                static_cast<unsigned long long>(like.pictures),
                static_cast<unsigned long long>(file.pictures), like.name.c_str(),
                like.is_protected ? ", which is protected" : "");
  }
}

}  // namespace

LookCommand::LookCommand(CLI::App& app)
    : options_(std::make_unique<Options>()),
      command_(app.add_subcommand("look", "a first look at a delivery: nothing is recorded")) {
  Options& o = *options_;
  command_->add_option("--ledger", o.ledger,
                       "ask it for rights and for known and protected footage");
  command_->add_option("DELIVERY", o.delivery, "folder of footage")->required();
  command_->add_option("--config", o.config, "limits, as configs/shard-nano.textproto");
  command_->add_flag("--keyframes", o.keyframes,
                     "decode only the pictures that decode by themselves");
  command_->add_flag("--json", o.json, "one JSON object a line");
  command_->footer(kExamples);
}

LookCommand::~LookCommand() = default;

bool LookCommand::parsed() const {
  return command_->parsed();
}

int LookCommand::run() const {
  const Options& o = *options_;
  bool unhappy = false, alike = false;
  const curate::LookOptions options{
      .ledger = o.ledger, .delivery = o.delivery, .keyframes = o.keyframes, .worker = {}};
  curate::look(options, curate::read_config(o.config), [&](const curate::LookReport& file) {
    unhappy = unhappy || file.pictures == 0 || (file.judged && !file.cleared);
    alike = alike || !file.like.empty();
    o.json ? print_json(file) : print_text(file, o.keyframes);
    std::fflush(stdout);
  });
  return unhappy ? Exit::exit_partial : alike ? 1 : Exit::exit_ok;
}

}  // namespace cleared::tools
