// Which of a kernel's versions runs: tests and benchmarks try each of them. Not while another
// thread runs a kernel.
#pragma once

#include <string>
#include <vector>

namespace cleared::kernels {

std::vector<std::string> targets();          // that this processor can run, best first
void use_target(const std::string& target);  // one of targets(); "": the best
std::string target_in_use();

}  // namespace cleared::kernels
