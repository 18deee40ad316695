// Where one shot ends and the next begins, from the measures of curate/decode.h. Hard cuts only: a
// dissolve stays inside one shot. Pure; any thread.
#pragma once

#include <cstddef>
#include <vector>

namespace cleared::curate {

class Analysis;

struct Shot {
  size_t first = 0, end = 0;  // frames [first, end)
};

// Together the shots are all frames, in order.
//
// A cut needs three witnesses: luma changes much more than around it (the adaptive test of
// PySceneDetect), its histogram moves, and the fingerprint turns into another one and stays so: a
// flash or a lost frame comes back. A gap of time in the container is a cut too.
std::vector<Shot> find_shots(const Analysis& analysis);

}  // namespace cleared::curate
