#include "tools/curate_look_command.h"

#include <cmath>
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
  double every_s = 4;
};

namespace {

constexpr const char* kExamples = R"(Examples:
  curate look --keyframes deliveries/2026-01                    what is in these files?
  curate look --keyframes --ledger film.db deliveries/2026-01   and: may it be used, is it known or protected?
  curate look --keyframes --every 0 deliveries/2026-01          every keyframe, where one in 4 s is too few
Nothing is recorded. What looks alike is a reason to ask `curate match`, and no match yet.
Exit codes: 0 done, 1 some file looks like known or protected footage, 4 none does, and some were refused or could not be read.)";

nlohmann::json json_of(const ledger::MeasureRecord& m) {
  nlohmann::json out = {
      {"kind", m.kind()}, {"start_us", m.start_us()}, {"end_us", m.end_us()}, {"value", m.value()}};
  if (m.width() > 0) {
    out["x"] = m.x();
    out["y"] = m.y();
    out["width"] = m.width();
    out["height"] = m.height();
  }
  if (!m.note().empty()) out["note"] = m.note();
  return out;
}

// "letterbox: 640 x 270 at 0, 45 from 0.00 to 4.00 s", "loudness -23.0 LUFS", "interlaced".
std::string text_of(const ledger::MeasureRecord& m) {
  char text[160];
  if (m.kind() == "loudness") {
    std::snprintf(text, sizeof text, "loudness %.1f LUFS", double(m.value()));
    return text;
  }
  if (m.kind() == "media") return m.note();
  char place[80] = "";
  if (m.width() > 0) {
    std::snprintf(place, sizeof place, " %u x %u at %u, %u", m.width(), m.height(), m.x(), m.y());
  }
  std::snprintf(text, sizeof text, "%s%s, %.2f to %.2f s",
                m.note().empty() ? m.kind().c_str() : m.note().c_str(), place,
                double(m.start_us()) / 1e6, double(m.end_us()) / 1e6);
  return text;
}

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
    out["measures"] = nlohmann::json::array();
    for (const auto& measure : file.measures) out["measures"].push_back(json_of(measure));
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
  std::string what;
  if (file.pictures > 0) {
    char text[256];
    const std::string sound = file.audio_codec.empty() ? "" : " + " + file.audio_codec;
    std::snprintf(text, sizeof text, "%.2f s, %u x %u, %s%s in %s, %llu bytes, %s%llu %s",
                  double(file.duration_us) / 1e6, file.width, file.height, file.video_codec.c_str(),
                  sound.c_str(), file.container.c_str(),
                  static_cast<unsigned long long>(file.size_bytes), keyframes ? "perhaps " : "",
                  static_cast<unsigned long long>(file.shots), file.shots == 1 ? "shot" : "shots");
    what = text;
  }
  for (const std::string& more : {file.verdict, file.problem}) {
    if (!more.empty()) what += (what.empty() ? "" : "; ") + more;
  }
  std::printf("%s", what.c_str());
  std::printf("\n");
  for (const auto& measure : file.measures) {
    if (measure.kind() != "shot") std::printf("          %s\n", text_of(measure).c_str());
  }
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
                     "decode only pictures that decode by themselves, and not all: --every");
  command_
      ->add_option(
          "--every", o.every_s,
          "seconds of film between two keyframes that are decoded, at least; 0: decode each")
      ->needs("--keyframes")
      ->check(CLI::Range(0.0, 86'400.0))
      ->capture_default_str();
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
  curate::LookOptions options{
      .ledger = o.ledger, .delivery = o.delivery, .keyframes_every_us = {}, .worker = {}};
  if (o.keyframes)
    options.keyframes_every_us = static_cast<uint64_t>(std::llround(o.every_s * 1e6));
  curate::look(options, curate::read_config(o.config), [&](const curate::LookReport& file) {
    unhappy = unhappy || file.pictures == 0 || (file.judged && !file.cleared);
    alike = alike || !file.like.empty();
    o.json ? print_json(file) : print_text(file, o.keyframes);
    std::fflush(stdout);
  });
  // An answer is never hidden by a file that gave none.
  return alike ? Exit::exit_no : unhappy ? Exit::exit_partial : Exit::exit_ok;
}

}  // namespace cleared::tools
