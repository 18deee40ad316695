#include "tools/arguments.h"

#include <string>

#include <CLI/CLI.hpp>

#include "ledger/base/error.h"

namespace cleared::tools {
namespace {

// What takes numbers without a sign takes "-1" for the largest of them.
void refuse_signs(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (!option->get_type_name().starts_with("UINT")) continue;
    option->check(
        [](const std::string& word) {
          return word.starts_with('-') ? word + " is below 0" : std::string();
        },
        "");
  }
  for (CLI::App* command : app.get_subcommands({})) refuse_signs(*command);
}

}  // namespace

bool parse_arguments(CLI::App& app, int argc, char** argv) {
  refuse_signs(app);
  try {
    app.parse(argc, argv);
    return true;
  } catch (const CLI::Success& done) {
    app.exit(done);
    return false;
  } catch (const CLI::ParseError& error) {
    std::string command;
    for (const CLI::App* at = &app; !at->get_subcommands().empty();) {
      at = at->get_subcommands().back();
      command += at->get_name() + " ";
    }
    throw Error(Errc::usage, command.empty() ? "" : command.substr(0, command.size() - 1) + ": ",
                error.what(), " (", app.get_name(), " ", command, "--help)");
  }
}

}  // namespace cleared::tools
