#!/bin/bash
# `make nfs`: the command on real NFSv4.1 clients against real servers, all on this machine. See
# README.md beside this file.
#
# usage: run.sh [-o ONLY] [-d DIR] [SERVER…]
#   SERVER   ganesha or knfsd, one after the other                      (default: both)
#   -o ONLY  only these scenarios, a comma between them: budgets latency pause cut restart crash
#   -d DIR   state directory                                   (default: PROJECT/.build/nfs)
# Ends with 0 when every promise was kept, and when this machine cannot run it, which a line says.
set -u
HERE=$(dirname "$(readlink -f "$0")")
PROJECT=$HERE/../..
STATE=${SLUICE_NFS_STATE:-$(readlink -m "$PROJECT/.build/nfs")}
ONLY=budgets,latency,pause,cut,restart,crash
while getopts o:d:h option; do
  case $option in
    o) ONLY=$OPTARG ;;
    d) STATE=$OPTARG ;;
    *) sed -n '2,11p' "$0"; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
SERVERS=${*:-ganesha knfsd}
# The lease of the appliers, and of the file servers with their grace period.
LEASE_s=3 SERVER_LEASE_s=10

skip() {
  echo "make nfs: SKIPPED, $*"
  exit 0
}
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

BIN=$STATE/bin
mkdir -p "$BIN"
for program in sluice sluice-nfs-probe; do
  cp "$PROJECT/.build/release/$program" "$BIN/" || exit 1
done
cp "$HERE/guest.sh" "$HERE/oneshot.sh" "$BIN/"
export BIN LEASE_s SERVER_LEASE_s ONLY HERE SABOTAGE=${SABOTAGE:-}

# Prints the report of one server; false when anything in it failed.
report() {
  awk -F '\t' -v server="$1" -v seconds="$2" '
    $1 == "scenario" { scenario[++s] = $0 }
    $1 == "budget" { budget[++b] = $0 }
    $1 == "note" { note[++n] = $2 }
    $1 == "end" { ended = 1 }
    END {
      printf "\n%s (%d s)\n\n", server, seconds
      if (s) printf "  %-34s %-10s %s\n", "scenario", "no applier", "verdict"
      for (i = 1; i <= s; i++) {
        split(scenario[i], f, "\t")
        printf "  %-34s %-10s %s\n", f[2], f[3], f[4]
        if (f[4] !~ /^ok/) failed++
      }
      if (b) printf "\n  %-44s %8s %9s\n", "requests to the server", "at most", "measured"
      for (i = 1; i <= b; i++) {
        split(budget[i], f, "\t")
        over = f[4] > f[3] + 0.1
        printf "  %-44s %8s %9s  %s%s\n", f[2], f[3], f[4], over ? "OVER  " : "", f[5]
        if (over) failed++
      }
      if (n) print ""
      for (i = 1; i <= n; i++) print "  " note[i]
      if (!ended) print "\n  BROKEN OFF: see the logs in the state directory"
      exit failed || !ended
    }' "$3"
}

bash "$HERE/testbed.sh" -F -d "$STATE" 2>"$STATE/log" || skip "$(sed -n 's/^testbed: //p' "$STATE/log" | tail -n 1)"

# The servers side by side: each has hosts and a network of its own, and they mostly wait.
run_on() {
  local server=$1 state=$STATE/$1 began=$SECONDS
  mkdir -p "$state"
  ln -sfn "$STATE/root" "$state/root"

  bash "$HERE/testbed.sh" -q -n 2 -s "$server" -d "$state" -g $SERVER_LEASE_s -t 240 \
    -H ". '$HERE/scenarios.sh'" -- "BIN='$BIN'; . '$BIN/guest.sh'" 2>"$state/log"
  echo "$? $((SECONDS - began))" >"$state/ended"
}
for server in $SERVERS; do
  rm -f "$STATE/$server/ended"
  run_on "$server" &
done
wait
failed=0 ran=0 skipped=
for server in $SERVERS; do
  state=$STATE/$server results=$STATE/$server/run/results
  read -r status seconds <"$state/ended"
  if [ "$status" = 3 ]; then
    skipped="$server: $(sed -n 's/^testbed: //p' "$state/log" | tail -n 1)"
    continue
  fi
  ran=1
  touch "$results"
  report "$server" "$seconds" "$results" && continue
  failed=1
  # For whoever looks into it, until the next failure.
  rm -rf "$STATE/failed-$server"
  cp -r "$state/run" "$STATE/failed-$server" 2>/dev/null
  echo "  (what was said is in $STATE/failed-$server)"
done
[ -z "$skipped" ] || [ $ran = 1 ] || skip "$skipped"
[ -z "$skipped" ] || echo "make nfs: SKIPPED $skipped"
exit $failed
