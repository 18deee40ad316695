# shellcheck shell=bash disable=SC2154  # sourced; steps_log is the caller's
# Steps of a script, one line each with its time. Sourced by try.sh, tools/demo.sh and tools/proof.sh.
#
#   steps_log=try/log.txt               set before the first step
#   step "Sample footage" have_footage fetch_footage
#
# runs fetch_footage unless have_footage is true, with all its output in the log, and ends the script
# when it fails. Never write `step ... || exit`: left of || bash ignores `set -e`, and a step would go
# on after a failed command. Inside a step, `run COMMAND...` notes the command before running it, so
# that a failure can show it.

# Runs a command that a failing step should show.
run() {
  printf '+ %s\n' "$*"
  "$@"
}

# expect CODE COMMAND...: like run, for a command whose exit code is not 0 when all is well.
expect() {
  local want=$1 got=0
  shift
  printf '+ %s\n' "$*"
  "$@" || got=$?
  [ "$got" = "$want" ] && return 0
  echo "exit code $got, expected $want"
  return 1
}

never() { false; }

# step NAME DONE DO...: one line on the screen; on failure the command and the last 20 lines.
step() {
  local name=$1 done_check=$2 began output code
  shift 2
  if "$done_check" >/dev/null 2>&1; then
    printf '  %-34s already done\n' "$name"
    return 0
  fi
  [ -t 1 ] && printf '  %-34s ...' "$name"
  printf '== %s: %s\n' "$(date -u +%FT%TZ)" "$name" >>"$steps_log"
  output=$(mktemp)
  began=$SECONDS
  # Not in a condition: there `set -e` would be ignored inside.
  (
    set -euo pipefail
    "$@"
  ) </dev/null >"$output" 2>&1
  code=$?
  cat "$output" >>"$steps_log"
  [ -t 1 ] && printf '\r'
  if [ "$code" = 0 ]; then
    printf '  %-34s %4d s\n' "$name" $((SECONDS - began))
  else
    printf '  %-34s FAILED after %d s\n\n' "$name" $((SECONDS - began))
    printf '%s\n' "command: $(grep '^+ ' "$output" | tail -n 1 | cut -c 3-)" "last lines:"
    grep -v '^+ ' "$output" | tail -n 20 | sed 's/^/    /'
    printf '\nthe whole log: %s\n' "$steps_log"
  fi
  rm -f "$output"
  [ "$code" = 0 ] || exit "$code"
}
