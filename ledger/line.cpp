#include "ledger/line.h"

namespace cleared::ledger {

std::string missing_in_line(const Database& db, uint64_t checkpoint, uint64_t before) {
  Statement unknown(db, std::string(kLine) +
                            "SELECT o.digest FROM line l JOIN origin o ON o.seq = l.seq "
                            "WHERE o.digest NOT IN (SELECT digest FROM checkpoint WHERE seq < ?2) "
                            "ORDER BY l.seq");
  if (unknown.with(checkpoint, before).next()) {
    return "nothing on record says what weights " + unknown.text(0) +
           ", which these came from, consumed: append the bundles of their run";
  }
  Statement gap(db,
                std::string(kLine) +
                    "SELECT r.name, t.first_step FROM line l JOIN checkpoint k ON k.seq = l.seq "
                    "JOIN receipt t ON t.seq = k.receipt JOIN run r ON r.seq = k.run "
                    "LEFT JOIN checkpoint b ON b.digest = k.parent AND b.step = t.first_step "
                    "AND b.seq < ?2 "
                    "WHERE b.seq IS NULL AND (k.parent != '' OR t.first_step > 0) "
                    "ORDER BY l.seq");
  if (!gap.with(checkpoint, before).next()) return "";
  return "nothing on record says what the weights that run " + gap.text(0) +
         " went on from at step " + gap.text(1) + " consumed before";
}

}  // namespace cleared::ledger
