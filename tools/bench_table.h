// The table that `ledger bench` prints: each line a goal, what was measured, and a limit or peer
// that was measured in the same run. One thread.
#pragma once

#include <string>
#include <vector>

namespace cleared::tools {

struct Measured {
  std::string what = {};
  double value = 0;
  std::string unit = {};
  enum class Goal { none, at_least, at_most } goal = Goal::none;
  double wanted = 0;       // the goal, in `unit`
  double beside = 0;       // the limit or peer, in `unit`; 0: none
  std::string limit = {};  // what that is
};

class BenchTable {
 public:
  // `quiet`: nothing is printed but by finish(), as JSON.
  explicit BenchTable(bool quiet) : quiet_(quiet) {}

  void title(const std::string& text) const;
  void line(const Measured& m);
  void finish() const;

 private:
  bool quiet_;
  std::vector<Measured> rows_;
};

double monotonic_s();

// Seconds that `body` takes.
template <class Body>
double seconds_of(const Body& body) {
  const double began = monotonic_s();
  body();
  return monotonic_s() - began;
}

}  // namespace cleared::tools
