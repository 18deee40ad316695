#!/usr/bin/env bash
# The main job: licensed footage in, a checkpoint that proves what made it out.
#
#   tools/demo.sh PROGRAMS WORK CONFIG     build/dev/tools try configs/nano.textproto
#
# CLEARED_RANKS: processes to train with, 2 unless set; more than one GPU rank needs a GPU each.
# WORK/delivery holds the footage. Everything is written below WORK; what is done is skipped.
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
programs=$(readlink -f "$1")
work=$2
config=$3
ranks=${CLEARED_RANKS:-2}
PATH=$programs:$PATH
run_name=$(sed -n 's/^name: *"\([^"]*\)".*/\1/p' "$config")
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
  expect 4 curate ingest --ledger "$db" "$work/delivery" 2>&1 | tee "$work/ingest.txt"
  touch "$work/.ingested"
}

shard() {
  run curate shard --ledger "$db" --delivery "$work/delivery" \
    --config configs/shard-nano.textproto --out "$work/shards"
  run ledger approve "$db" --all --key "$keys/approver.key"
}

# A permit lives for 24 hours; one that has half of them left is good for resuming.
have_permit() {
  [ -e "$work/$run_name.permit.proofs" ] && [ -e "$work/trust" ] &&
    [ -n "$(find "$work/$run_name.permit" -mmin -720)" ] &&
    grep -q "$(sha256sum "$config" | cut -d ' ' -f 1)" "$work/$run_name.permit"
}
permit() {
  # What a training node is told to believe: the approver's permits, and the log that its shards must be in.
  cat "$keys/approver.pub" "$db.pub" >"$work/trust"
  run ledger permit "$db" --run "$config" --key "$keys/approver.key" --out "$work/$run_name.permit"
}

have_checkpoint() { [ -e "$work/.trained" ]; }
train_model() {
  mkdir -p "$work/notices"
  run train run --config "$config" --permit "$work/$run_name.permit" --trust "$work/trust" \
    --shards "$work/shards" --notices "$work/notices" --key "$keys/trainer.key" \
    --out "$work/runs/$run_name" --nproc-per-node "$ranks"
  run ledger append "$db" "$work/runs/$run_name"/outbox/*.bundle
  touch "$work/.trained"
}

last_checkpoint() { find "$work/runs/$run_name" -maxdepth 1 -name 'step-*' | sort | tail -n 1; }

checkpoint_steps() { find "$work/runs/$run_name" -maxdepth 1 -name 'step-*' | sort | sed 's/.*step-0*//'; }

# What an auditor does: from the checkpoint before the last to the last, with public keys and the permit alone. Then again after somebody has
# changed one loss in the lines of the run receipt, and every digest that a stranger can make again: 65.
have_replayed() { [ "$work/.replayed" -nt "$work/.trained" ]; }
replay() {
  local from last forged=$work/forged
  from=$(checkpoint_steps | tail -n 2 | head -n 1)
  last=$(basename "$(last_checkpoint)")
  cat "$keys/approver.pub" "$db.pub" "$keys/trainer.pub" >"$work/auditor.trust"
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

have_clip() { [ "$work/city.gif" -nt "$work/.trained" ]; }
# The gate's yes for these weights comes first, as a note that needs no ledger.
sample() {
  local weights kind
  weights=$(sha256sum "$(last_checkpoint)/weights.safetensors" | cut -d ' ' -f 1)
  run ledger release "$db" "$weights" --use GENERATE_INTERNAL --model cleared-base --field film \
    --territory US --key "$keys/approver.key" --out "$work/$run_name.release"
  local yes=(--release "$work/$run_name.release" --trust "$work/trust" --notices "$work/notices")
  for kind in webm gif; do
    run train sample --checkpoint "$(last_checkpoint)" --out "$work/rabbit.$kind" "${yes[@]}" \
      --caption "$(cat docs/samples/captions/bigbuckbunny.txt)"
    run train sample --checkpoint "$(last_checkpoint)" --out "$work/city.$kind" "${yes[@]}" \
      --caption "$(cat docs/samples/captions/cityCC0.txt)"
  done
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
step "Permit for the run" have_permit permit
step "Train on $ranks ranks" have_checkpoint train_model
step "Sample two clips" have_clip sample
step "Replay, and a forged one refused" have_replayed replay
step "Report" never report
step "Statement and impact pages" never rights
