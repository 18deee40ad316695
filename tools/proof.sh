#!/usr/bin/env bash
# The proof: what the programs promise, tried on a copy of the demo's result, one line each with what was
# expected and what happened. Exit 1 when any of them is not as expected.
#
#   tools/proof.sh PROGRAMS WORK CONFIG     build/dev/tools try configs/nano.textproto
# shellcheck disable=SC2317  # functions are called through attempt
set -uo pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
programs=$(readlink -f "$1")
work=$2
config=$3
ranks=${CLEARED_RANKS:-2}
PATH=$programs:$PATH
run_name=$(sed -n 's/^name: *"\([^"]*\)".*/\1/p' "$config")
copy=$work/proof
db=$copy/ledger.db
keys=$copy/keys
run=$copy/runs/$run_name
log=$work/log.txt
failed=0

# attempt COMMAND...: its exit code into $code, what it said without log lines into $said.
attempt() {
  local output
  output=$(mktemp)
  code=0
  printf '+ %s\n' "$*" >>"$log"
  "$@" </dev/null >"$output" 2>&1 || code=$?
  cat "$output" >>"$log"
  said=$(grep -vE '^[DIWE] [0-9:.]+ ' "$output")
  rm -f "$output"
}

# line LETTER WHAT EXPECTED WORDS: as expected when $code is EXPECTED and a line of $said matches WORDS.
line() {
  local letter=$1 what=$2 expected=$3 words=$4 answer=ok found
  found=$(grep -E -m 1 -- "$words" <<<"$said") || found=
  if [ "$code" != "$expected" ] || [ -z "$found" ]; then
    answer=NO
    failed=1
    found=$(tail -n 1 <<<"$said")
  fi
  printf '  (%s) %-2s %s\n         expected: exit %s, saying "%s"\n         happened: exit %s, %s\n' \
    "$letter" "$answer" "$what" "$expected" "$words" "$code" "$(cut -c 1-200 <<<"$found")"
}

fresh_copy() {
  rm -rf "$copy"
  mkdir -p "$copy"
  cp -a "$work"/ledger.db* "$work/keys" "$work/shards" "$work/notices" "$work/runs" "$work"/*.permit "$work"/*.permit.proofs "$work/trust" "$copy"
}

train_on_copy() {
  train "$1" --config "$config" --permit "$copy/$run_name.permit" --trust "$copy/trust" \
    --shards "$copy/shards" --notices "$copy/notices" "${@:2}"
}
run_on_copy() { train_on_copy run --key "$keys/trainer.key" --out "$run" --nproc-per-node "$ranks"; }
last_checkpoint() { find "$run" -maxdepth 1 -name 'step-*' | sort | tail -n 1; }
sql() { sqlite3 "$db" "$1"; }

echo "The proof, on a copy in $copy:"
fresh_copy

attempt ledger verify "$db"
line a "the ledger is what was recorded" 0 intact

clip=$(sql "SELECT id FROM clip WHERE verdict = 'kept' ORDER BY id LIMIT 1")
tools/tlog-verify/build.sh "$work/tlog-verify"
attempt ledger prove "$db" "$clip" --out "$copy/clip.tlog-proof"
attempt "$work/tlog-verify" "$db.pub" "$copy/clip.tlog-proof" "$copy/clip.tlog-proof.record"
line b "a verifier that shares no code with us finds the clip's record in the log" 0 ok

sql "UPDATE source SET caption = 'Something else entirely' WHERE path LIKE '%cityCC0%'"
attempt ledger verify "$db"
line c "a row edited with sqlite3 is named" 1 'record [0-9]+, source\.caption'

fresh_copy
tar=$(find "$copy/shards" -name '*.tar' | sort | head -n 1)
at=$(($(stat -c %s "$tar") / 2))
byte=$(od -An -tu1 -j "$at" -N 1 "$tar")
printf '%b' "$(printf '\\x%02x' $((byte ^ 1)))" | dd of="$tar" bs=1 seek="$at" conv=notrunc status=none
attempt train_on_copy check
line d "one byte changed in a shard: train refuses and names the sample" 3 'sample'

fresh_copy
licence=$(sql "SELECT id FROM licence ORDER BY seq LIMIT 1")
attempt ledger revoke "$db" "$licence" --reason "shown by the proof" --key "$keys/demo-licensor.key" \
  --notices "$copy/notices"
line e "the licensor of $licence revokes it; the notice is where training looks" 0 notice
attempt run_on_copy
line e "after a revocation train refuses the old permit" 3 revoked
attempt ledger permit "$db" --run "$config" --key "$keys/approver.key" --out "$copy/new.permit"
line e "and no new permit is given for those shards" 3 revoked
attempt ledger query "$db" touched
line e "and the checkpoints that consumed the clips are listed" 0 "$run_name"
attempt train sample --checkpoint "$(last_checkpoint)" --release "$work/$run_name.release" \
  --trust "$copy/trust" --notices "$copy/notices" --out "$copy/none.gif"
line e "and no clip is sampled from them, though their release has not ended" 3 revoked

attempt ledger impact "$db" "$licence" --html "$copy/impact.html"
line g "what that costs: the steps to train again from the last clean checkpoint" 0 'training again without it'
attempt ledger proven "$copy/impact.html" --trust "$db.pub"
line g "and the page proves its records to people who have no ledger" 0 'records are in the log'
attempt ledger statement "$db" --licensor demo-licensor --from 2024-01-01 --to 2099-12-31 --csv
said=$(awk -F, '$1 == "fee" { fees += $9 } $1 == "total" { total += $9 }
  $1 == "run" { runs += $9 } END { print (fees == total && runs == total && total > 0) ? "adds up" : "differs", total }' <<<"${said//$'\r'/}")
line h "the licensor's statement: runs and fees add up to the total, in millionths" 0 '^adds up'

fresh_copy
last=$(basename "$(last_checkpoint)")
# As if it had been killed before: neither the checkpoint nor what the outbox tells of its steps.
grep -alE "end_step: $((10#${last##*-}))\$" "$run"/outbox/*.bundle | xargs rm -f
rm -rf "${run:?}/$last"
attempt run_on_copy
# The copy of a run is a run of its own name, which its files say: what it computed is in the digests of all tensors.
attempt cmp "$work/runs/$run_name/$last/tensors.txt" "$run/$last/tensors.txt"
said=${said:-the digests of all tensors of $last are identical}
line f "training again from the checkpoint before gives the same weights and moments, bit for bit" 0 identical

exit "$failed"
