// What a worker may not do, tried in a child each time.
#include "curate/sandbox.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <new>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cleared::curate {
namespace {

#ifdef CLEARED_SANITIZED
TEST(Sandbox, IsOffUnderASanitizer) {
  GTEST_SKIP() << "a sanitizer needs what the sandbox forbids";
}
#else

// Leaves with the answer, past every handler.
template <class Try>
[[noreturn]] void inside(const Try& attempt) {
  enter_sandbox({.memory_bytes = uint64_t{1} << 32}, 2);
  ::_exit(attempt());
}

TEST(Sandbox, OpensNoFile) {
  for (const char* path : {"/etc/passwd", "/proc/self/mem", "."}) {
    EXPECT_EXIT(inside([&] { return ::open(path, O_RDONLY) < 0 ? 0 : 1; }),
                ::testing::ExitedWithCode(0), "");
  }
  EXPECT_EXIT(inside([] { return ::open("new-file", O_WRONLY | O_CREAT, 0600) < 0 ? 0 : 1; }),
              ::testing::ExitedWithCode(0), "");
}

TEST(Sandbox, MakesNoSocketAndStartsNoProgram) {
  EXPECT_EXIT(inside([] { return ::socket(AF_INET, SOCK_STREAM, 0); }),
              ::testing::KilledBySignal(SIGSYS), "");
  EXPECT_EXIT(inside([] { return ::execl("/bin/true", "true", nullptr); }),
              ::testing::KilledBySignal(SIGSYS), "");
  EXPECT_EXIT(inside([] { return static_cast<int>(::vfork()) < 0 ? 0 : 1; }),
              ::testing::KilledBySignal(SIGSYS), "");
}

TEST(Sandbox, SignalsNobodyElse) {
  const pid_t other = ::fork();
  ASSERT_GE(other, 0);
  if (other == 0) {
    ::pause();
    ::_exit(0);
  }
  EXPECT_EXIT(inside([&] {
                const long sent = ::syscall(SYS_tgkill, other, other, SIGKILL);
                return sent < 0 && errno == EPERM ? 0 : 1;
              }),
              ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(inside([]() -> int { ::abort(); }), ::testing::KilledBySignal(SIGABRT), "");
  EXPECT_EQ(::waitpid(other, nullptr, WNOHANG), 0) << "the other process is gone";
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST(Sandbox, KeepsNoOtherDescriptor) {
  const int kept = ::open("/dev/null", O_RDONLY);
  ASSERT_GT(kept, 2);
  EXPECT_EXIT(inside([&] { return ::lseek(kept, 0, SEEK_CUR) < 0 && errno == EBADF ? 0 : 1; }),
              ::testing::ExitedWithCode(0), "");
  ::close(kept);
}

TEST(Sandbox, GivesNoMoreMemoryThanAllowed) {
  EXPECT_EXIT(inside([] {
                try {
                  const std::vector<char> much(size_t{6} << 30, 'x');
                  return static_cast<int>(much[5]);
                } catch (const std::bad_alloc&) {
                  return 0;
                }
              }),
              ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace cleared::curate
