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

# face.webm, a face that passes and a voice: face.png is astronaut.png of PyPI's scikit-image 0.26 (Eileen Collins, photographed by
# NASA, public domain; ../../curate/data/face.pgm is its upper part at 192 pixels of width), the voice is Debian's espeak-ng.
if [ -f face.png ]; then
  espeak-ng -v en -s 150 -w voice.wav "Somebody says a few words here, and a few more of them, so that it lasts for some seconds."
  make -loop 1 -framerate 16 -i face.png -i voice.wav -t 4 -vf "format=gray,crop=440:330:'20+n':'4+n/3',scale=192:144" \
    -c:v libvpx-vp9 -crf 45 -b:v 0 -cpu-used 2 -pix_fmt yuv420p -c:a libopus -b:a 20k -ac 1 "${exact[@]}" face.webm
  rm voice.wav
fi
# reserved.mp4 and broken.mp4, with C2PA manifests: ../marks_test.py --samples .
