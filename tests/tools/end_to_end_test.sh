#!/usr/bin/env bash
# The main job and the proof, whole, on the real sample footage, with a run of a few steps.
#
#   end_to_end_test.sh PROGRAMS
#
# The footage is what try.sh fetched, or $CLEARED_FOOTAGE; without it the test is skipped (77), aloud.
set -euo pipefail
programs=$1
root=$(dirname "$(readlink -f "$0")")/../..
footage=${CLEARED_FOOTAGE:-$root/try/delivery}
if [ ! -e "$footage/2026-11/cityCC0.mpg" ]; then
  echo "skipped: no sample footage in $footage; ./try.sh test fetches it"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$footage" "$work/delivery"
# Weights of the autoencoder, and of what learns from its latents, in several files: the ledger takes and releases those as well.
declare -A files=([nano]="" [nano-vae]=" file_bytes: 500000" [nano-latent]=" file_bytes: 1000000")
for config in nano nano-vae nano-latent; do
  sed -E -e 's/^steps: .*/steps: 12/' -e 's/warmup_steps: .*/warmup_steps: 2/' -e 's/decay_steps: .*/decay_steps: 2/' \
    -e 's/every: [0-9]+/every: 6/' -e '/^checkpoints/s/ }/'"${files[$config]}"' }/' "$root/configs/$config.textproto" >"$work/short${config#nano}.textproto"
done
"$root/tools/demo.sh" "$programs" "$work" "$work/short.textproto" || {
  cat "$work/log.txt"
  exit 1
}
"$root/tools/proof.sh" "$programs" "$work" "$work/short.textproto" || {
  tail -n 100 "$work/log.txt"
  exit 1
}
# The duty of the CC BY licence, and the reasons of the refusals, reach the report.
grep -q 'Blender Foundation' "$work/report.html"
for refused in bikes.mp4 carphone_pristine.mp4 carphone_distorted.mp4; do grep -q "$refused" "$work/report.html"; done

# The latent run's permit lists latent shards and no other.
cd "$work"
grep -q ' root: ' nano-latent.permit
if grep -qFf <(grep ' root: ' nano.permit) nano-latent.permit; then
  cat nano.permit nano-latent.permit
  exit 1
fi
echo "all as expected"
