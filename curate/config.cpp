#include "curate/config.h"

#include <algorithm>
#include <set>
#include <string>

#include "curate/config.pb.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"
#include "ledger/textproto.h"

namespace cleared::curate {
namespace {

struct Where {
  std::string name, text;
  // The file, and where the field is in it, as far as it is there.
  std::string of(const char* field) const {
    const std::string place = ledger::place_of(text, Config(), field);
    return place.empty() ? name : name + ":" + place;
  }
};

void within(const Where& where, const char* field, double value, double low, double high) {
  if (value >= low && value <= high) return;  // never what is no number
  throw Error(Errc::config, where.of(field), ": ", field, " is ", value, ", and goes from ", low,
              " to ", high);
}

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

void check_lengths(const Where& where, const Clips& clips) {
  uint32_t before = clips.frames();
  for (const uint32_t frames : clips.longer()) {
    within(where, "clips.longer", frames, before + 1, 1000);
    before = frames;
  }
}

void check_buckets(const Where& where, const Shards& shards) {
  std::set<std::string> names;
  for (const Bucket& bucket : shards.bucket()) {
    within(where, "shards.bucket.width", bucket.width(), 16, 4096);
    within(where, "shards.bucket.height", bucket.height(), 16, 4096);
    if (bucket.width() % 2 != 0 || bucket.height() % 2 != 0) {
      throw Error(Errc::config, where.of("shards.bucket"),
                  ": shards.bucket.width and .height have to be even");
    }
    if (!is_name(bucket.name()) || !names.insert(bucket.name()).second) {
      throw Error(Errc::config, where.of("shards.bucket"), ": shards.bucket.name \"", bucket.name(),
                  "\" is not 1 to 64 of a-z, 0-9 and -, or there twice");
    }
  }
}

}  // namespace

Config read_config(const std::filesystem::path& path) {
  Config config;
  const Where where{path.empty() ? "defaults" : path.string(),
                    path.empty() ? "" : read_file(path, 1 << 20)};
  ledger::parse_textproto(where.text, where.name, config, Errc::config);
  within(where, "clips.frames", config.clips().frames(), 1, 1000);
  within(where, "clips.fps", config.clips().fps(), 1, 120);
  const Quality& quality = config.quality();
  within(where, "quality.black_luma", quality.black_luma(), 0, 255);
  within(where, "quality.frozen_motion", quality.frozen_motion(), 0, 255);
  within(where, "quality.blurred_sharpness", quality.blurred_sharpness(), 0, 1e6);
  within(where, "duplicates.max_distance", config.duplicates().max_distance(), 0, 31);
  within(where, "duplicates.max_distance_with_sound", config.duplicates().max_distance_with_sound(),
         0, 31);
  within(where, "duplicates.min_run_ms", config.duplicates().min_run_ms(), 100, 3'600'000);
  within(where, "duplicates.min_sound_ms", config.duplicates().min_sound_ms(), 3000, 3'600'000);
  const Shards& shards = config.shards();
  within(where, "shards.width", shards.width(), 16, 4096);
  within(where, "shards.height", shards.height(), 16, 4096);
  within(where, "shards.samples_per_shard", shards.samples_per_shard(), 1, 100'000);
  within(where, "shards.quality", shards.quality(), 0, 63);
  for (const auto& [name, pixels] :
       {std::pair{"shards.width", shards.width()}, std::pair{"shards.height", shards.height()}}) {
    if (pixels % 2 != 0) throw Error(Errc::config, where.of(name), ": ", name, " has to be even");
  }
  if (!is_name(shards.name())) {
    throw Error(Errc::config, where.of("shards.name"), ": shards.name \"", shards.name(),
                "\" is not 1 to 64 of a-z, 0-9 and -");
  }
  check_lengths(where, config.clips());
  check_buckets(where, shards);
  const Limits& limits = config.limits();
  within(where, "limits.memory_mb", limits.memory_mb(), 256, 1 << 20);
  within(where, "limits.cpu_s", limits.cpu_s(), 1, 1e6);
  within(where, "limits.wall_s", limits.wall_s(), 1, 1e6);
  within(where, "limits.max_pixels", double(limits.max_pixels()), 1, 1e10);
  within(where, "limits.max_pixel_frames", double(limits.max_pixel_frames()), 1, 1e18);
  return config;
}

}  // namespace cleared::curate
