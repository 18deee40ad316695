#include "curate/sandbox.h"

#include <cerrno>
#include <cstring>
#include <memory>

#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

void limit(__rlimit_resource resource, uint64_t value) {
  const rlimit both{.rlim_cur = value, .rlim_max = value};
  if (::setrlimit(resource, &both) != 0) {
    throw Error(Errc::unsupported, "sandbox: set a resource limit: ", std::strerror(errno));
  }
}

#ifndef CLEARED_SANITIZED
struct FreeFilter {
  void operator()(void* filter) const noexcept { seccomp_release(filter); }
};

// No rule is added, so every access that the kernel knows to handle is refused.
void deny_files() {
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs =
      LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |
      LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
      LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
      LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
      LANDLOCK_ACCESS_FS_MAKE_SYM;
  const long ruleset =
      ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0);
  if (ruleset < 0) return;  // an old kernel: seccomp refuses to open files as well
  if (::syscall(SYS_landlock_restrict_self, ruleset, 0) != 0) {
    throw Error(Errc::unsupported, "sandbox: Landlock: ", std::strerror(errno));
  }
  ::close(static_cast<int>(ruleset));
}

void filter_calls() {
  const std::unique_ptr<void, FreeFilter> filter(seccomp_init(SCMP_ACT_ERRNO(EPERM)));
  if (!filter) throw Error(Errc::unsupported, "sandbox: seccomp is not available");
  const auto done = [](int failed) {
    if (failed != 0) throw Error(Errc::unsupported, "sandbox: seccomp: ", std::strerror(-failed));
  };
  const auto rule = [&](uint32_t action, int call) {
    done(seccomp_rule_add(filter.get(), action, call, 0));
  };
  for (const int call : {SCMP_SYS(read),
                         SCMP_SYS(pread64),
                         SCMP_SYS(readv),
                         SCMP_SYS(write),
                         SCMP_SYS(writev),
                         SCMP_SYS(lseek),
                         SCMP_SYS(fstat),
                         SCMP_SYS(newfstatat),
                         SCMP_SYS(close),
                         SCMP_SYS(brk),
                         SCMP_SYS(mmap),
                         SCMP_SYS(mremap),
                         SCMP_SYS(munmap),
                         SCMP_SYS(mprotect),
                         SCMP_SYS(madvise),
                         SCMP_SYS(futex),
                         SCMP_SYS(sched_yield),
                         SCMP_SYS(sched_getaffinity),
                         SCMP_SYS(getrandom),
                         SCMP_SYS(clock_gettime),
                         SCMP_SYS(clock_nanosleep),
                         SCMP_SYS(gettimeofday),
                         SCMP_SYS(time),
                         SCMP_SYS(getpid),
                         SCMP_SYS(gettid),
                         SCMP_SYS(rt_sigaction),
                         SCMP_SYS(rt_sigprocmask),
                         SCMP_SYS(rt_sigreturn),
                         SCMP_SYS(restart_syscall),
                         SCMP_SYS(exit),
                         SCMP_SYS(exit_group),
                         SCMP_SYS(rseq),
                         SCMP_SYS(set_robust_list)}) {
    rule(SCMP_ACT_ALLOW, call);
  }
  // abort() sends its signal this way, to nobody else.
  done(seccomp_rule_add(filter.get(), SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                        SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(::getpid()))));
  for (const int call : {SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork),
                         SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(ptrace), SCMP_SYS(kill),
                         SCMP_SYS(process_vm_writev), SCMP_SYS(io_uring_setup)}) {
    rule(SCMP_ACT_KILL_PROCESS, call);
  }
  done(seccomp_load(filter.get()));
}
#endif

}  // namespace

void enter_sandbox(const SandboxLimits& limits, int highest_fd) {
  limit(RLIMIT_CPU, limits.cpu_s);
#ifdef CLEARED_SANITIZED
  (void)highest_fd;
#else
  ::syscall(SYS_close_range, static_cast<unsigned>(highest_fd) + 1, ~0u, 0);
  limit(RLIMIT_AS, limits.memory_bytes);
  limit(RLIMIT_FSIZE, limits.output_bytes);
  limit(RLIMIT_CORE, 0);
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    throw Error(Errc::unsupported, "sandbox: no_new_privs: ", std::strerror(errno));
  }
  deny_files();
  filter_calls();
#endif
}

}  // namespace cleared::curate
