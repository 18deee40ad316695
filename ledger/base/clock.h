// Wall-clock time as microseconds since 1970-01-01T00:00:00Z, and its text forms. Pure but
// now_us().
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cleared {

uint64_t now_us();

constexpr uint64_t kHourUs = 3'600'000'000;

// How far clocks of two machines may be apart where one judges what the other dated.
constexpr uint64_t kClockSkewUs = 300'000'000;

// "2026-01-31T23:59:59Z"; parts of a second are cut off.
std::string format_time(uint64_t us);
std::optional<uint64_t> parse_time(std::string_view text);

// "2026-01-31", UTC. As text such dates sort by time.
std::string date_of(uint64_t us);
// A day that exists, in exactly that form.
bool is_date(std::string_view text);

// How long: "12.34 s", "3600.00 s".
std::string format_seconds(uint64_t us);

}  // namespace cleared
