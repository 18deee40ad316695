// Writes the ledger of full_world.h to a file, for tests in other languages.
#include <cstdio>
#include <filesystem>

#include "tests/ledger/full_world.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const cleared::ledger::FullWorld world;
  std::filesystem::copy_file(world.ledger, argv[1]);
  std::filesystem::copy_file(cleared::ledger::head_path(world.ledger),
                             cleared::ledger::head_path(argv[1]));
}
