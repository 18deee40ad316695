#include "train/model/events.h"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "ledger/base/error.h"
#include "ledger/base/log.h"
#include "train/model/events.pb.h"

namespace cleared::train {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

template <class Integer>
std::string little_endian(Integer value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> (8 * i));
  return bytes;
}

// TFRecord masks checksums, because a checksum of bytes that hold checksums is a weak one.
uint32_t masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Event new_event(int64_t step) {
  Event event;
  event.set_wall_time(now_seconds());
  event.set_step(step);
  return event;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFFu;
  for (const char c : bytes) {
    crc = kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF] ^ (crc >> 8);
  }
  return ~crc;
}

std::string tf_record(std::string_view message) {
  const std::string size = little_endian(uint64_t{message.size()});
  std::string record = size + little_endian(masked_crc(size));
  record += message;
  return record + little_endian(masked_crc(message));
}

EventWriter::EventWriter(const std::filesystem::path& folder) {
  make_folders(folder);
  char host[256] = "host";
  ::gethostname(host, sizeof host - 1);
  path_ = folder / ("events.out.tfevents." + std::to_string(static_cast<int64_t>(now_seconds())) +
                    "." + host + "." + std::to_string(::getpid()));
  fd_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!fd_) {
    throw Error(errno == EACCES ? Errc::permission : Errc::io, "write ", path_.string(), ": ",
                std::generic_category().message(errno));
  }
  Event event = new_event(0);
  event.set_file_version("brain.Event:2");
  try {
    write_all(fd_.get(), tf_record(event.SerializeAsString()), path_.string());
  } catch (const Error&) {
    ::unlink(path_.c_str());  // a full disk: no empty file for each try
    throw;
  }
}

void EventWriter::scalar(std::string_view tag, double value, int64_t step) noexcept try {
  Event event = new_event(step);
  EventSummary::Value* entry = event.mutable_summary()->add_value();
  entry->set_tag(tag.data(), tag.size());
  entry->set_simple_value(static_cast<float>(value));
  write(event.SerializeAsString());
} catch (const std::exception& error) {
  log(Level::warn, "train.events", {{"lost", error.what()}});
}

void EventWriter::image(std::string_view tag, const Image& image, int64_t step) noexcept try {
  Event event = new_event(step);
  EventSummary::Value* entry = event.mutable_summary()->add_value();
  entry->set_tag(tag.data(), tag.size());
  EventSummary::Image* out = entry->mutable_image();
  out->set_height(image.height);
  out->set_width(image.width);
  out->set_colorspace(3);
  out->set_encoded_image_string(image.encoded.data(), image.encoded.size());
  write(event.SerializeAsString());
} catch (const std::exception& error) {
  log(Level::warn, "train.events", {{"lost", error.what()}});
}

void EventWriter::text(std::string_view tag, std::string_view text, int64_t step) noexcept try {
  constexpr int kString = 7, kTensorClass = 2;
  Event event = new_event(step);
  EventSummary::Value* entry = event.mutable_summary()->add_value();
  entry->set_tag(tag.data(), tag.size());
  entry->mutable_metadata()->mutable_plugin_data()->set_plugin_name("text");
  entry->mutable_metadata()->set_data_class(kTensorClass);
  entry->mutable_tensor()->set_dtype(kString);
  entry->mutable_tensor()->mutable_tensor_shape();
  entry->mutable_tensor()->add_string_val(text.data(), text.size());
  write(event.SerializeAsString());
} catch (const std::exception& error) {
  log(Level::warn, "train.events", {{"lost", error.what()}});
}

// One write call a record, so that a reader that follows the file seldom sees half of one.
void EventWriter::write(std::string_view message) {
  write_all(fd_.get(), tf_record(message), path_.string());
}

}  // namespace cleared::train
