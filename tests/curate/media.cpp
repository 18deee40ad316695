#include "tests/curate/media.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "curate/av.h"
#include "ledger/base/error.h"
#include "ledger/base/file.h"

namespace cleared::curate::testing {
namespace fs = std::filesystem;
namespace {

Frame to_frame(const Picture& picture, AVPixelFormat format) {
  const Scaler scaler(sws_getContext(picture.width, picture.height, AV_PIX_FMT_RGB24, picture.width,
                                     picture.height, format, SWS_BICUBIC, nullptr, nullptr,
                                     nullptr));
  Frame frame(av_frame_alloc());
  frame->width = picture.width;
  frame->height = picture.height;
  frame->format = format;
  av_check(av_frame_get_buffer(frame.get(), 0), "test media");
  const uint8_t* planes[4] = {picture.pixels.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {picture.width * 3, 0, 0, 0};
  sws_scale(scaler.get(), planes, strides, 0, picture.height, frame->data, frame->linesize);
  return frame;
}

class Writer {
 public:
  explicit Writer(const MediaOptions& options) : o_(options) {
    AVFormatContext* context = nullptr;
    av_check(avformat_alloc_output_context2(&context, nullptr, o_.container, nullptr),
             "test media");
    muxer_.reset(context);
    // Through a file: what muxers do to fill in sizes afterwards needs a real one.
    AVIOContext* file = nullptr;
    av_check(avio_open(&file, (folder_.path() / "media").c_str(), AVIO_FLAG_WRITE), "test media");
    file_.reset(file);
    muxer_->pb = file;
    if (o_.picture) video_ = add_stream(o_.codec, true);
    if (o_.sound) audio_ = add_stream("flac", false);
    av_check(avformat_write_header(muxer_.get(), nullptr), "test media");
  }

  std::string write() {
    const int frames = static_cast<int>(o_.scenes.size()) * o_.frames_per_scene;
    int ticks = o_.start_ticks;
    for (int i = 0; i < frames; ++i) {
      if (video_.codec) {
        const unsigned seed = o_.scenes[static_cast<size_t>(i / o_.frames_per_scene)];
        const int at = o_.first_frame + i % o_.frames_per_scene;
        const Picture picture = draw(seed, at, o_.width, o_.height);
        const Frame frame = to_frame(o_.mirrored ? mirrored(picture) : picture, o_.format);
        frame->pts = ticks;
        send(video_, frame.get());
      }
      ticks += o_.uneven && i % 3 == 2 ? 2 : 1;
      if (audio_.codec) send_noise(i);
    }
    for (Stream* stream : {&video_, &audio_}) {
      if (stream->codec) send(*stream, nullptr);
    }
    av_check(av_write_trailer(muxer_.get()), "test media");
    file_.reset();
    return read_file(folder_.path() / "media");
  }

 private:
  struct Stream {
    Codec codec;
    AVStream* stream = nullptr;
  };

  Stream add_stream(const char* name, bool picture) {
    const AVCodec* encoder = avcodec_find_encoder_by_name(name);
    if (encoder == nullptr) throw Error(Errc::unsupported, "no encoder ", name);
    Stream out{.codec = Codec(avcodec_alloc_context3(encoder)), .stream = nullptr};
    AVCodecContext& codec = *out.codec;
    if (picture) {
      codec.width = o_.width;
      codec.height = o_.height;
      codec.pix_fmt = o_.format;
      codec.time_base = {1, o_.fps};
      codec.framerate = {o_.fps, 1};
      codec.gop_size = 8;
      codec.bit_rate = 2'000'000;
    } else {
      codec.sample_rate = 16000;
      codec.sample_fmt = AV_SAMPLE_FMT_S16;
      codec.ch_layout = AV_CHANNEL_LAYOUT_MONO;
      codec.time_base = {1, 16000};
    }
    codec.thread_count = 1;
    av_opt_set(codec.priv_data, "x265-params", "log-level=none", 0);
    codec.strict_std_compliance = FF_COMPLIANCE_EXPERIMENTAL;
    if ((muxer_->oformat->flags & AVFMT_GLOBALHEADER) != 0)
      codec.flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_check(avcodec_open2(&codec, encoder, nullptr), "test media");
    out.stream = avformat_new_stream(muxer_.get(), nullptr);
    av_check(avcodec_parameters_from_context(out.stream->codecpar, &codec), "test media");
    out.stream->time_base = codec.time_base;
    out.stream->avg_frame_rate = codec.framerate;
    if (picture && o_.rotation != 0) {
      auto* matrix = reinterpret_cast<int32_t*>(
          av_stream_new_side_data(out.stream, AV_PKT_DATA_DISPLAYMATRIX, 9 * sizeof(int32_t)));
      av_display_rotation_set(matrix, -o_.rotation);
    }
    return out;
  }

  void send(Stream& stream, const AVFrame* frame) {
    av_check(avcodec_send_frame(stream.codec.get(), frame), "test media");
    const Packet packet(av_packet_alloc());
    while (avcodec_receive_packet(stream.codec.get(), packet.get()) >= 0) {
      packet->stream_index = stream.stream->index;
      av_packet_rescale_ts(packet.get(), stream.codec->time_base, stream.stream->time_base);
      av_check(av_interleaved_write_frame(muxer_.get(), packet.get()), "test media");
    }
  }

  // Tones that change every eighth of a second: music enough for Chromaprint.
  void send_noise(int block) {
    const int samples = 1000;
    Frame frame(av_frame_alloc());
    frame->nb_samples = samples;
    frame->format = AV_SAMPLE_FMT_S16;
    frame->sample_rate = 16000;
    frame->ch_layout = AV_CHANNEL_LAYOUT_MONO;
    av_check(av_frame_get_buffer(frame.get(), 0), "test media");
    auto* out = reinterpret_cast<int16_t*>(frame->data[0]);
    const unsigned tune = o_.sound_seed != 0 ? o_.sound_seed : o_.scenes.front();
    const unsigned note = (tune * 7919U + static_cast<unsigned>(block / 2)) * 2654435761U;
    const double hertz = 220 * std::pow(2, (note >> 8) % 29 / 12.0);
    for (int i = 0; i < samples; ++i) {
      out[i] = static_cast<int16_t>(
          8000 * std::sin(2 * 3.14159265 * hertz * (block * samples + i) / 16000));
    }
    frame->pts = int64_t{block} * samples;
    send(audio_, frame.get());
  }

  const MediaOptions& o_;
  const TemporaryFolder folder_;
  Handle<AVIOContext, avio_closep> file_;
  Muxer muxer_;
  Stream video_, audio_;
};

}  // namespace

Picture draw(unsigned seed, int frame, int width, int height) {
  Picture out{.width = width, .height = height, .channels = 3, .pixels = {}};
  const double a = 2 + seed * 7 % 5, b = 3 + seed * 11 % 7, c = seed * 2.399;
  const double t = frame * 0.05;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double u = double(x) / width, v = double(y) / height;
      const double wave =
          std::sin(6.28 * (a * u + t) + c) * std::cos(6.28 * b * v - c) +
          std::sin(6.28 * (b * u - a * v) + 2 * t + c * c) +
          std::cos(6.28 * 4 *
                   ((u - 0.5 - 0.3 * std::sin(t + c)) * (u - 0.5) + (v - 0.5) * (v - 0.5) * a));
      // Blocks of their own shade, as different as chance makes them: waves alone leave most
      // coefficients of a fingerprint near zero, where noise decides.
      const auto column = static_cast<uint32_t>((u + t / 8) * 14);
      const auto row = static_cast<uint32_t>((v + t / 11) * 12);
      const uint32_t shade = (seed * 7919U + column * 2654435761U + row * 40503U) * 2246822519U;
      const double level = 128 + 36 * wave + (shade >> 24) * 0.2 - 25;
      for (const double tint : {1.0, 0.9, 0.75}) {
        out.pixels.push_back(
            static_cast<uint8_t>(std::lround(std::fmin(255, std::fmax(0, level * tint)))));
      }
    }
  }
  return out;
}

Picture mirrored(const Picture& in) {
  Picture out = in;
  const auto depth = static_cast<size_t>(in.channels), width = static_cast<size_t>(in.width);
  for (size_t i = 0; i < in.pixels.size() / depth; ++i) {
    const size_t from = i / width * width + width - 1 - i % width;
    std::copy_n(&in.pixels[depth * from], depth, &out.pixels[depth * i]);
  }
  return out;
}

Picture axes_swapped(const Picture& in) {
  Picture out = in;
  std::swap(out.width, out.height);
  const auto depth = static_cast<size_t>(in.channels), width = static_cast<size_t>(in.width);
  for (size_t i = 0; i < in.pixels.size() / depth; ++i) {
    const size_t to = i % width * static_cast<size_t>(in.height) + i / width;
    std::copy_n(&in.pixels[depth * i], depth, &out.pixels[depth * to]);
  }
  return out;
}

std::string make_media(const MediaOptions& options) {
  av_quiet();
  return Writer(options).write();
}

fs::path footage(const std::string& name) {
  const char* folder = std::getenv("CLEARED_FOOTAGE");
  const fs::path root =
      folder != nullptr ? fs::path(folder) : fs::path(CLEARED_ROOT) / "try/delivery";
  if (!fs::is_directory(root)) return {};
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.path().filename() == name) return entry.path();
  }
  return {};
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (fs::temp_directory_path() / "cleared-curate-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw Error(Errc::io, "make a folder like ", name);
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace cleared::curate::testing
