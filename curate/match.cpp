#include "curate/match.h"

#include <algorithm>

#include "curate/facts.h"
#include "curate/fingerprint.h"
#include "ledger/store.h"

namespace cleared::curate {
namespace {

std::vector<std::filesystem::path> files_of(const std::vector<std::filesystem::path>& given) {
  std::vector<std::filesystem::path> out;
  for (const auto& path : given) {
    if (!std::filesystem::is_directory(path)) {
      out.push_back(path);
      continue;
    }
    for (const DeliveredFile& file : list_delivery(path)) {
      // A folder that cannot be read is tried, and so named.
      if (file.problem.empty() || std::filesystem::is_directory(file.file))
        out.push_back(file.file);
    }
  }
  return out;
}

}  // namespace

Matcher::Matcher(const MatchOptions& options, const Config& config)
    : options_(options), config_(config) {
  if (!options_.ledger.empty()) {
    const ledger::Store store(options_.ledger, ledger::Access::read);
    index_ = read_index(store);
    protected_ = std::make_unique<ProtectedWorks>(protected_works(store));
    ledger::Statement sources(store.db(), "SELECT seq, path FROM source ORDER BY seq");
    ledger::Statement licences(store.db(),
                               "SELECT l.licensor, l.ref FROM source_licence s JOIN licence l "
                               "ON l.seq = s.licence WHERE s.seq = ? ORDER BY l.ref");
    while (sources.next()) {
      Known& known = known_.emplace_back();
      known.name = printable(sources.text(1));
      licences.with(sources.integer(0));
      while (licences.next()) {
        known.licensor = licences.text(0);
        known.licences.push_back(licences.text(1));
      }
    }
  }
  if (!protected_) protected_ = std::make_unique<ProtectedWorks>(std::filesystem::path());
  for (const auto& file : files_of(options_.against)) {
    NamedFootage named = examine_file(file, config_.limits(), options_.worker).named;
    known_.push_back({.name = std::move(named.name), .licensor = {}, .licences = {}});
    index_.add(std::move(named.footage));
  }
}

std::vector<FoundFootage> Matcher::find(const std::filesystem::path& file) const {
  const Footage footage = examine_file(file, config_.limits(), options_.worker).named.footage;
  const Duplicates& rules = config_.duplicates();
  std::vector<FoundFootage> out;
  for (const Match& match : index_.answer(footage, rules)) {
    const Known& known = known_[match.of];
    out.push_back({.name = known.name,
                   .licensor = known.licensor,
                   .licences = known.licences,
                   .is_protected = false,
                   .match = match});
  }
  for (const ProtectedMatch& found : protected_->find(footage, rules)) {
    out.push_back({.name = found.name,
                   .licensor = {},
                   .licences = {},
                   .is_protected = true,
                   .match = found.match});
  }
  std::stable_sort(out.begin(), out.end(), [](const FoundFootage& a, const FoundFootage& b) {
    return a.match.end_us - a.match.start_us > b.match.end_us - b.match.start_us;
  });
  return out;
}

size_t Matcher::size() const {
  return index_.size() + protected_->size();
}

}  // namespace cleared::curate
