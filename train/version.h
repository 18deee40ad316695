// Which code this is, for checkpoints, receipts and bundles.
#pragma once

namespace cleared::train {

// "cleared VERSION COMMIT", and "-dirty" when files differ from the commit. Any thread.
const char* code_version() noexcept;

}  // namespace cleared::train
