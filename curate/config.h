// The config of a curation, read and checked: configs/*.textproto, schema curate/config.proto.
#pragma once

#include <filesystem>

namespace cleared::curate {

class Config;

// Error{config} with line and column, or naming the field that makes no sense. No path: defaults.
Config read_config(const std::filesystem::path& path);

}  // namespace cleared::curate
