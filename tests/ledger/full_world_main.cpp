// Writes the ledger of full_world.h to FILE, for tests in other languages; or one whose shard
// nobody has approved, with the key of its log beside it and that of an approver at KEY.key.
//
//   full_world FILE [KEY]
#include <cstdio>
#include <filesystem>

#include "ledger/key.h"
#include "tests/ledger/full_world.h"

namespace {
using namespace cleared::ledger;

void copy_ledger(const World& world, const std::filesystem::path& file) {
  std::filesystem::copy_file(world.ledger, file);
  std::filesystem::copy_file(head_path(world.ledger), head_path(file));
}

void write_unapproved(const std::filesystem::path& file, const std::filesystem::path& key) {
  World world;
  world.add_licence(full_licence_text());
  world.append(world.footage());
  Store(world.ledger, Access::append).sign_head(world.log);
  copy_ledger(world, file);
  write_key_pair(file, "log", world.log);
  write_key_pair(key, "approver", world.approver);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3) {
    write_unapproved(argv[1], argv[2]);
  } else if (argc == 2) {
    copy_ledger(FullWorld(), argv[1]);
  } else {
    return 2;
  }
}
