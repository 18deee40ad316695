#include "tools/cli.h"

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <system_error>

#include <google/protobuf/stubs/logging.h>

#include "ledger/base/error.h"

namespace cleared::tools {
Exit exit_of(Errc code) {
  switch (code) {
    case Errc::usage:
      return exit_usage;
    case Errc::refused:
      return exit_refused;
    case Errc::corrupt:
      return exit_corrupt;
    case Errc::unsupported:
      return exit_corrupt;
    case Errc::not_found:
      return exit_not_found;
    case Errc::io:
      return exit_io;
    case Errc::busy:
      return exit_busy;
    case Errc::permission:
      return exit_permission;
    case Errc::config:
      return exit_config;
  }
  return exit_internal;
}

Error about(std::string_view object, const Error& error) {
  const std::string text = " " + std::string(error.what());
  if (text.find(" " + std::string(object) + ":") != std::string::npos) return error;
  return Error(error.code(), object, ": ", error.what());
}

std::string text_problem(const std::string& text) {
  return is_utf8(text) ? "" : "is not UTF-8";
}

namespace {

// What was answered and reached nobody, for the disk is full, was not answered.
int with_output_written(const char* program, int code) {
  const bool flushed = std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
  if ((flushed && std::cout.flush().good()) || (code != exit_ok && code != exit_partial))
    return code;
  std::fprintf(
      stderr,
      "%s: stdout: not all of it could be written: its disk is full, or its reader is gone\n",
      program);
  return exit_io;
}

}  // namespace

int run_main(const char* program, const std::function<int()>& body) noexcept {
  // What protobuf has to say reaches the reader through our own errors, with the file's name.
  google::protobuf::SetLogHandler(nullptr);
  try {
    return with_output_written(program, body());
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", program, printable(error.what()).c_str());
    return exit_of(error.code());
  } catch (
      const std::system_error& error) {  // as of a name that is too long, or of no more threads
    std::fprintf(stderr, "%s: %s\n", program, printable(error.what()).c_str());
    return exit_io;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "%s: out of memory\n", program);
    return exit_io;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: unexpected: %s\n", program, printable(error.what()).c_str());
    return exit_internal;
  }
}

}  // namespace cleared::tools
