// The floor of tools/bench/curate: every frame of the first video stream decoded by libavcodec on
// one thread, and nothing done with it. Prints how many there were. With a second argument only
// keyframes are decoded.
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <stdio.h>

static long drain(AVCodecContext* codec, AVFrame* frame) {
  long frames = 0;
  while (avcodec_receive_frame(codec, frame) >= 0) ++frames;
  return frames;
}

int main(int argc, char** argv) {
  AVFormatContext* demuxer = NULL;
  const AVCodec* decoder = NULL;
  if (argc < 2 || avformat_open_input(&demuxer, argv[1], NULL, NULL) < 0) return 1;
  if (avformat_find_stream_info(demuxer, NULL) < 0) return 1;
  const int video = av_find_best_stream(demuxer, AVMEDIA_TYPE_VIDEO, -1, -1, &decoder, 0);
  if (video < 0) return 1;
  AVCodecContext* codec = avcodec_alloc_context3(decoder);
  avcodec_parameters_to_context(codec, demuxer->streams[video]->codecpar);
  codec->thread_count = 1;
  if (argc > 2) {
    codec->skip_frame = AVDISCARD_NONKEY;
    demuxer->streams[video]->discard = AVDISCARD_NONKEY;
  }
  if (avcodec_open2(codec, decoder, NULL) < 0) return 1;
  AVPacket* packet = av_packet_alloc();
  AVFrame* frame = av_frame_alloc();
  long frames = 0;
  while (av_read_frame(demuxer, packet) >= 0) {
    if (packet->stream_index == video && avcodec_send_packet(codec, packet) >= 0) {
      frames += drain(codec, frame);
    }
    av_packet_unref(packet);
  }
  avcodec_send_packet(codec, NULL);
  printf("%ld\n", frames + drain(codec, frame));
  return 0;
}
