#include "curate/reader.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>

#include <sys/stat.h>
#include <unistd.h>

#include "ledger/base/error.h"

namespace cleared::curate {
namespace {

constexpr const char* kContainers =
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpeg,mpegvideo,mpegts,avi,ogg,mxf,flv,ivf";
constexpr const char* kCodecs =
    "h264,hevc,libdav1d,libaom-av1,av1,vp8,vp9,mpeg1video,mpeg2video,mpeg4,prores,dnxhd,ffv1,mjpeg,"
    "theora,flv,h263,rawvideo,"
    "aac,mp1,mp1float,mp2,mp2float,mp3,mp3float,ac3,eac3,opus,vorbis,flac,alac,"
    "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_f32le,pcm_u8,pcm_mulaw,pcm_alaw,amrnb";
constexpr int kInputBuffer = 64 << 10;
constexpr AVRational kMicroseconds = {1, 1'000'000};

// An entry of a comma-separated list?
bool listed(std::string_view list, std::string_view name) {
  for (size_t at = 0; at <= list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    if (list.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

int refuse_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EACCES);
}

// hh:mm:ss:ff of the first frame, where the container or one of its streams has it; else nothing.
std::string timecode_of(const AVFormatContext& demuxer) {
  const AVDictionaryEntry* found = av_dict_get(demuxer.metadata, "timecode", nullptr, 0);
  for (unsigned i = 0; i < demuxer.nb_streams && found == nullptr; ++i) {
    found = av_dict_get(demuxer.streams[i]->metadata, "timecode", nullptr, 0);
  }
  const std::string_view text = found == nullptr ? "" : found->value;
  const bool plain = text.size() <= 16 && text.find_first_not_of("0123456789:;.") == text.npos;
  return plain ? std::string(text) : "";
}

std::string seconds(uint64_t us) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f s", double(us) / 1e6);
  return text;
}

}  // namespace

Reader::Reader(int fd, const ReaderLimits& limits) : limits_(limits) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) throw Error(Errc::io, "read the source: ", std::strerror(errno));
  input_ = {.fd = fd, .bytes = {}, .position = 0, .size = info.st_size};
  open();
}

Reader::Reader(std::string_view bytes, const ReaderLimits& limits) : limits_(limits) {
  input_ = {.fd = -1, .bytes = bytes, .position = 0, .size = static_cast<int64_t>(bytes.size())};
  open();
}

int Reader::read_input(void* opaque, uint8_t* out, int size) {
  auto& input = *static_cast<Input*>(opaque);
  ssize_t n = 0;
  if (input.fd >= 0) {
    do {
      n = ::pread(input.fd, out, static_cast<size_t>(size), input.position);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return AVERROR(errno);
  } else {
    n = static_cast<ssize_t>(std::min<int64_t>(size, input.size - input.position));
    if (n > 0) std::memcpy(out, input.bytes.data() + input.position, static_cast<size_t>(n));
  }
  input.position += std::max<ssize_t>(n, 0);
  return n > 0 ? static_cast<int>(n) : AVERROR_EOF;
}

int64_t Reader::seek_input(void* opaque, int64_t offset, int whence) {
  auto& input = *static_cast<Input*>(opaque);
  whence &= ~AVSEEK_FORCE;
  if (whence == AVSEEK_SIZE) return input.size;
  if (whence == SEEK_CUR) offset += input.position;
  if (whence == SEEK_END) offset += input.size;
  if (offset < 0 || offset > input.size) return AVERROR(EINVAL);
  return input.position = offset;
}

void Reader::open() {
  av_quiet();
  if (input_.size == 0) throw Error(Errc::corrupt, "the file is empty: deliver it again");
  auto* buffer = static_cast<uint8_t*>(av_malloc(kInputBuffer));
  io_.reset(avio_alloc_context(buffer, kInputBuffer, 0, &input_, read_input, nullptr, seek_input));
  if (!io_) throw Error(Errc::io, "read the source: out of memory");

  // An AVFormatContext that fails to open frees itself, so it gets its owner afterwards.
  AVFormatContext* context = avformat_alloc_context();
  if (context == nullptr) throw Error(Errc::io, "read the source: out of memory");
  context->pb = io_.get();
  context->io_open = refuse_open;
  context->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  context->format_whitelist = av_strdup(kContainers);
  context->codec_whitelist = av_strdup(kCodecs);
  context->protocol_whitelist = av_strdup("none");
  const int opened = avformat_open_input(&context, "", nullptr, nullptr);
  if (opened == AVERROR_INVALIDDATA) throw Error(Errc::corrupt, "not a video file");
  if (opened == AVERROR(EINVAL)) {
    throw Error(Errc::unsupported,
                "not a container that we open: deliver MP4, MOV, Matroska, WebM, "
                "MPEG, AVI, Ogg or MXF");
  }
  av_check(opened, "read the container");
  demuxer_.reset(context);
  av_check(avformat_find_stream_info(context, nullptr), "read the container");

  video_index_ = av_find_best_stream(context, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (video_index_ >= 0 &&
      (context->streams[video_index_]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
    video_index_ = -1;  // the cover of an album
  }
  if (video_index_ < 0) throw Error(Errc::not_found, "no moving pictures in it");
  video_ = open_codec(*context->streams[video_index_]);
  audio_index_ = av_find_best_stream(context, AVMEDIA_TYPE_AUDIO, -1, video_index_, nullptr, 0);
}

Codec Reader::open_codec(const AVStream& stream) const {
  const AVCodec* decoder = avcodec_find_decoder(stream.codecpar->codec_id);
  if (decoder == nullptr || !listed(kCodecs, decoder->name)) {
    throw Error(Errc::unsupported, "codec ", avcodec_get_name(stream.codecpar->codec_id),
                " is not one that we open: deliver another encoding");
  }
  const auto& shape = *stream.codecpar;
  if (static_cast<uint64_t>(std::max(shape.width, 0)) *
          static_cast<uint64_t>(std::max(shape.height, 0)) >
      limits_.max_pixels) {
    throw Error(Errc::unsupported, "frames of ", shape.width, " x ", shape.height,
                " are over the limit of ", limits_.max_pixels, " pixels: raise limits.max_pixels");
  }
  Codec codec(avcodec_alloc_context3(decoder));
  if (!codec) throw Error(Errc::io, "open the decoder: out of memory");
  av_check(avcodec_parameters_to_context(codec.get(), stream.codecpar), "open the decoder");
  codec->pkt_timebase = stream.time_base;
  codec->thread_count = 1;
  codec->flags |= AV_CODEC_FLAG_BITEXACT;
  codec->max_pixels = static_cast<int64_t>(limits_.max_pixels);
  av_check(avcodec_open2(codec.get(), decoder, nullptr), "open the decoder");
  return codec;
}

std::string Reader::read(const ReaderSinks& sinks) {
  AVFormatContext& demuxer = *demuxer_;
  AVStream& stream = *demuxer.streams[video_index_];
  std::string audio_problem;
  if (sinks.audio && audio_index_ >= 0) {
    try {
      audio_ = open_codec(*demuxer.streams[audio_index_]);
    } catch (const Error& error) {
      audio_problem = std::string("sound left out: ") + error.what();
    }
  }

  const Packet packet(av_packet_alloc());
  const Frame frame(av_frame_alloc());
  if (!packet || !frame) throw Error(Errc::io, "read the source: out of memory");
  const uint64_t nominal_us = std::max<uint64_t>(frame_us(), 1);
  uint64_t last_us = 0, frames = 0, damaged = 0, damaged_at_us = 0, pixels = 0;
  bool go_on = true;
  std::string problem;

  const auto note_damage = [&] {
    if (damaged++ == 0) damaged_at_us = frames == 0 ? 0 : last_us + nominal_us;
  };
  const auto take_frames = [&](AVCodecContext& codec) {
    while (go_on) {
      const int got = avcodec_receive_frame(&codec, frame.get());
      if (got == AVERROR(EAGAIN) || got == AVERROR_EOF) return;
      const bool is_video = &codec == video_.get();
      if (got < 0) {
        if (is_video) note_damage();
        return;
      }
      if (!is_video) {
        note_sound(*frame);
        sinks.audio(*frame);
        continue;
      }
      if ((frame->flags & AV_FRAME_FLAG_CORRUPT) != 0 || frame->decode_error_flags != 0) {
        note_damage();  // parts of it are guessed
        continue;
      }
      // The container's word on the shape of pixels goes before the codec's, as in players.
      frame->sample_aspect_ratio = av_guess_sample_aspect_ratio(&demuxer, &stream, frame.get());
      if (frames == 0) {
        transfer_ = frame->color_trc;
        aspect_ = frame->sample_aspect_ratio;
      }
      interlaced_ |= frame->interlaced_frame != 0;
      pixels += static_cast<uint64_t>(frame->width) * static_cast<uint64_t>(frame->height);
      if (pixels > limits_.max_pixel_frames) {
        if (frames == 0) {
          throw Error(Errc::unsupported, "its first frame is over the limit of ",
                      limits_.max_pixel_frames, " pixels: raise limits.max_pixel_frames");
        }
        problem = "over the limit of " + std::to_string(limits_.max_pixel_frames) +
                  " pixels, stopped at " + seconds(last_us);
        go_on = false;
        return;
      }
      uint64_t pts_us = last_us + (frames > 0 ? nominal_us : 0);
      if (frame->best_effort_timestamp != AV_NOPTS_VALUE) {
        const int64_t at =
            av_rescale_q(frame->best_effort_timestamp, stream.time_base, kMicroseconds);
        if (frames == 0) first_us_ = at;
        // A container whose times stand still or go back is replaced by its nominal rate there.
        const int64_t since = at - first_us_;
        if (frames == 0 || since > static_cast<int64_t>(last_us)) {
          pts_us = static_cast<uint64_t>(since);
        }
      }
      last_us = pts_us;
      ++frames;
      go_on = sinks.video(*frame, pts_us);
    }
  };

  int got = 0;
  int64_t read_until_us = 0;  // the end of the last packet of any stream, on the container's clock
  int64_t next_keyframe_us = INT64_MIN;
  bool left_out = false;  // the last keyframe, and so what needs it
  const auto is_due = [&](const AVPacket& keyframe) {
    if (keyframe.pts == AV_NOPTS_VALUE) return true;
    const int64_t at = av_rescale_q(keyframe.pts, stream.time_base, kMicroseconds);
    if (at < next_keyframe_us) return false;
    next_keyframe_us = at + static_cast<int64_t>(keyframe_every_us_);
    return true;
  };
  while (go_on && (got = av_read_frame(&demuxer, packet.get())) >= 0) {
    if (packet->pts != AV_NOPTS_VALUE) {
      read_until_us =
          std::max(read_until_us,
                   av_rescale_q(packet->pts + packet->duration,
                                demuxer.streams[packet->stream_index]->time_base, kMicroseconds));
    }
    AVCodecContext* codec = packet->stream_index == video_index_             ? video_.get()
                            : audio_ && packet->stream_index == audio_index_ ? audio_.get()
                                                                             : nullptr;
    if (keyframes_ && codec == video_.get()) {
      if ((packet->flags & AV_PKT_FLAG_KEY) != 0) left_out = !is_due(*packet);
      if (left_out) codec = nullptr;
    }
    if (codec != nullptr) {
      const bool cut_short = (packet->flags & AV_PKT_FLAG_CORRUPT) != 0;
      const int sent = cut_short ? AVERROR_INVALIDDATA : avcodec_send_packet(codec, packet.get());
      if (sent < 0 && codec == video_.get()) note_damage();
      if (sent >= 0) take_frames(*codec);
    }
    av_packet_unref(packet.get());
  }
  for (AVCodecContext* codec : {video_.get(), audio_.get()}) {
    if (codec != nullptr && go_on && avcodec_send_packet(codec, nullptr) >= 0) take_frames(*codec);
  }
  if (!problem.empty() || !go_on) return problem;

  if (frames == 0) {
    throw Error(Errc::corrupt, keyframes_
                                   ? "no keyframe of it can be decoded: look without --keyframes"
                                   : "no frame of it can be decoded");
  }
  const uint64_t end_us = last_us + nominal_us;
  if (damaged > 0) {
    return std::to_string(damaged) +
           (damaged == 1 ? " damaged piece, at " : " damaged pieces, the first at ") +
           seconds(damaged_at_us) + "; " + seconds(end_us) + " in all";
  }
  if (got < 0 && got != AVERROR_EOF) return "unreadable from " + seconds(end_us) + " on";
  // A file cut short at a packet's end decodes without a complaint. Its header knows, where the
  // length is not a guess from the size of the file.
  const int64_t promised_us = promised_end_us();
  const auto slack_us = static_cast<int64_t>(std::max<uint64_t>(5 * nominal_us, 200'000));
  if (!keyframes_ && promised_us > read_until_us + slack_us) {
    return "cut short: ends at " + seconds(end_us) + " of " +
           seconds(static_cast<uint64_t>(std::max<int64_t>(promised_us - start_us(), 0)));
  }
  return audio_problem;
}

void Reader::note_sound(const AVFrame& frame) {
  if (heard_ || frame.best_effort_timestamp == AV_NOPTS_VALUE) return;
  heard_ = true;
  sound_first_us_ = av_rescale_q(frame.best_effort_timestamp,
                                 demuxer_->streams[audio_index_]->time_base, kMicroseconds);
}

// On the container's clock; 0 when it does not say. MP4 and Matroska count their length from zero,
// whenever the first frame comes; the others from the first frame.
int64_t Reader::promised_end_us() const {
  const AVFormatContext& demuxer = *demuxer_;
  if (demuxer.duration <= 0 || demuxer.duration_estimation_method == AVFMT_DURATION_FROM_BITRATE) {
    return 0;
  }
  const std::string name = container();
  const bool from_zero = name == "mov" || name == "matroska";
  return demuxer.duration + (from_zero ? 0 : start_us());
}

// Below 0 where a transport stream's clock, of 33 bits, begins again within it.
int64_t Reader::start_us() const {
  return demuxer_->start_time == AV_NOPTS_VALUE ? 0 : demuxer_->start_time;
}

void Reader::keyframes_only(uint64_t every_us) {
  keyframes_ = true;
  keyframe_every_us_ = every_us;
  // Not the demuxer: that of MP4 then gives keyframes the times of other frames.
  video_->skip_frame = AVDISCARD_NONKEY;
  if (audio_index_ >= 0) demuxer_->streams[audio_index_]->discard = AVDISCARD_ALL;
}

uint64_t Reader::promised_us() const {
  const int64_t end_us = promised_end_us(), start_us = std::max<int64_t>(demuxer_->start_time, 0);
  return static_cast<uint64_t>(
      std::max<int64_t>(end_us > 0 ? end_us - start_us : demuxer_->duration, 0));
}

std::string Reader::container() const {
  const std::string_view names = demuxer_->iformat->name;  // "mov,mp4,m4a,..."
  return std::string(names.substr(0, names.find(',')));
}

std::string Reader::video_codec() const {
  return avcodec_get_name(demuxer_->streams[video_index_]->codecpar->codec_id);
}

std::string Reader::audio_codec() const {
  if (audio_index_ < 0) return "";
  return avcodec_get_name(demuxer_->streams[audio_index_]->codecpar->codec_id);
}

uint64_t Reader::frame_us() const {
  const AVStream& stream = *demuxer_->streams[video_index_];
  const AVRational rate =
      stream.avg_frame_rate.num > 0 ? stream.avg_frame_rate : stream.r_frame_rate;
  if (rate.num <= 0 || rate.den <= 0) return 0;
  return static_cast<uint64_t>(std::llround(1e6 * rate.den / rate.num));
}

std::string Reader::notes() const {
  std::string out;
  const auto note = [&](const std::string& what) { out += (out.empty() ? "" : ", ") + what; };
  if (transfer_ == AVCOL_TRC_SMPTE2084 || transfer_ == AVCOL_TRC_ARIB_STD_B67) {
    note(std::string("HDR (") + av_color_transfer_name(transfer_) + ")");
  }
  if (interlaced_) note("interlaced");
  const auto [rotation, mirrored] = orientation();
  if (mirrored) note("mirrored");
  if (rotation != 0) note("rotated by " + std::to_string(rotation) + " degrees");
  if (aspect_.num > 0 && aspect_.den > 0 && aspect_.num != aspect_.den) {
    note("pixels " + std::to_string(aspect_.num) + ":" + std::to_string(aspect_.den));
  }
  int tracks = 0;
  for (unsigned i = 0; i < demuxer_->nb_streams; ++i) {
    tracks += demuxer_->streams[i]->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
  }
  if (tracks > 1) note(std::to_string(tracks) + " audio tracks");
  const std::string timecode = timecode_of(*demuxer_);
  if (!timecode.empty()) note("timecode " + timecode);
  return out;
}

Orientation Reader::orientation() const {
  const auto* matrix = reinterpret_cast<const int32_t*>(
      av_stream_get_side_data(demuxer_->streams[video_index_], AV_PKT_DATA_DISPLAYMATRIX, nullptr));
  if (matrix == nullptr) return {};
  // The picture's right goes to (matrix[0], matrix[1]), its lower end to (matrix[3], matrix[4]).
  const bool mirrored = double(matrix[0]) * matrix[4] - double(matrix[1]) * matrix[3] < 0;
  int32_t rest[9];
  std::copy_n(matrix, 9, rest);
  for (int i = 0; mirrored && i < 2; ++i) rest[i] = static_cast<int32_t>(-int64_t{rest[i]});
  const double degrees = -av_display_rotation_get(rest);  // FFmpeg counts counter-clockwise
  if (std::isnan(degrees)) return {};
  const int quarter = static_cast<int>(std::lround(degrees / 90)) % 4;
  return {.rotation = 90 * ((quarter + 4) % 4), .mirrored = mirrored};
}

}  // namespace cleared::curate
