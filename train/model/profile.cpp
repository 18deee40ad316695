#include "train/model/profile.h"

#include <set>

#include <torch/csrc/autograd/profiler_kineto.h>

#include "ledger/base/error.h"

namespace cleared::train {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

std::set<ActivityType> activities() {
#ifdef CLEARED_CUDA
  return {ActivityType::CPU, ActivityType::CUDA};
#else
  return {ActivityType::CPU};
#endif
}

}  // namespace

Profile::Profile() {
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  profiler::prepareProfiler(config, activities());
  profiler::enableProfiler(config, activities(), {at::RecordScope::FUNCTION});
}

Profile::~Profile() {
  if (running_) profiler::disableProfiler();
}

void Profile::save(const std::filesystem::path& path) {
  running_ = false;
  const auto result = profiler::disableProfiler();
  result->save(path.string());
  if (!std::filesystem::exists(path)) {
    throw Error(Errc::io, "trace ", path.string(), ": could not be written");
  }
}

}  // namespace cleared::train
