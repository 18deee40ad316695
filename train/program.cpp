#include "ledger/digest.h"
#include "train/run_folder.h"
#include "train/version.h"

namespace cleared::train {

std::string program_digest() {
  return to_hex(digest_of_file("/proc/self/exe"));
}

}  // namespace cleared::train
