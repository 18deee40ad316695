#include "kernels/targets.h"

#include <hwy/highway.h>

namespace cleared::kernels {
namespace {

std::vector<int64_t> bits() {
  hwy::SetSupportedTargetsForTest(0);
  std::vector<int64_t> found;
  const int64_t all = hwy::SupportedTargets();
  for (int64_t bit = 1; bit > 0 && bit <= HWY_TARGETS; bit <<= 1) {
    if ((all & HWY_TARGETS & bit) != 0) found.push_back(bit);
  }
  return found;
}

void choose(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

std::string& chosen() {
  static std::string name;
  return name;
}

}  // namespace

std::vector<std::string> targets() {
  std::vector<std::string> names;
  for (const int64_t bit : bits()) names.emplace_back(hwy::TargetName(bit));
  use_target(chosen());
  return names;
}

void use_target(const std::string& target) {
  for (const int64_t bit : bits()) {
    if (target.empty() || target == hwy::TargetName(bit)) {
      choose(target.empty() ? 0 : bit);
      chosen() = target;
      return;
    }
  }
}

std::string target_in_use() {
  return chosen().empty() ? targets().front() : chosen();
}

}  // namespace cleared::kernels
