# What is done to hosts, network and server while two appliers, writers and readers work, and what
# must hold. Runs on the host side, within testbed.sh; the guests are the hosts 1 and 2.
# shellcheck shell=bash disable=SC2154
. "$HERE/stage.sh"
. "$HERE/budgets.sh"
. "$HERE/speed.sh"
. "$HERE/hints.sh"
. "$HERE/busy.sh"
STORE=/mnt/efs/store VIEW=/mnt/ro/store
# Planted by hand, to see that it is noticed: an applier that is missed too late, or a change to the
# tables that no writer made.
TTL_s=$LEASE_s PLANTED=
case $SABOTAGE in
  late) TTL_s=$((LEASE_s * 4)) ;;
  lost) PLANTED="DELETE FROM entries WHERE rowid = (SELECT max(rowid) / 2 FROM entries)" ;;
  twice) PLANTED="INSERT INTO entries SELECT writer, number FROM entries ORDER BY rowid DESC LIMIT 1" ;;
  order) PLANTED="UPDATE entries SET number = CASE number WHEN 3 THEN 5 ELSE 3 END WHERE number IN (3, 5)" ;;
  money) PLANTED="UPDATE accounts SET balance = balance + CASE id WHEN 1 THEN 7 ELSE -7 END WHERE id < 3" ;;
esac
mkdir -p "$RUN/g1/ask" "$RUN/g2/ask"
trap 'touch "$RUN/g1/end" "$RUN/g2/end"' EXIT

# ---- who works -----------------------------------------------------------------------------------

# What they write down, to be judged at the end.
DIARIES=()
begin_work() {
  on 1 "sluice init $STORE" >/dev/null || return 1
  local host
  learn_clocks || return 1
  for host in 1 2; do
    on $host "[ -d /mnt/ro ] || efsmount /mnt/ro ro,nosharecache" || return 1
    start_applier $host || return 1
    [ $host = 2 ] || within 10 leads 1 || return 1
  done
  on 1 "sluice-nfs-probe write --setup $STORE x /tmp/x" || return 1
  for host in 1 2; do
    on $host "for n in 1 2; do
        sluice-nfs-probe write $STORE host$host-\$n \$OUT/host$host-\$n.writer --server-ahead=${server_ahead_ms[$host]} 2>>\$OUT/writers.log &
        echo \$! >>/tmp/writers
      done
      sluice-nfs-probe read $VIEW \$OUT/host$host.reader --server-ahead=${server_ahead_ms[$host]} 2>\$OUT/reader.log & echo \$! >/tmp/reader
      . '$BIN/oneshot.sh' host$host-0 \$OUT/host$host-0.submitter durable ${server_ahead_ms[$host]} 2>>\$OUT/oneshot.log & echo \$! >>/tmp/writers
      . '$BIN/oneshot.sh' host$host-3 \$OUT/host$host-3.asker applied ${server_ahead_ms[$host]} 2>>\$OUT/oneshot.log & echo \$! >>/tmp/writers" || return 1
    DIARIES+=("$RUN/g$host/host$host"{-0.submitter,-1.writer,-2.writer,-3.asker,.reader})
  done
}

# By how many ms the file server's clock is ahead of each host's, and [0] of this machine's: what is done
# to hosts is done in this machine's time; what they write down is in the server's, as it is now. (The
# clocks of guests, of which knfsd is one, are set when they boot, and on a busy machine late.)
server_ahead_ms=(0 0 0)
learn_clocks() {
  local host before after guest best=$((1 << 30))
  for host in 1 2; do
    server_ahead_ms[host]=$(on $host "sluice-nfs-probe server-ahead /mnt/efs/clock-$host") || return 1
  done
  for _ in 1 2 3 4 5; do
    before=$(now_ms)
    guest=$(on 1 'echo $((${EPOCHREALTIME/[.,]/} / 1000))') || return 1
    after=$(now_ms)
    ((after - before < best)) || continue
    best=$((after - before))
    server_ahead_ms[0]=$((server_ahead_ms[1] + guest - (before + after) / 2))
  done
  result note "the server's clock is ${server_ahead_ms[0]} ms ahead, to some 100"
}

start_applier() {
  on "$1" ". '$BIN/supervise.sh' host$1 $TTL_s 2>>\$OUT/apply.log >&2 & echo \$! >/tmp/supervisor"
}

# status FIELD HOST: a field of `sluice status --json`, the first of that name.
status() {
  on "$2" "sluice status $VIEW --json" | grep -o "\"$1\": *[^,}]*" | head -n 1 | sed 's/.*: *//; s/"//g'
}
# find_leader N: sets `old` to the host that leads, as host N sees it, and `new` to the other one.
find_leader() {
  old=$(status holder "$1" | sed -n 's/^host//p')
  new=$((3 - ${old:-3}))
  [ $new = 1 ] || [ $new = 2 ]
}
# leads N: as host N sees it. How long that took is measured by the readers, so it is waited for
# longer than it may take.
leads() {
  local json
  # Whatever its exit code says of the store's health.
  json=$(on "$1" "sluice status $VIEW --json") || true
  [[ $json == *"\"holder\": \"host$1\""* && $json == *'"state": "active"'* ]]
}

# ---- a scenario ----------------------------------------------------------------------------------

# scenario NAME TITLE FUNCTION: the function does the harm; it sets `faulted` to when the time without
# an applier begins, in ms (0: there is none), `least_s` to how long it must last at least, and `witness`
# to the host whose reader measures it; `retaken` to when the host that had led came back, where it
# leads again.
scenario() {
  local name=$1 title=$2 text proof=
  FAILURES=() faulted=0 least_s=0 witness= retaken=0
  "$3" || [ ${#FAILURES[@]} != 0 ] || must "broken off" false
  [ -z "$witness" ] || must "settled afterwards" settled
  # The time without an applier is known when the readers have ended.
  if [ ${#FAILURES[@]} = 0 ]; then text=ok; else text=$(IFS=';' && echo "FAILED: ${FAILURES[*]}"); fi
  SCENARIOS+=("$name|$title|$faulted|$proof|$least_s|$witness|$retaken|$text")
}
SCENARIOS=()
# A standby waits so long for one that released nothing; the last beat was up to a second before.
UNRELEASED_s=$((LEASE_s - 1))

# Afterwards there is one applier, nothing lies in quarantine, nothing waits for long; and a batch that
# is submitted only now is applied: it ends the time without an applier.
settled() { within 30 calm && within 40 proven; }
# (What a server does not answer its client asks again after a minute: another process may have more luck.)
proven() {
  local told
  told=$(PATIENCE_s=15 on "$witness" "sluice submit $STORE 'SELECT 1' --wait applied --timeout 10 --json") || return 1
  proof=$(sed -n 's/.*"txid": *\([0-9]*\).*/\1/p' <<<"$told")
  [ "${proof:-0}" -gt 0 ]
}
calm() {
  local json
  json=$(on "$witness" "sluice status $VIEW --json") || true
  [[ $json == *'"state": "active"'* && $json == *'"quarantined": 0'* ]] || return 1
  [ "$(sed 's/.*"batches": \([0-9]*\).*/\1/' <<<"$json")" -lt 100 ]
}
has_applied() { local txid; txid=$(status txid 2); [ "${txid:-0}" -ge "$1" ]; }
works() { on "$1" 'kill -0 $(cat /tmp/supervisor) && kill -0 $(cat /tmp/applier)'; }
stepped_back() { on "$1" "tail -n +$(($2 + 1)) \$OUT/apply.log | grep -qE 'no longer leading|ended with status'"; }
log_lines() { on "$1" 'wc -l <$OUT/apply.log'; }

# What a new batch may take, beside the lease where that has to run out. A guest has a part of a processor,
# and a hand-over some 70 operations one after the other: what it takes is told, and judged only by this.
MOMENT_ms=3000
# released HOST: when it released the store last, in this machine's time. Sets `released`.
released() {
  local at
  at=$(on "$1" "grep ' released' \$OUT/apply.log | tail -n 1 | cut -d ' ' -f 1") && [ -n "$at" ] || return
  released=$(($(date -d "$at" +%s%3N) + server_ahead_ms[$1] - server_ahead_ms[0]))
}
# 5 ms from each host to the server: batches go on; and an applier that is told to end hands over at once.
latency_added() {
  local before old new
  for host in 1 2; do must "latency" on $host "latency 5"; done
  must "somebody leads" within 10 find_leader 2 || return
  before=$(status txid 2) && [ -n "$before" ] || return
  must "batches go on" within 10 has_applied $((before + 100))
  witness=$new
  must "somebody is ready to submit" prepare_to_ask "$new" || return
  faulted=$(now_ms)
  must "handed over" on "$old" 'kill -TERM $(cat /tmp/applier)'
  ask
  must "host $new leads" within 30 leads $new
  must "the old leader's release is known" released "$old" || return
  must "a new batch has its outcome within lease + 3 s of the release" answered "$released" $((LEASE_s * 1000 + MOMENT_ms))
  result note "handed over: a new batch has its outcome $answer ms after the release, otherwise after $usual ms"
  must "its supervisor has ended with it" within 10 on "$old" '! kill -0 $(cat /tmp/supervisor) 2>/dev/null'
  must "host $old has an applier again" start_applier "$old"
  for host in 1 2; do must "no latency" on $host "latency 0"; done
}

# Batches and commits of 4 MiB, longer than a WRITE can be, so that who reads may meet them in pieces.
# A reader on the other host compares what they leave with what was submitted. Appliers may change
# meanwhile: all of this is slow here, and a lease is short.
large_batches() {
  witness=1
  DIARIES+=("$RUN/g1/host1-large.reader" "$RUN/g2/host2-large.writer")
  must "somebody compares" on 1 "sluice-nfs-probe read --large --pause 200 $VIEW \$OUT/host1-large.reader --server-ahead=${server_ahead_ms[1]} 2>>\$OUT/reader.log & echo \$! >/tmp/comparing"
  must "somebody submits" on 2 "sluice-nfs-probe write --large --pause 4000 $STORE host2-large \$OUT/host2-large.writer --server-ahead=${server_ahead_ms[2]} 2>>\$OUT/writers.log & echo \$! >/tmp/large"
  must "two of them are compared" within 60 compared_two
  must "who submits is there" on 2 'kill -TERM $(cat /tmp/large)'
  must "who submits ends" within 60 on 2 '! kill -0 $(cat /tmp/large) 2>/dev/null'
  if [ "$SABOTAGE" = large ]; then
    on 1 "sluice submit $STORE 'UPDATE large SET number = number - 1'" && sleep 3
  fi
  must "who compares is there" on 1 'kill -TERM $(cat /tmp/comparing)'
  must "who compares ends" within 20 on 1 '! kill -0 $(cat /tmp/comparing) 2>/dev/null'
}
compared_two() { [ "$(grep -c ^compared "$RUN/g1/host1-large.reader")" -ge 2 ]; }

# A host that leads stands still, longer than its leases with the store and with the file server.
paused_and_continued() {
  local old new lines back
  must "somebody leads" within 10 find_leader 1 || return
  witness=$new
  lines=$(log_lines "$old")
  faulted=$(now_ms) least_s=$UNRELEASED_s
  pause "$old"
  must "host $new leads" within 30 leads $new
  sleep $((SERVER_LEASE_s + 2 - ($(now_ms) - faulted) / 1000))
  unpause "$old"
  back=$(now_ms)
  must "host $old steps back" within 20 stepped_back "$old" "$lines"
  must "host $old stands by" within 10 works "$old"
  if leads $old; then retaken=$back; fi
}

# The leader's network is cut while it works, and healed when another leads: late writes arrive.
cut_and_healed() {
  local old new lines back
  must "somebody leads" within 10 find_leader 1 || return
  witness=$new
  lines=$(log_lines "$old")
  faulted=$(now_ms) least_s=$UNRELEASED_s
  cut "$old"
  must "host $new leads" within 30 leads $new
  sleep 2
  heal "$old"
  back=$(now_ms)
  must "host $old steps back" within 30 stepped_back "$old" "$lines"
  must "host $old stands by" within 10 works "$old"
  if leads $old; then retaken=$back; fi
}

# kill -9 of the server, and its start with a grace period, in which it gives out nothing new. It is
# back when it lets a client make a file again.
server_restarted() {
  local old new
  must "somebody leads" within 10 find_leader 1 || return
  witness=$old
  server_stop
  sleep 2
  server_start
  PATIENCE_s=60 must "the server is back" on 1 "touch /mnt/efs/back; rm /mnt/efs/back"
  faulted=$(now_ms)
}

# The leader's host loses power.
host_crashed() {
  local old new
  must "somebody leads" within 10 find_leader 1 || return
  witness=$new
  faulted=$(now_ms) least_s=$UNRELEASED_s
  crash "$old"
  DEAD=$old
  must "host $new leads" within 30 leads "$new"
}

# ---- the end -------------------------------------------------------------------------------------

# Writers and readers end; then everything is held against what they were told.
verify() {
  local host living=1 output rows
  [ "$DEAD" = 1 ] && living=2
  [ -z "$PLANTED" ] || on $living "sluice submit $STORE \"$PLANTED\"" >&2
  for host in 1 2; do
    [ "$host" = "$DEAD" ] && continue
    must "the writers of host $host are there" on $host 'gone=0; for writer in $(cat /tmp/writers); do kill -TERM $writer || gone=1; done; exit $gone'
  done
  for host in 1 2; do
    [ "$host" = "$DEAD" ] && continue
    must "the writers of host $host end" within 60 on $host '! kill -0 $(cat /tmp/writers) 2>/dev/null'
    must "the reader of host $host is there" on $host 'kill -TERM $(cat /tmp/reader)'
    must "the reader of host $host ends" within 20 on $host '! kill -0 $(cat /tmp/reader) 2>/dev/null'
  done
  must "everything is applied" within 60 drained $living
  must "what busy workers submitted is applied, once and in order" floods_applied $living
  # An applier may fail with its host's files, and is told to end by us; a crash of it is another thing.
  output=$(grep -h '^ended with status' "$RUN"/g?/apply.log | grep -vxE 'ended with status (0|74)')
  must "no applier crashed (${output//$'\n'/, })" test -z "$output"
  # Any SQLite reads the checkpoint, on a host that did not write it.
  must "a checkpoint is made" on $living "sluice checkpoint $STORE" >&2
  rows=$RUN/g$living/rows
  on $living "ls $VIEW >/dev/null; sqlite3 'file:$VIEW/current.sqlite?mode=ro&immutable=1' \"
    PRAGMA integrity_check;
    SELECT 'entry', writer, number FROM entries ORDER BY rowid;
    SELECT 'account', id, balance FROM accounts\"" >"$RUN/checkpoint"
  must "plain sqlite3 finds the checkpoint intact" test "$(head -n 1 "$RUN/checkpoint")" = ok
  tail -n +2 "$RUN/checkpoint" >"$rows"
  # Those who died with their host have told what they know, and no end.
  output=$(PATIENCE_s=60 on $living "sluice-nfs-probe verify ${DEAD:+--dead host$DEAD} --store $VIEW --rows $rows \
    ${DIARIES[*]}") ||
    must "$(sed -n 's/^BROKEN //p' <<<"$output" | head -n 3 | paste -sd ';')" false
  result note "$(tail -n 1 <<<"$output")"
}
drained() { [ "$(status batches "$1")" = 0 ]; }

# The table's lines, with how long there was no applier.
conclude() {
  local line name title faulted proof least_s witness retaken text gap
  for line in "${SCENARIOS[@]}"; do
    IFS='|' read -r name title faulted proof least_s witness retaken text <<<"$line"
    gap=
    if [ "$faulted" != 0 ]; then
      gap=$(gap "$faulted" "$least_s") ||
        text="FAILED: without an applier for $least_s to $((LEASE_s + 3)) s, it should be; $text"
    fi
    # The server may let a leader wait for longer than its lease; of one that works nobody takes it.
    if [ "$retaken" != 0 ]; then
      line=$(gap "$retaken" $UNRELEASED_s) || text="FAILED: taken over again after $line of silence only; $text"
      result note "$title: the old leader leads again, after $line of silence"
    fi
    result scenario "$name" "$title" "$gap" "$text"
  done
}
# gap FROM LEAST_s: the longest time in which the present scenario's witness saw nothing new.
gap() {
  "$BIN/sluice-nfs-probe" gap "$RUN/g$witness/host$witness.reader" $(($1 + server_ahead_ms[0])) \
    "${proof:-0}" $((LEASE_s + 3)) --least "$2"
}

# How long this machine took for 0.1 s at most: where it was busy with other things, that explains much.
watch_machine() {
  local last now longest=0
  last=$(now_ms)
  while [ ! -e "$RUN/ended" ]; do
    pause_s .1
    now=$(now_ms)
    ((now - last > longest)) && longest=$((now - last))
    last=$now
  done
  echo $longest >"$RUN/longest"
}

# apart NAME TITLE: one with a store of its own.
apart() {
  FAILURES=()
  if "$1" && [ ${#FAILURES[@]} = 0 ]; then result scenario "$1" "$2" "" ok; else result scenario "$1" "$2" "" "FAILED: ${FAILURES[*]}"; fi
}
wanted() { [[ ,$ONLY, == *,$1,* ]]; }
DEAD=
main() {
  watch_machine &
  if wanted budgets; then budgets || result scenario counting "request counts" "" "FAILED: see hook.log"; fi
  if wanted speed; then apart speed "3 ms, beside a lock per write"; fi
  if wanted hints; then apart hints "hints between hosts, lost, back"; fi
  if [[ ! $ONLY =~ ^(budgets|speed|hints|,)*$ ]]; then
    begin_work || { result scenario begin "the beginning" "" "FAILED: see hook.log"; return; }
    sleep 1
    if wanted latency; then scenario latency "5 ms more to the server, hand-over" latency_added; fi
    if wanted large; then scenario large "batches and commits of 4 MiB" large_batches; fi
    if wanted pause; then scenario pause "leader's host paused, continued" paused_and_continued; fi
    if wanted cut; then scenario cut "leader's network cut, healed" cut_and_healed; fi
    if wanted restart; then scenario restart "server killed, restarted" server_restarted; fi
    if wanted busy; then scenario busy "hand-over, 3 ms, thousands wait" busy_handed_over; fi
    if wanted crash; then scenario crash "leader's host loses power" host_crashed; fi
    if wanted busycrash; then
      scenario busycrash "busy leader's host loses power" busy_host_crashed
    fi
    sleep 1
    scenario verify "all promises, at the end" verify
    conclude
  fi
  touch "$RUN/ended"
  within 5 test -s "$RUN/longest"
  result note "this machine took up to $(cat "$RUN/longest") ms for 100"
  result end
}
main
