# The host side of `make nfs`: how the scripts beside this one speak to the guests and keep results.
# Runs within testbed.sh as its hook, so crash, pause, cut, server_stop … are there.
# shellcheck shell=bash disable=SC2154  # RUN, LEASE_s and so on are testbed.sh's and run.sh's

# Without a process for it: whoever waits here takes no time from the guests.
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
mkfifo "$RUN/never" && exec {never}<>"$RUN/never"
pause_s() { read -r -t "$1" -u $never; true; }

# What a guest's processes wait for: each sluice's place in the kernel.
PENDING='for process in /proc/[0-9]*; do
    command=$(tr "\0" " " <$process/cmdline)
    [[ $command != *sluice* ]] || echo "$process $command $(sed "s/.* //" $process/stack | head -n 12 | tr "\n" " ")"
  done'

# on N 'COMMANDS': guest N runs them; prints what they print, returns their exit status.
on() {
  local guest=$1 request=$RUN/g$1/ask/$BASHPID.$RANDOM$RANDOM
  shift
  printf '%s\n' "$*" >"$request.new"
  mv "$request.new" "$request.sh"
  local deadline=$(($(now_ms) + ${PATIENCE_s:-30} * 1000))
  until [ -e "$request.rc" ]; do
    if (($(now_ms) > deadline)); then
      echo "guest $guest did not answer: $*" >&2
      [ -n "${ASKING:-}" ] || ASKING=1 PATIENCE_s=5 on "$guest" "$PENDING" >&2
      return 124
    fi
    pause_s .03
  done
  cat "$request.err" >&2
  cat "$request.out"
  return "$(cat "$request.rc")"
}

# result KIND FIELD…: a line of the report, its fields separated by tabs.
result() { (IFS=$'\t' && echo "$*") >>"$RUN/results"; }

# must WHAT COMMAND…: notes that the present scenario failed unless the command succeeds.
FAILURES=()
must() {
  local what=$1
  shift
  "$@" || { FAILURES+=("$what"); echo "FAILED: $what" >&2; return 1; }
}

# within SECONDS COMMAND…: tries until it succeeds.
within() {
  local deadline=$(($(now_ms) + $1 * 1000))
  shift
  until "$@"; do
    (($(now_ms) < deadline)) || return 1
    pause_s .05
  done
}
