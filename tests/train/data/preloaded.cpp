// What LD_PRELOAD can put between a program and its mathematics: half of every cosine.
#include <dlfcn.h>

extern "C" double cos(double x) noexcept {
  static const auto whole = reinterpret_cast<double (*)(double)>(::dlsym(RTLD_NEXT, "cos"));
  return whole(x) / 2;
}
