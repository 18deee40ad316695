#include "tools/arguments.h"

#include <string>

#include <CLI/CLI.hpp>

#include "ledger/base/error.h"

namespace cleared::tools {

bool parse_arguments(CLI::App& app, int argc, char** argv) {
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
