#!/usr/bin/env bash
# The main job: licensed footage in, a checkpoint that proves what made it out.
#
#   tools/demo.sh PROGRAMS WORK CONFIG     build/dev/tools try configs/nano.textproto
#
# Two ways from clips to a model: CONFIG has a codec in closed form; beside it CONFIG-vae trains an autoencoder, and CONFIG-latent a
# transformer on the latents that it makes.
# CLEARED_RANKS: processes to train with, 2 unless set; more than one GPU rank needs a GPU each.
# WORK/delivery holds the footage. Everything is written below WORK; what is done is skipped.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
programs=$(readlink -f "$1")
work=$2
config=$3
ranks=${CLEARED_RANKS:-2}
PATH=$programs:$PATH
vae_config=${config%.textproto}-vae.textproto
latent_config=${config%.textproto}-latent.textproto
name_in() { sed -n 's/^name: *"\([^"]*\)".*/\1/p' "$1"; }
run_name=$(name_in "$config")
vae_name=$(name_in "$vae_config")
latent_name=$(name_in "$latent_config")
steps_log=$work/log.txt
# shellcheck source=tools/steps.sh
. tools/steps.sh

db=$work/ledger.db
keys=$work/keys

have_keys() { [ -e "$keys/curator.pub" ]; }
make_keys() {
  mkdir -p "$keys"
  run ledger key new demo-licensor --role licensor --out "$keys/demo-licensor"
  run ledger key new demo-studio --role licensee --out "$keys/demo-studio"
  run ledger key new demo-approver --role approver --out "$keys/approver"
  run ledger key new demo-trainer --role trainer --out "$keys/trainer"
  run ledger key new demo-curator --role curator --out "$keys/curator"
}

have_ledger() { [ -e "$db" ]; }
make_ledger() {
  run ledger init "$db" --origin example.studio/ledger
  run ledger append "$db" "$keys"/*.pub
}

# The terms are agreed by both parties: each signs the same text with a key of its own.
have_licences() { [ -e "$work/licences/.appended" ]; }
sign_licences() {
  local text out
  mkdir -p "$work/licences"
  for text in docs/samples/*.licence.textproto; do
    out=$work/licences/$(basename "$text" .licence.textproto).licence
    run ledger sign "$text" --key "$keys/demo-licensor.key" --out "$out"
    run ledger sign "$out" --key "$keys/demo-studio.key"
  done
  run ledger append "$db" "$work"/licences/*.licence
  touch "$work/licences/.appended"
}

# Exit code 4: the footage without a licence is refused, the rest is done.
have_ingested() { [ -e "$work/.ingested" ]; }
ingest() {
  expect 4 curate ingest --ledger "$db" --config configs/shard-nano-long.textproto "$work/delivery" 2>&1 |
    tee "$work/ingest.txt"
  touch "$work/.ingested"
}

shard() {
  run curate shard --ledger "$db" --delivery "$work/delivery" \
    --config configs/shard-nano-long.textproto --out "$work/shards"
  run ledger approve "$db" --all --key "$keys/approver.key"
}

# What training nodes are told to believe: the approver's permits, the log that its shards must be in, and the trainer whose autoencoder they go on from.
trust() {
  cat "$keys/approver.pub" "$db.pub" >"$work/trust"
  cat "$work/trust" "$keys/trainer.pub" >"$work/auditor.trust"
}

# permit CONFIG SHARDS MORE...: for the shards whose name starts like that. A permit lives for 24 hours; one that has half of them left is good for resuming.
permit() {
  local out
  out=$work/$(name_in "$1").permit
  if [ -e "$out.proofs" ] && [ -n "$(find "$out" -mmin -720)" ] && grep -q "$(sha256sum "$1" | cut -d ' ' -f 1)" "$out"; then return 0; fi
  run ledger permit "$db" --run "$1" --only "$2" --key "$keys/approver.key" --out "$out" "${@:3}"
}

# gate NAME SHARDS TRUST: the options of every `train` command that reads footage.
gate() { printf '%s\n' --permit "$work/$1.permit" --shards "$work/$2" --trust "$work/$3" --notices "$work/notices"; }

# learn COMMAND CONFIG SHARDS TRUST MORE...: trains, and tells the ledger.
learn() {
  local name options most
  name=$(name_in "$2")
  most=$(sed -n 's/^micro_batches: *\([0-9]*\).*/\1/p' "$2")
  mkdir -p "$work/notices"
  trust
  mapfile -t options < <(gate "$name" "$3" "$4")
  run train "$1" --config "$2" "${options[@]}" --key "$keys/trainer.key" --out "$work/runs/$name" \
    --nproc-per-node $((ranks < most ? ranks : most)) "${@:5}"
  run ledger append "$db" "$work/runs/$name"/outbox/*.bundle
}

last_checkpoint() { find "$work/runs/$1" -maxdepth 1 -name 'step-*' | sort | tail -n 1; }

have_checkpoint() { [ -e "$work/.trained" ]; }
train_model() {
  permit "$config" nano-
  learn run "$config" shards trust
  touch "$work/.trained"
}

have_vae() { [ -e "$work/.trained-vae" ]; }
train_vae() {
  permit "$vae_config" nano- --evaluate --encode
  learn vae "$vae_config" shards trust
  touch "$work/.trained-vae"
}

# Each clip encoded once. A latent is of its clip still, and so under its terms.
have_latents() { [ -e "$work/.encoded" ]; }
encode() {
  local options
  mapfile -t options < <(gate "$vae_name" shards auditor.trust)
  run train encode --checkpoint "$(last_checkpoint "$vae_name")" "${options[@]}" --out "$work/latents"
  run ledger append "$db" "$work/latents"/outbox/*.bundle
  run ledger approve "$db" --all --key "$keys/approver.key"
  touch "$work/.encoded"
}

have_latent_checkpoint() { [ -e "$work/.trained-latent" ]; }
train_from_latents() {
  permit "$latent_config" latent-
  learn run "$latent_config" latents auditor.trust --vae "$(last_checkpoint "$vae_name")"
  touch "$work/.trained-latent"
}

checkpoint_steps() { find "$work/runs/$run_name" -maxdepth 1 -name 'step-*' | sort | sed 's/.*step-0*//'; }

# What an auditor does: from the checkpoint before the last to the last, with public keys and the permit alone. Then again after somebody has
# changed one loss in the lines of the run receipt, and every digest that a stranger can make again: 65.
have_replayed() { [ "$work/.replayed" -nt "$work/.trained" ]; }
replay() {
  local from last forged=$work/forged
  from=$(checkpoint_steps | tail -n 2 | head -n 1)
  last=$(basename "$(last_checkpoint "$run_name")")
  run train step0 "$work/runs/$run_name" --trust "$work/auditor.trust"
  run train replay "$work/runs/$run_name" --from "$from" --permit "$work/$run_name.permit" \
    --trust "$work/auditor.trust" --shards "$work/shards"
  rm -rf "$forged"
  mkdir "$forged"
  cp -r "$work/runs/$run_name/$(printf 'step-%06d' "$from")" "$work/runs/$run_name/$last" "$forged"
  sed -i '1s/loss ......../loss 3f000000/' "$forged/$last/steps.txt"
  (cd "$forged/$last" && awk '{ print $2 }' SHA256SUMS | xargs sha256sum >sums && mv sums SHA256SUMS)
  expect 65 train replay "$forged" --from "$from" --permit "$work/$run_name.permit" \
    --trust "$work/auditor.trust" --shards "$work/shards"
  rm -rf "$forged"
  touch "$work/.replayed"
}

# sample NAME PREFIX: a clip of each caption. The gate's yes for these weights comes first, as a note that needs no ledger.
sample() {
  local checkpoint weights kind
  checkpoint=$(last_checkpoint "$1")
  weights=$(head -c 64 "$checkpoint/SHA256SUMS")
  run ledger release "$db" "$weights" --use GENERATE_INTERNAL --model cleared-base --field film \
    --territory US --key "$keys/approver.key" --out "$work/$1.release"
  local yes=(--release "$work/$1.release" --trust "$work/trust" --notices "$work/notices")
  for kind in webm gif; do
    run train sample --checkpoint "$checkpoint" --out "$work/$2rabbit.$kind" "${yes[@]}" \
      --caption "$(cat docs/samples/captions/bigbuckbunny.txt)"
    run train sample --checkpoint "$checkpoint" --out "$work/$2city.$kind" "${yes[@]}" \
      --caption "$(cat docs/samples/captions/cityCC0.txt)"
  done
}
have_clips() { [ "$work/city.gif" -nt "$work/.trained" ] && [ "$work/latent-city.gif" -nt "$work/.trained-latent" ]; }
sample_both() {
  sample "$run_name" ""
  sample "$latent_name" latent-
}

# What the licensor is due, and what it would cost to train again without one of the licences.
rights() {
  run ledger statement "$db" --licensor demo-licensor --from 2024-01-01 --to 2099-12-31 \
    --key "$keys/demo-studio.key" --out "$work/demo-licensor.statement" --html "$work/statement.html"
  run ledger impact "$db" DEMO-CITY-CC0 --html "$work/impact.html"
}

report() {
  run curate report --ledger "$db" --out "$work/report.html"
}

step "Keys of the demo parties" have_keys make_keys
step "Ledger" have_ledger make_ledger
step "Licences, signed by both parties" have_licences sign_licences
step "Ingest: shots, fingerprints, gate" have_ingested ingest
grep -i 'refused' "$work/ingest.txt" | sed 's/^/      /'
step "Clips into shards, approved" have_checkpoint shard
step "Train on $ranks ranks" have_checkpoint train_model
step "Train an autoencoder" have_vae train_vae
step "Latent shards, approved" have_latents encode
step "Train from latents" have_latent_checkpoint train_from_latents
step "Sample two clips from each" have_clips sample_both
step "Replay, and a forged one refused" have_replayed replay
step "Report" never report
step "Statement and impact pages" never rights
