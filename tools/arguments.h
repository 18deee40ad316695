// Command lines, the same way in every program.
#pragma once

namespace CLI {  // NOLINT(readability-identifier-naming): the name is that of the library
class App;
}

namespace cleared::tools {

// False: --help or --version was asked for and printed, and nothing is left to do. Error{usage}
// names the command.
bool parse_arguments(CLI::App& app, int argc, char** argv);

}  // namespace cleared::tools
