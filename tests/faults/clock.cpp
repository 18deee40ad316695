// Sets the clock of a program that it is loaded into (LD_PRELOAD) off by CLOCK_SHIFT_S seconds.
#include <cstdlib>
#include <ctime>

#include <sys/syscall.h>
#include <unistd.h>

extern "C" int clock_gettime(clockid_t clock, timespec* out) noexcept {
  const long result = ::syscall(SYS_clock_gettime, clock, out);
  const char* shift = std::getenv("CLOCK_SHIFT_S");
  if (result == 0 && clock == CLOCK_REALTIME && shift != nullptr) out->tv_sec += std::atol(shift);
  return static_cast<int>(result);
}
