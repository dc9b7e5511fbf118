# What is done to hosts, network and server while two appliers, writers and readers work, and what
# must hold. Runs on the host side, within testbed.sh; the guests are the hosts 1 and 2.
# shellcheck shell=bash disable=SC2154
. "$HERE/stage.sh"
. "$HERE/budgets.sh"
STORE=/mnt/efs/store VIEW=/mnt/ro/store
mkdir -p "$RUN/g1/ask" "$RUN/g2/ask"
trap 'touch "$RUN/g1/end" "$RUN/g2/end"' EXIT

# ---- who works -----------------------------------------------------------------------------------

begin_work() {
  on 1 "sluice init $STORE" >/dev/null || return 1
  local host
  for host in 1 2; do
    on $host "[ -d /mnt/ro ] || efsmount /mnt/ro ro,nosharecache" || return 1
    # Whoever runs an applier starts it again when it ends with an error.
    on $host "(until sluice apply $STORE --ttl $LEASE_s --holder host$host; do echo 'started again'; sleep .5; done) 2>\$OUT/apply.log >&2 & echo \$! >/tmp/supervisor" || return 1
    [ $host = 2 ] || within 10 leads 1 || return 1
  done
  on 1 "sluice-nfs-probe write --setup $STORE x /tmp/x" || return 1
  for host in 1 2; do
    on $host "for n in 1 2; do
        sluice-nfs-probe write $STORE host$host-\$n \$OUT/host$host-\$n.writer 2>>\$OUT/writers.log &
        echo \$! >>/tmp/writers
      done
      sluice-nfs-probe read $VIEW \$OUT/host$host.reader --clock-file /mnt/efs/clock$host 2>\$OUT/reader.log & echo \$! >/tmp/reader
      . '$BIN/oneshot.sh' host$host-0 \$OUT/host$host-0.writer 2>\$OUT/oneshot.log & echo \$! >/tmp/oneshot" || return 1
  done
}

# status FIELD HOST: a field of `sluice status --json`, the first of that name.
status() {
  on "$2" "sluice status $VIEW --json" | grep -o "\"$1\": *[^,}]*" | head -n 1 | sed 's/.*: *//; s/"//g'
}
leader() { status holder "$1" | sed -n 's/^host//p'; }
# leads N: as host N sees it. How long that took is measured by the readers, so it is waited for
# longer than it may take.
leads() {
  local json
  json=$(on "$1" "sluice status $VIEW --json") || return 1
  [[ $json == *"\"holder\": \"host$1\""* && $json == *'"state": "active"'* ]]
}

# ---- a scenario ----------------------------------------------------------------------------------

# scenario NAME FUNCTION: the function does the harm; it sets `faulted` to when the time without an
# applier begins, in ms (0: there is none), and `witness` to the host whose reader measures it.
scenario() {
  local name=$1 text
  FAILURES=() faulted=0 witness=
  "$2"
  [ -z "$witness" ] || settled || must "not settled afterwards" false
  # The gap is known when the readers have ended.
  if [ ${#FAILURES[@]} = 0 ]; then text=ok; else text=$(IFS=';' && echo "FAILED: ${FAILURES[*]}"); fi
  SCENARIOS+=("$name|$faulted|$(now_ms)|$witness|$text")
}
SCENARIOS=()

# Afterwards there is one applier, nothing lies in quarantine, and nothing waits for long.
settled() {
  within 15 calm
}
calm() {
  local json
  json=$(on "$witness" "sluice status $VIEW --json") || return 1
  [[ $json == *'"state": "active"'* && $json == *'"quarantined": 0'* ]] || return 1
  [ "$(sed 's/.*"batches": \([0-9]*\).*/\1/' <<<"$json")" -lt 100 ]
}
works() { on "$1" "kill -0 \$(cat /tmp/supervisor) && pgrep -f 'apply $STORE' >/dev/null"; }
stepped_back() { on "$1" "tail -n +$(($2 + 1)) \$OUT/apply.log | grep -qE 'no longer leading|started again'"; }
log_lines() { on "$1" 'wc -l <$OUT/apply.log'; }

# 5 ms each way to the server: batches go on; and an applier that is told to end hands over at once.
latency_added() {
  local before after old new
  for host in 1 2; do must "latency" on $host "latency 5"; done
  before=$(status txid 2)
  sleep 3
  after=$(status txid 2)
  must "batches go on" test "$after" -gt $((before + 30))
  old=$(leader 2) new=$((3 - old)) witness=$new
  faulted=$(now_ms)
  must "handed over" on "$old" "pkill -TERM -P \$(cat /tmp/supervisor) sluice"
  must "host $new leads" within 30 leads $new
  # (its supervisor has ended with it)
  on "$old" "(until sluice apply $STORE --ttl $LEASE_s --holder host$old; do echo 'started again'; sleep .5; done) 2>>\$OUT/apply.log >&2 & echo \$! >/tmp/supervisor"
  for host in 1 2; do must "no latency" on $host "latency 0"; done
}

# A host that leads stands still, longer than its leases with the store and with the file server.
paused_and_continued() {
  local old new lines
  old=$(leader 1) new=$((3 - old)) witness=$new
  lines=$(log_lines "$old")
  faulted=$(now_ms)
  pause "$old"
  must "host $new leads" within 30 leads $new
  sleep $((SERVER_LEASE_s + 2 - ($(now_ms) - faulted) / 1000))
  unpause "$old"
  must "host $old steps back" within 20 stepped_back "$old" "$lines"
  must "host $old stands by" within 10 works "$old"
  must "host $new still leads" leads $new
}

# The leader's network is cut while it works, and healed when another leads: late writes arrive.
cut_and_healed() {
  local old new lines
  old=$(leader 1) new=$((3 - old)) witness=$new
  lines=$(log_lines "$old")
  faulted=$(now_ms)
  cut "$old"
  must "host $new leads" within 30 leads $new
  sleep 2
  heal "$old"
  must "host $old steps back" within 30 stepped_back "$old" "$lines"
  must "host $old stands by" within 10 works "$old"
  must "host $new still leads" leads $new
}

# kill -9 of the server, and its start with a grace period, in which it gives out nothing new. It is
# back when it lets a client make a file again.
server_restarted() {
  witness=$(leader 1)
  server_stop
  sleep 2
  server_start
  PATIENCE_s=60 must "the server is back" on 1 "touch /mnt/efs/back; rm /mnt/efs/back"
  faulted=$(now_ms)
}

# The leader's host loses power.
host_crashed() {
  local old new
  old=$(leader 1) new=$((3 - old)) witness=$new
  faulted=$(now_ms)
  crash "$old"
  DEAD=$old
  must "host $new leads" within 30 leads $new
}

# ---- the end -------------------------------------------------------------------------------------

# Writers and readers end; then everything is held against what they were told.
verify() {
  local host living=1 output
  [ "$DEAD" = 1 ] && living=2
  for host in 1 2; do
    [ "$host" = "$DEAD" ] || on $host 'kill -TERM $(cat /tmp/writers) $(cat /tmp/oneshot)' || return 1
  done
  for host in 1 2; do
    [ "$host" = "$DEAD" ] && continue
    must "the writers of host $host end" within 60 on $host '! kill -0 $(cat /tmp/writers) $(cat /tmp/oneshot) 2>/dev/null'
    on $host 'kill -TERM $(cat /tmp/reader)'
    must "the reader of host $host ends" within 20 on $host '! kill -0 $(cat /tmp/reader) 2>/dev/null'
  done
  sync
  output=$(on $living "sluice-nfs-probe verify ${SABOTAGE:+--sabotage $SABOTAGE} $VIEW $RUN/g?/*.writer $RUN/g?/*.reader") ||
    must "$(sed -n 's/^BROKEN //p' <<<"$output" | head -n 3 | paste -sd ';')" false
  result note "$(tail -n 1 <<<"$output")"
  # Any SQLite reads the checkpoint, on a host that did not write it.
  must "a checkpoint is made" on $living "sluice checkpoint $STORE" >/dev/null
  output=$(on $living "sqlite3 'file:$VIEW/current.sqlite?mode=ro&immutable=1' 'PRAGMA integrity_check; SELECT sum(balance) FROM accounts'")
  must "plain sqlite3 finds the checkpoint intact" test "$output" = $'ok\n16000'
}

# The table's lines, with how long there was no applier.
conclude() {
  local line name faulted until witness text gap
  for line in "${SCENARIOS[@]}"; do
    IFS='|' read -r name faulted until witness text <<<"$line"
    gap=
    if [ "$faulted" != 0 ]; then
      gap=$("$BIN/sluice-nfs-probe" gap "$RUN/g$witness/host$witness.reader" "$faulted" "$until")
      awk -v gap="${gap:-999}" -v most=$((LEASE_s + 3)) 'BEGIN { exit gap > most }' ||
        text="FAILED: no applier for $gap s; $text"
      gap="$gap s"
    fi
    result scenario "$name" "$gap" "$text"
  done
}

wanted() { [[ ,$ONLY, == *,$1,* ]]; }
DEAD=
main() {
  if wanted budgets; then budgets || result scenario "request counts" "" "FAILED: see the log"; fi
  if [ "$ONLY" != budgets ]; then
    begin_work || { result scenario "the beginning" "" "FAILED: see the log"; return; }
    sleep 1
    if wanted latency; then scenario "5 ms more to the server, hand-over" latency_added; fi
    if wanted pause; then scenario "leader's host paused, continued" paused_and_continued; fi
    if wanted cut; then scenario "leader's network cut, healed" cut_and_healed; fi
    if wanted restart; then scenario "server killed, restarted" server_restarted; fi
    if wanted crash; then scenario "leader's host loses power" host_crashed; fi
    sleep 1
    scenario "all promises, at the end" verify
    conclude
  fi
  result end
}
main
