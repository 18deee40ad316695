#!/usr/bin/env bash
# Makes the odd but valid inputs of bad_input_test.py beside itself, with Debian's ffmpeg 5.1.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"
exact=(-fflags +bitexact -flags:v +bitexact -flags:a +bitexact -map_metadata -1)
make() { ffmpeg -v error -y "$@"; }

make -f lavfi -i testsrc2=size=64x48:rate=12:duration=2 -vf scale=65:47,format=yuv420p -c:v libvpx-vp9 -crf 50 -b:v 0 "${exact[@]}" odd_size.webm
make -f lavfi -i testsrc2=size=96x64:rate=12:duration=2 -pix_fmt yuv420p10le -profile:v 2 -c:v libvpx-vp9 \
  -crf 50 -b:v 0 "${exact[@]}" ten_bit.webm
make -f lavfi -i testsrc2=size=96x64:rate=12:duration=2 -c:v mpeg4 -q:v 12 "${exact[@]}" upright.mp4
make -i upright.mp4 -c copy "${exact[@]}" -metadata:s:v:0 rotate=90 rotated.mp4
rm upright.mp4
# Every third frame of the second half is left out, the others keep their times.
make -f lavfi -i testsrc2=size=96x64:rate=12:duration=2 -vf "select='lt(n,12)+mod(n,3)'" -vsync vfr -c:v libvpx-vp9 \
  -crf 50 -b:v 0 "${exact[@]}" variable_rate.webm
make -f lavfi -i sine=frequency=440:duration=2:sample_rate=16000 -c:a libopus -b:a 16k "${exact[@]}" sound_only.ogg
