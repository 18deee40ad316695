#!/bin/sh
# tools/stand_ins.sh PROGRAM FOLDER COMPILER: what PROGRAM loads in place of libraries that it never calls.
#
# A distribution's FFmpeg is linked to a hundred libraries for what footage has no use for: graphics drivers, networks,
# encoders, SVG. All would be loaded for each file, which takes longer than decoding a short one, and would be there for
# a hostile file to reach. FOLDER, which PROGRAM's RPATH names, gets one library under all their names. In it each of
# the functions that FFmpeg is linked to is there and answers 0: not available. Without FOLDER the real ones are loaded.
set -eu
program=$1 folder=$2 compiler=$3
# Of FFmpeg's: the encoders and decoders that are used, compression inside containers, and libgme, which each file is
# shown to, and whose answer has to be a text.
used='libaom|libdav1d|libvpx|libz|libbz2|liblzma|libgme'

work=$folder.new
rm -rf "$folder" "$work"
mkdir "$work"
trap 'rm -rf "$work"' EXIT
ldd "$program" | awk '$2 == "=>" { print $1, $3 }' >"$work/paths"
needed() { readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'; }
path_of() { awk -v name="$1" '$1 == name { print $2 }' "$work/paths"; }

# What is loaded as it is: all that PROGRAM asks for itself, and what that asks for in turn, FFmpeg apart.
: >"$work/loaded"
: >"$work/by_ffmpeg"
: >"$work/asked_for"
todo=$(needed "$program")
while [ -n "$todo" ]; do
  next=
  for name in $todo; do
    if grep -qxF "$name" "$work/loaded"; then continue; fi
    echo "$name" >>"$work/loaded"
    path=$(path_of "$name")
    [ -n "$path" ] || continue # the loader itself
    case $name in
      libav*.so.* | libsw*.so.*)
        needed "$path" >>"$work/by_ffmpeg"
        nm -D --undefined-only "$path" | awk '{ print $NF }' >>"$work/asked_for"
        next="$next $(needed "$path" | grep -E "^($used|libav[a-z]*|libsw[a-z]*)\.so" || true)"
        ;;
      *) next="$next $(needed "$path")" ;;
    esac
  done
  todo=$next
done

# "TYPE NAME VERSION" of what FFmpeg is linked to in the others.
sort -u "$work/by_ffmpeg" | grep -vxFf "$work/loaded" >"$work/left_out" || true # an FFmpeg of one's own may need no other
while read -r name; do
  ln -s stand-ins.so "$work/$name"
  nm -D --defined-only "$(path_of "$name")"
done <"$work/left_out" | sed 's/@@/@/' |
  awk 'NR == FNR { wanted[$1]; next }
       $3 in wanted && $2 != "A" { split($3, part, "@"); if (!seen[part[1]]++) print $2, part[1], part[2] }' "$work/asked_for" - \
    >"$work/symbols"
awk '$1 ~ /[TWi]/ { print "long " $2 "(void) { return 0; }"; next } { print "char " $2 "[64];" }' "$work/symbols" >"$work/stand-ins.c"
awk '$3 != "" { names[$3] = names[$3] " " $2 ";" }
     END { for (version in names) print version " {" names[version] " };" }' "$work/symbols" >"$work/versions"
set --
if [ -s "$work/versions" ]; then set -- "-Wl,--version-script=$work/versions"; fi
"$compiler" -x c -w -fno-builtin -O1 -fPIC -shared -nostdlib "$@" -o "$work/stand-ins.so" "$work/stand-ins.c"
(cd "$work" && rm paths loaded by_ffmpeg asked_for left_out symbols stand-ins.c versions)
mv "$work" "$folder"
