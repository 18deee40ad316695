// Event files that TensorBoard reads: scalars and images over steps. Sources: TensorFlow's
// event.proto and summary.proto (train/model/events.proto keeps their numbers) and its TFRecord
// framing with masked CRC-32C. One thread per writer. Losing a curve is not worth losing a run, so
// only the constructor throws.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "ledger/base/file.h"

namespace cleared::train {

class EventWriter {
 public:
  // Makes FOLDER/events.out.tfevents.SECONDS.HOST.PID. Error{io} or {permission}.
  explicit EventWriter(const std::filesystem::path& folder);

  void scalar(std::string_view tag, double value, int64_t step) noexcept;

  struct Image {
    std::string_view encoded;  // PNG, JPEG or GIF
    int width = 0;
    int height = 0;
  };
  void image(std::string_view tag, const Image& image, int64_t step) noexcept;

  // TensorBoard takes it for Markdown.
  void text(std::string_view tag, std::string_view text, int64_t step) noexcept;

  const std::filesystem::path& path() const { return path_; }

 private:
  void write(std::string_view message);
  std::filesystem::path path_;
  Fd fd_;
};

// One TFRecord: length, its masked CRC-32C, the bytes, theirs.
std::string tf_record(std::string_view message);

// CRC-32C (Castagnoli), RFC 3720 appendix B.4.
uint32_t crc32c(std::string_view bytes);

}  // namespace cleared::train
