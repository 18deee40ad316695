// Protected works (curate/protect.h) as the ledger knows them: which files have to lie beside it.
// What they show is curate's business. One thread.
#pragma once

#include <filesystem>
#include <set>
#include <string>

#include "ledger/store.h"

namespace cleared::ledger {

std::filesystem::path protected_folder(const std::filesystem::path& ledger);  // LEDGER.protected

// The first work on record whose file is not among `there`, digests in hex, in words with the two
// ways out; empty: all are.
std::string missing_work(const Store& store, const std::set<std::string>& there);
// The same, of the files that are there. Error{io} when one cannot be read.
std::string missing_work(const Store& store);

}  // namespace cleared::ledger
