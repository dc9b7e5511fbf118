# Hints between hosts: the applier's host takes them, a writer on the other one sends them; then the two hosts do not
# reach each other any more, and still the server; then they do again; then a standby is told of a release. A store of
# its own.
# shellcheck shell=bash disable=SC2154

# The leader looks by itself so often at least, and a guest may be slow.
POLLED_ms=$((5000 + 3000))
# Whoever is not told by a hint looks after it at most, while all is busy.
BUSY_ms=3000
# A standby whose leader rests looks in a second by itself, or in six.
TOLD_ms=700

hints() {
  local store=/mnt/efs/hinted host before received useful took
  # field NAME: of the hints that the beacon counts.
  field() { on 2 "sluice status $store --json" | grep -o '"hints": *{[^}]*}' | sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p"; }
  above() { local now; now=$(field "$1"); [ "${now:-0}" -gt "$2" ]; }
  told() { grep -c '^took' "$RUN/g2/hinted.told"; }
  has_told() { [ "$(told)" -ge "$1" ]; }
  # logged LOG WORD: when, in ms. All guests have this machine's clock.
  logged() { date -d "$(sed -n "s/ .* applier: $2.*//p" "$RUN/$1" | tail -n 1)" +%s%3N; }
  hinted_leads() { on 2 "sluice status $store --json" | grep -q "\"holder\": *\"$1\""; }
  # slowest FIRST: of the batches from that one on, in ms.
  slowest() { sed -n 's/^took //p' "$RUN/g2/hinted.told" | tail -n +"$1" | sort -n | tail -n 1; }

  must "a store is made" on 1 "sluice init $store" >/dev/null || return
  must "an applier takes hints" on 1 "sluice apply $store --hints auto:7400 >/dev/null 2>\$OUT/hinted.log & echo \$! >/tmp/hinted" || return
  must "tables are made" on 2 "sluice-nfs-probe write --setup $store x /tmp/x" || return
  must "a writer begins" on 2 "sluice-nfs-probe commits $store 1000000 --pause .2 --tells >\$OUT/hinted.told 2>&1 & echo \$! >/tmp/hinted" || return
  must "batches are applied" within 60 has_told 40 || return
  must "hints between hosts are useful" within 10 above useful 0 || return

  for host in 1 2; do must "no datagram reaches host $host" on $host "ip route add blackhole 10.77.0.1$((3 - host))/32" || return; done
  before=$(($(told) + 1))
  # Of what came before the beacon says so within a beat.
  sleep 3
  received=$(field received)
  must "batches are applied without hints" within 120 has_told $((before + 20)) || return
  must "no hint arrives meanwhile" test "$(field received)" = "$received"
  must "each has its outcome as soon as by polling" test "$(slowest $before)" -le $POLLED_ms
  # The leader looks as seldom as where hints arrive until it has met what none told of.
  must "and sooner once that is noticed" test "$(slowest $((before + 2)))" -le $BUSY_ms
  result note "hints: a batch took $(slowest $before) ms at most while they were lost"

  useful=$(field useful)
  for host in 1 2; do must "host $host is reached again" on $host "ip route del blackhole 10.77.0.1$((3 - host))/32" || return; done
  must "hints are useful again" within 60 above useful "$useful" || return

  must "the writer ends" on 2 'kill $(cat /tmp/hinted)'
  must "a standby of the other host takes hints" on 2 "sluice apply $store --hints auto:7400 --holder second >/dev/null 2>\$OUT/second.log & echo \$! >/tmp/second" || return
  # Until leader and standby rest.
  sleep 30
  must "the applier ends" on 1 'kill $(cat /tmp/hinted)'
  must "the standby takes over" within 20 hinted_leads second || return
  took=$(($(logged g2/second.log leading) - $(logged g1/hinted.log released)))
  must "it was told of the release" test "$took" -le $TOLD_ms
  result note "hints: another host led $took ms after the release"
  must "the next one ends" on 2 'kill $(cat /tmp/second)'
}
