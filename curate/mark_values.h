// The words of the vocabularies that marks are written in, and what each means here. Pure.
#pragma once

#include <string_view>

#include "ledger/marks.h"

namespace cleared::curate {

// `use` of an entry of c2pa.training-mining: C2PA 1.4 section 18.15, CAWG training and data mining
// 1.1. Under "constrained" nobody can check the constraint here: no.
ledger::MarkSays says_of_training_use(std::string_view use);

// plus:DataMining, http://ns.useplus.org/LDF/ldf-XMPSpecification, with or without its URI.
ledger::MarkSays says_of_data_mining(std::string_view value);

// http://cv.iptc.org/newscodes/digitalsourcetype/ of 2024-10-23 and C2PA's two additions.
ledger::MarkSays says_of_source_type(std::string_view value);

// tdm-reservation: https://www.w3.org/community/reports/tdmrep/CG-FINAL-tdmrep-20240510/.
ledger::MarkSays says_of_reservation(std::string_view value);

// What a token of RSL's usage vocabulary (https://rslstandard.org/rsl) covers.
enum class RslUsage { training, other, unknown };
RslUsage rsl_usage(std::string_view token);

}  // namespace cleared::curate
