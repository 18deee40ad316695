// What verifying has found so far. Any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "ledger/base/error.h"
#include "ledger/verify.h"

namespace cleared::ledger {

inline std::string record_name(uint64_t seq) {
  return "record " + std::to_string(seq);
}
inline std::string record_name(int64_t seq) {
  return "record " + std::to_string(seq);
}

class Findings {
 public:
  void add(std::string where, std::string what) {
    const std::lock_guard lock(mutex_);
    if (list_.size() < kMost) list_.push_back({std::move(where), std::move(what)});
  }
  // A record that was changed or fits no more: no word about its rows.
  void doubt(uint64_t seq) {
    const std::lock_guard lock(mutex_);
    doubted_.insert(seq);
  }
  bool is_doubted(int64_t seq) const {
    const std::lock_guard lock(mutex_);
    return seq >= 0 && doubted_.contains(static_cast<uint64_t>(seq));
  }
  bool any_doubt() const {
    const std::lock_guard lock(mutex_);
    return !doubted_.empty();
  }
  size_t count() const {
    const std::lock_guard lock(mutex_);
    return list_.size();
  }
  // Damage that SQLite or a parser notices ends a step, not the verification.
  template <class Step>
  void guarded(const std::string& where, const Step& step) {
    try {
      step();
    } catch (const Error& error) {
      if (error.code() == Errc::busy) throw;  // says nothing about the file
      add(where, error.what());
    }
  }
  std::vector<Finding> take() { return std::move(list_); }

 private:
  static constexpr size_t kMost = 1000;
  mutable std::mutex mutex_;
  std::vector<Finding> list_;
  std::set<uint64_t> doubted_;
};

}  // namespace cleared::ledger
