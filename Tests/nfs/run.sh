#!/bin/bash
# `make nfs`: the command on real NFSv4.1 clients against real servers, all on this machine. See
# README.md beside this file.
#
# usage: run.sh [-o ONLY] [-d DIR] [SERVER…]
#   SERVER   ganesha or knfsd, one after the other                      (default: both)
#   -o ONLY  only these scenarios, a comma between them: budgets hints latency pause cut restart
#            busy busycrash, which are the default, large and speed; crash in place of busycrash
#   -d DIR   state directory                                   (default: PROJECT/.build/nfs)
# Ends with 0 when every promise was kept, and when this machine cannot run it, which a line says;
# with NFS_REQUIRED=1 in the environment the latter is a failure.
set -u
HERE=$(dirname "$(readlink -f "$0")")
PROJECT=$HERE/../..
STATE=${SLUICE_NFS_STATE:-$(readlink -m "$PROJECT/.build/nfs")}
. "$HERE/report.sh"
ONLY=$ALL
while getopts o:d:h option; do
  case $option in
    o) ONLY=$OPTARG ;;
    d) STATE=$OPTARG ;;
    *) sed -n '2,12p' "$0"; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
SERVERS=${*:-ganesha knfsd}
SABOTAGE=${SABOTAGE:-}
# The lease of the appliers, and of the file servers with their grace period.
LEASE_s=3 SERVER_LEASE_s=10

# known WHAT NAMES NAME…
known() {
  local what=$1 names=$2 name
  shift 2
  for name in "$@"; do
    [[ " $names " == *" $name "* ]] || { echo "there is no $what '$name', only $names" >&2; exit 2; }
  done
}
known server "ganesha knfsd" $SERVERS
known scenario "${ALL//,/ } large crash speed" ${ONLY//,/ }
[[ ",$ONLY," != *,crash,* || ",$ONLY," != *,busycrash,* ]] || { echo "crash and busycrash each cost a host; name one" >&2; exit 2; }
known sabotage "late large lost twice order money" $SABOTAGE
[ -n "${ONLY//,/}" ] || { echo "no scenario is named" >&2; exit 2; }

skip() {
  echo "make nfs: SKIPPED, $*"
  exit "${NFS_REQUIRED:-0}"
}
PROGRAMS=$PROJECT/.build/release
bash "$HERE/selftest.sh" "$PROGRAMS/sluice-nfs-probe" || exit 1
[ "$(uname -m)" = x86_64 ] || skip "user-mode Linux is there for x86-64 only, this is $(uname -m)"
[ "$(id -u)" = 0 ] || skip "it must be run as root"
unshare -n -m -p -f --kill-child --mount-proc true 2>/dev/null || skip "no namespaces can be made here"
[ -c /dev/net/tun ] || skip "there is no /dev/net/tun"
command -v apt-get >/dev/null || skip "its packages come from Debian, by apt-get"
# The guests see this machine's files, but these directories are their own.
case $(readlink -m "$STATE")/ in
  /tmp/* | /root/* | /run/* | /mnt/* | /dev/*) STATE=/var/tmp/sluice-nfs ;;
esac
mkdir -p "$STATE" || skip "$STATE cannot be made"
# Whatever is started here holds it too: nothing of a run before is left when it is free.
exec {lock}>"$STATE/lock"
flock -n $lock || { echo "make nfs: another run uses $STATE" >&2; exit 1; }

BIN=$STATE/bin
mkdir -p "$BIN"
for program in sluice sluice-nfs-probe; do
  cp "$PROGRAMS/$program" "$BIN/" || exit 1
done
cp "$HERE/guest.sh" "$HERE/oneshot.sh" "$HERE/supervise.sh" "$BIN/" || exit 1
export BIN LEASE_s SERVER_LEASE_s ONLY HERE SABOTAGE

bash "$HERE/testbed.sh" -F -d "$STATE" 2>"$STATE/log"
case $? in
  0) ;;
  3) skip "$(sed -n 's/^testbed: //p' "$STATE/log" | tail -n 1)" ;;
  *) cat "$STATE/log" >&2; exit 1 ;;
esac

# What others left to be written to the disk is not to be waited for by the file servers' syncs.
sync
# The servers side by side: each has hosts and a network of its own, and they mostly wait.
declare -A testbed status
stop() {
  trap '' INT TERM
  [ ${#testbed[@]} = 0 ] || kill -TERM "${testbed[@]}" 2>/dev/null
  wait 2>/dev/null
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for server in $SERVERS; do
  state=$STATE/$server
  mkdir -p "$state"
  # So that this run is not judged by what another one left.
  rm -rf "$state/run"
  ln -sfn "$STATE/root" "$state/root"
  bash "$HERE/testbed.sh" -q -n 2 -s "$server" -d "$state" -g $SERVER_LEASE_s -t 2700 \
    -H ". '$HERE/scenarios.sh'" -- "BIN='$BIN'; . '$BIN/guest.sh'" 2>"$state/log" &
  testbed[$server]=$!
done
for server in $SERVERS; do
  wait "${testbed[$server]}"
  status[$server]=$?
  unset "testbed[$server]"
done

failed= skipped=
for server in $SERVERS; do
  state=$STATE/$server results=$STATE/$server/run/results
  if [ "${status[$server]}" = 3 ]; then
    skipped+="${skipped:+; }$server: $(sed -n 's/^testbed: //p' "$state/log" | tail -n 1)"
    continue
  fi
  mkdir -p "$state/run"
  touch "$results"
  seconds=$(sed -n 's/^testbed: finished after \([0-9]*\).*/\1/p' "$state/log")
  report "$server" "${seconds:-0}" "$results" "$ONLY" >"$state/report" || failed+=" $server"
  cat "$state/report"
done
# Said last, so that whoever sees only the end of it knows what it was.
for server in $failed; do
  state=$STATE/$server
  printf '\n%s FAILED:\n' "$server"
  grep -E 'FAILED|MISSING|BROKEN' "$state/report"
  tail -n 20 "$state/run/hook.log" 2>/dev/null | sed 's/^/  > /'
  grep -v ': finished after' "$state/log" | tail -n 10 | sed 's/^/  > /'
  # For whoever looks into it, until the next failure.
  rm -rf "$STATE/failed-$server"
  cp -r "$state/run" "$STATE/failed-$server" 2>/dev/null
  echo "  (what was said is in $STATE/failed-$server)"
done
[ -z "$failed" ] || exit 1
[ -z "$skipped" ] || skip "$skipped"
