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
sed -E -e 's/^steps: .*/steps: 12/' -e 's/warmup_steps: .*/warmup_steps: 2/' -e 's/decay_steps: .*/decay_steps: 2/' \
  -e 's/every: [0-9]+/every: 6/' "$root/configs/nano.textproto" >"$work/short.textproto"
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

# By way of latents: an autoencoder, its latents as shards that the ledger records, approves and permits, and a transformer that reads them.
PATH=$programs:$PATH
cd "$work"
common='clip { width: 32 height: 32 frames: 13 frames_per_second: 16 }
codec { vae { dim: 4 channels: 4 blocks: 1 } }
optimiser { learning_rate: 1e-3 warmup_steps: 0 decay_steps: 0 beta1: 0.9 beta2: 0.95 weight_decay: 0 clip_norm: 1 ema: 0.9 }
checkpoints { every: 2 keep: 0 } log_every: 1 seed: 3 steps: 2 batch: 4'
purpose='use: TRAIN model: "cleared-base" field_of_use: "film" compute_territory: "US"'
cat >vae.textproto <<EOF
name: "vae" stage: AUTOENCODER purpose { $purpose component: [VAE] } $common
EOF
cat >latent.textproto <<EOF
name: "latent" purpose { $purpose component: [GENERATOR, VAE, TEXT_ENCODER] } $common
model { dim: 24 layers: 1 heads: 1 ffn: 24 patch: 2 }
text { length: 16 dim: 16 layers: 1 dropout: 0.1 vocabulary: 270 }
preview { caption: "a" steps: 1 guidance: 1 shift: 1 }
EOF
cat trust keys/trainer.pub >both.trust
node=(--trust both.trust --notices notices --curate "$programs/curate")
ledger permit ledger.db --run vae.textproto --only nano- --key keys/approver.key --out vae.permit
train vae --config vae.textproto --permit vae.permit --shards shards "${node[@]}" --key keys/trainer.key --out runs/vae
train encode --checkpoint runs/vae/step-000002 --permit vae.permit --shards shards "${node[@]}" --out latents
ledger append ledger.db runs/vae/outbox/*.bundle latents/outbox/*.bundle
ledger approve ledger.db --all --key keys/approver.key
ledger permit ledger.db --run latent.textproto --only latent- --key keys/approver.key --out latent.permit
train run --config latent.textproto --vae runs/vae/step-000002 --permit latent.permit --shards latents "${node[@]}" \
  --key keys/trainer.key --out runs/latent
ledger append ledger.db runs/latent/outbox/*.bundle
ledger verify ledger.db
# The second permit lists latent shards and no other.
grep -q ' root: ' latent.permit
if grep -qFf <(grep ' root: ' vae.permit) latent.permit; then
  cat vae.permit latent.permit
  exit 1
fi
echo "all as expected"
