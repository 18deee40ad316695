#include "curate/encode.h"

#include <algorithm>
#include <cstring>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

// The growing file. The muxer seeks back to fill in sizes.
struct Output {
  std::string bytes;
  size_t position = 0;

  static int write(void* opaque, uint8_t* data, int size) {
    auto& out = *static_cast<Output*>(opaque);
    const auto n = static_cast<size_t>(size);
    out.bytes.resize(std::max(out.bytes.size(), out.position + n));
    std::memcpy(out.bytes.data() + out.position, data, n);
    out.position += n;
    return size;
  }
  static int64_t seek(void* opaque, int64_t offset, int whence) {
    auto& out = *static_cast<Output*>(opaque);
    if ((whence & AVSEEK_SIZE) != 0) return static_cast<int64_t>(out.bytes.size());
    if (whence == SEEK_CUR) offset += static_cast<int64_t>(out.position);
    if (whence == SEEK_END) offset += static_cast<int64_t>(out.bytes.size());
    if (offset < 0) return AVERROR(EINVAL);
    out.position = static_cast<size_t>(offset);
    return offset;
  }
};

Codec open_encoder(int width, int height, const EncodeOptions& options) {
  av_quiet();
  const bool av1 = options.codec == VideoCodec::av1;
  const char* name = av1 ? "libaom-av1" : "libvpx-vp9";
  const AVCodec* encoder = avcodec_find_encoder_by_name(name);
  if (encoder == nullptr) throw Error(Errc::unsupported, "this FFmpeg has no ", name, " encoder");
  Codec codec(avcodec_alloc_context3(encoder));
  if (!codec) throw Error(Errc::io, "open the encoder: out of memory");
  codec->width = width;
  codec->height = height;
  codec->pix_fmt = AV_PIX_FMT_YUV420P;
  codec->color_range = AVCOL_RANGE_MPEG;
  codec->colorspace = AVCOL_SPC_SMPTE170M;
  codec->time_base = {1, options.fps};
  codec->framerate = {options.fps, 1};
  codec->gop_size = 1000;
  codec->thread_count = 1;
  codec->bit_rate = 0;
  codec->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_GLOBAL_HEADER;
  av_opt_set_int(codec->priv_data, "crf", options.quality, 0);
  av_opt_set(codec->priv_data, av1 ? "usage" : "deadline", "good", 0);
  av_opt_set_int(codec->priv_data, "cpu-used", av1 ? 4 : 2, 0);
  av_opt_set_int(codec->priv_data, "row-mt", 0, 0);
  av_check(avcodec_open2(codec.get(), encoder, nullptr), "open the encoder");
  return codec;
}

// RGB to 4:2:0, ITU-R BT.601: what the encoder is told it gets.
Frame to_yuv(const Picture& picture, Scaler& scaler, bool full_range = false) {
  scaler.reset(sws_getCachedContext(
      scaler.release(), picture.width, picture.height, AV_PIX_FMT_RGB24, picture.width,
      picture.height, AV_PIX_FMT_YUV420P, SWS_BICUBIC | SWS_ACCURATE_RND | SWS_BITEXACT, nullptr,
      nullptr, nullptr));
  if (!scaler) throw Error(Errc::io, "convert a frame: out of memory");
  const int* bt601 = sws_getCoefficients(SWS_CS_ITU601);
  sws_setColorspaceDetails(scaler.get(), bt601, 1, bt601, full_range ? 1 : 0, 0, 1 << 16, 1 << 16);
  Frame frame(av_frame_alloc());
  if (!frame) throw Error(Errc::io, "convert a frame: out of memory");
  frame->width = picture.width;
  frame->height = picture.height;
  frame->format = AV_PIX_FMT_YUV420P;
  av_check(av_frame_get_buffer(frame.get(), 0), "convert a frame");
  const uint8_t* planes[4] = {picture.pixels.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {picture.width * 3, 0, 0, 0};
  av_check(
      sws_scale(scaler.get(), planes, strides, 0, picture.height, frame->data, frame->linesize),
      "convert a frame");
  return frame;
}

}  // namespace

std::string encode_webm(const std::vector<Picture>& frames, const EncodeOptions& options) {
  if (frames.empty()) throw Error(Errc::usage, "encode: no frames");
  const int width = frames.front().width, height = frames.front().height;
  for (const Picture& frame : frames) {
    if (frame.width != width || frame.height != height || frame.channels != 3 || width % 2 != 0 ||
        height % 2 != 0) {
      throw Error(Errc::usage, "encode: frames are not RGB of one even size");
    }
  }
  const Codec codec = open_encoder(width, height, options);

  Output output;
  constexpr int kBuffer = 32 << 10;
  const Io io(avio_alloc_context(static_cast<uint8_t*>(av_malloc(kBuffer)), kBuffer, 1, &output,
                                 nullptr, Output::write, Output::seek));
  AVFormatContext* context = nullptr;
  av_check(avformat_alloc_output_context2(&context, nullptr, "webm", nullptr), "write a WebM file");
  const Muxer muxer(context);
  if (!io) throw Error(Errc::io, "write a WebM file: out of memory");
  muxer->pb = io.get();
  muxer->flags |= AVFMT_FLAG_BITEXACT | AVFMT_FLAG_CUSTOM_IO;
  AVStream* stream = avformat_new_stream(muxer.get(), nullptr);
  if (stream == nullptr) throw Error(Errc::io, "write a WebM file: out of memory");
  av_check(avcodec_parameters_from_context(stream->codecpar, codec.get()), "write a WebM file");
  stream->time_base = codec->time_base;
  stream->avg_frame_rate = codec->framerate;
  av_check(avformat_write_header(muxer.get(), nullptr), "write a WebM file");

  const Packet packet(av_packet_alloc());
  if (!packet) throw Error(Errc::io, "write a WebM file: out of memory");
  const auto take_packets = [&] {
    for (;;) {
      const int got = avcodec_receive_packet(codec.get(), packet.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return;
      av_check(got, "encode a frame");
      packet->stream_index = 0;
      packet->duration = 1;
      av_packet_rescale_ts(packet.get(), codec->time_base, stream->time_base);
      av_check(av_interleaved_write_frame(muxer.get(), packet.get()), "write a WebM file");
    }
  };
  Scaler scaler;
  for (size_t i = 0; i < frames.size(); ++i) {
    const Frame frame = to_yuv(frames[i], scaler);
    frame->pts = static_cast<int64_t>(i);
    av_check(avcodec_send_frame(codec.get(), frame.get()), "encode a frame");
    take_packets();
  }
  av_check(avcodec_send_frame(codec.get(), nullptr), "encode a frame");
  take_packets();
  av_check(av_write_trailer(muxer.get()), "write a WebM file");
  avio_flush(io.get());
  return std::move(output.bytes);
}

std::string encode_jpeg(const Picture& picture) {
  av_quiet();
  const AVCodec* mjpeg = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
  if (mjpeg == nullptr) throw Error(Errc::unsupported, "this FFmpeg has no JPEG encoder");
  const Codec codec(avcodec_alloc_context3(mjpeg));
  const Packet packet(av_packet_alloc());
  if (!codec || !packet) throw Error(Errc::io, "encode a picture: out of memory");
  codec->width = picture.width;
  codec->height = picture.height;
  codec->pix_fmt = AV_PIX_FMT_YUVJ420P;
  codec->time_base = {1, 1};
  codec->thread_count = 1;
  codec->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_QSCALE;
  codec->global_quality = 6 * FF_QP2LAMBDA;
  av_check(avcodec_open2(codec.get(), mjpeg, nullptr), "open the encoder");
  Scaler scaler;
  const Frame frame = to_yuv(picture, scaler, true);
  frame->format = AV_PIX_FMT_YUVJ420P;
  frame->quality = codec->global_quality;
  av_check(avcodec_send_frame(codec.get(), frame.get()), "encode a picture");
  av_check(avcodec_send_frame(codec.get(), nullptr), "encode a picture");
  av_check(avcodec_receive_packet(codec.get(), packet.get()), "encode a picture");
  return {reinterpret_cast<const char*>(packet->data), static_cast<size_t>(packet->size)};
}

}  // namespace cleared::curate
