#include "curate/worker.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "curate/worker.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/utf8.h"

namespace cleared::curate {
namespace {

constexpr int kNotLoaded = 127;  // exit status that the loader gives

[[noreturn]] void fail(const char* what) {
  throw Error(Errc::io, "start a worker: ", what, ": ", std::strerror(errno));
}

// A file without a name. Not a pipe: neither side waits for the other, and its size can be limited.
Fd memory_file(const char* name) {
  Fd low(::memfd_create(name, MFD_CLOEXEC));
  if (!low) fail("memfd");
  Fd fd(::fcntl(low.get(), F_DUPFD_CLOEXEC, 16));  // clear of the numbers that the child is given
  if (!fd) fail("dup");
  return fd;
}

// What the child inherits, and that its memory is in huge pages, never handed back: frames are
// large, few, and read again and again. A user's own settings of malloc stay.
std::vector<char*> environment() {
  static char settings[] =
      "GLIBC_TUNABLES=glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:"
      "glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=4194304";
  std::vector<char*> out;
  for (char** entry = environ; *entry != nullptr; ++entry) out.push_back(*entry);
  if (::getenv("GLIBC_TUNABLES") == nullptr) out.push_back(settings);
  out.push_back(nullptr);
  return out;
}

pid_t spawn(const std::filesystem::path& program, int request, int reply, int source) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, request, kRequestFd);
  posix_spawn_file_actions_adddup2(&actions, reply, kReplyFd);
  posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, source, kSourceFd);
  std::string name = kMediaProgram, word = "worker";
  char* const arguments[] = {name.data(), word.data(), nullptr};
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, program.c_str(), &actions, nullptr, arguments, environment().data());
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    errno = failed;
    fail(program.c_str());
  }
  return pid;
}

// The exit status as waitpid gives it. Kills the child when its time is up.
int wait_for(pid_t pid, uint32_t wall_s) {
  const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  bool hung = false;
  if (process) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(wall_s);
    pollfd waiting{.fd = process.get(), .events = POLLIN, .revents = 0};
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          end - std::chrono::steady_clock::now());
      // poll() counts in an int: two weeks at a time are enough.
      const auto ms = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
      const int ready = ::poll(&waiting, 1, ms);
      if (ready < 0 && errno == EINTR) continue;
      hung = ready == 0;
      break;
    }
    if (hung) ::kill(pid, SIGKILL);
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) fail("waitpid");
  }
  if (hung) throw Error(Errc::corrupt, "its worker hung and was stopped after ", wall_s, " s");
  return status;
}

// Messages and strings cost memory for each, however short: so many may a reply have in all, in
// itself and one level down.
constexpr int kMostFields = 100'000;

bool has_few_fields(const std::string& reply) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(reply.data()),
                                            static_cast<int>(reply.size()));
  int fields = 0;
  const auto count = [&](const auto& inside) {
    for (uint32_t tag = in.ReadTag(); tag != 0; tag = in.ReadTag()) {
      if (++fields > kMostFields || !inside(tag)) return false;
    }
    return in.ConsumedEntireMessage();
  };
  const auto skip = [&](uint32_t tag) { return WireFormatLite::SkipField(&in, tag); };
  return count([&](uint32_t tag) {
    uint32_t bytes = 0;
    if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
      return false;
    }
    if (!in.ReadVarint32(&bytes)) return false;
    const auto outside = in.PushLimit(static_cast<int>(bytes));
    const bool few = count(skip);
    in.PopLimit(outside);
    return few;
  });
}

}  // namespace

uint64_t most_reply_bytes(const Request& request) {
  const bool is_small = request.has_marks() || request.has_thumbs();
  return uint64_t{1} << (is_small ? 24 : 30);
}

std::filesystem::path media_program() {
  const auto program =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / kMediaProgram;
  if (!std::filesystem::exists(program)) {
    throw Error(
        Errc::io, program.string(),
        ": is not there; copy it from where this program was built, the two belong together");
  }
  return program;
}

std::string content_of(int fd, uint64_t most_bytes) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) fail("fstat");
  if (static_cast<uint64_t>(info.st_size) > most_bytes) {
    throw Error(Errc::corrupt, "its worker answered with more than ", most_bytes, " bytes");
  }
  std::string out(static_cast<size_t>(info.st_size), '\0');
  for (size_t done = 0; done < out.size();) {
    const ssize_t n = ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(done));
    if (n <= 0) fail("read");
    done += static_cast<size_t>(n);
  }
  return out;
}

Reply run_worker(const Request& request, const Fd& source, const WorkerOptions& options) {
  const Fd asked = memory_file("request"), answered = memory_file("reply");
  const Fd handed(::fcntl(source.get(), F_DUPFD_CLOEXEC, 16));
  if (!handed) fail("dup");
  write_all(asked.get(), request.SerializeAsString(), "the request of a worker");
  if (::lseek(asked.get(), 0, SEEK_SET) != 0) fail("seek");

  const std::filesystem::path program = options.program.empty() ? media_program() : options.program;
  const pid_t pid = spawn(program, asked.get(), answered.get(), handed.get());
  const int status = wait_for(pid, request.limits().wall_s());
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (signal == SIGXCPU) throw Error(Errc::corrupt, "its worker used up its CPU time");
    if (signal == SIGKILL)
      throw Error(Errc::corrupt, "its worker was killed, by its CPU limit or by hand");
    if (signal == SIGSYS) throw Error(Errc::corrupt, "its worker tried what the sandbox forbids");
    throw Error(Errc::corrupt, "its worker crashed (signal ", signal, ")");
  }
  if (WEXITSTATUS(status) == kNotLoaded) {
    throw Error(Errc::io, program.string(),
                ": cannot be loaded; the libraries here are not those that it was built with: "
                "build it again");
  }
  Reply reply;
  const std::string bytes = content_of(answered.get(), most_reply_bytes(request));
  if (WEXITSTATUS(status) != 0 || !has_few_fields(bytes) || !reply.ParseFromString(bytes)) {
    throw Error(Errc::corrupt, "its worker gave no answer (status ", WEXITSTATUS(status), ")");
  }
  if (reply.has_failure()) {
    const auto code = static_cast<Errc>(reply.failure().code());
    const bool known = code == Errc::unsupported || code == Errc::not_found;
    constexpr size_t kMostText = 500;
    throw Error(known ? code : Errc::corrupt,
                printable(first_bytes(reply.failure().text(), kMostText)));
  }
  return reply;
}

}  // namespace cleared::curate
