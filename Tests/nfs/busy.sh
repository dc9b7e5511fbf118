# Busy hosts: thousands of batches wait when the leader is told to end, or when its host dies.
# shellcheck shell=bash disable=SC2154

# Four busy workers on the host that leads, 3 ms from the server, until thousands of their batches wait.
# The judgement is when a batch that is submitted only after the fault has its outcome, and how fast the
# backlog is applied behind it. A guest has one processor: there the workers leave it to the applier, as they
# would on a host that has several.
WAITING=8000 MEASURED=3000 WORKERS=4
floods=0 usual_rate=${USUAL_RATE:-}
flood() { # flood HOST
  local n
  floods=$((floods + 1))
  for host in 1 2; do must "latency" on $host "latency 3"; done
  must "somebody is ready to submit" prepare_to_ask $((3 - $1)) || return
  for ((n = 1; n <= WORKERS; n++)); do
    must "worker $n" on "$1" "nice -n 19 sluice-nfs-probe flood $STORE flood$floods-$n \$OUT/flood$floods-$n.flood 2>>\$OUT/flood.log & echo \$! >>/tmp/floods$floods" || return
    FLOODS+=("$1 flood$floods-$n")
  done
  must "thousands of batches wait" within 120 has_waiting $((3 - $1)) || return
  must "host $1 leads still" leads "$1" || return
  waiting=$(status batches $((3 - $1)))
}
FLOODS=()
has_waiting() { local count; count=$(status batches "$1"); [ "${count:-0}" -ge $WAITING ]; }

# A process on HOST that is ready to submit a batch, and does when `ask` says so. Sets `usual`: what it takes now.
asks=0
prepare_to_ask() { # prepare_to_ask HOST
  asks=$((asks + 1)) asker=$1
  on "$1" "sluice-nfs-probe ask $STORE \$OUT/ask$asks \$OUT/ask$asks.diary --server-ahead=${server_ahead_ms[$1]} 2>>\$OUT/ask.log & true" &&
    within 120 grep -qs ready "$RUN/g$1/ask$asks.diary" || return
  usual=$(sed -n 's/^ready //p' "$RUN/g$1/ask$asks.diary")
}
ask() { : >"$RUN/g$asker/ask$asks"; }
# answered FROM_ms MOST_ms: it had its outcome so long after a time of this machine's at most. Sets `answer`.
answered() {
  local told
  within 120 grep -q answered "$RUN/g$asker/ask$asks.diary" || return
  told=$(sed -n 's/^answered \([0-9]*\) .*/\1/p' "$RUN/g$asker/ask$asks.diary")
  answer=$((told - server_ahead_ms[0] - $1))
  ((answer <= $2))
}
# applies_at HOST LEAST: since now so many batches of the backlog are applied a second, at least. Sets `rate`.
applies_at() {
  local from
  from=$(now_ms)
  within 180 calm
  rate=$("$BIN/sluice-nfs-probe" rate "$RUN/g$1/host$1.reader" $((from + server_ahead_ms[0])) $MEASURED --least "$2")
}

# In order: the leader is told to end. That is how fast a backlog is applied when nobody died.
busy_handed_over() {
  local old new waiting answer rate
  must "somebody leads" within 10 find_leader 1 || return
  witness=$new
  flood "$old" || return
  must "the workers end" on "$old" "kill -TERM \$(cat /tmp/floods$floods)"
  faulted=$(now_ms)
  must "handed over" on "$old" 'kill -TERM $(cat /tmp/applier)'
  ask
  must "host $new leads" within 30 leads "$new"
  must "the backlog is applied" applies_at "$new" 0
  usual_rate=$rate
  # A guest that is as busy as this is told seconds late.
  must "the old leader's release is known" released "$old" || return
  must "a new batch has its outcome within lease + 3 s of the release" answered "$released" $((LEASE_s * 1000 + MOMENT_ms))
  result note "busy, handed over: $waiting batches wait, a new one has its outcome $answer ms after the release, otherwise after $usual ms; $rate a second"
  must "its supervisor has ended with it" within 30 on "$old" '! kill -0 $(cat /tmp/supervisor) 2>/dev/null'
  must "host $old has an applier again" start_applier "$old"
  for host in 1 2; do must "no latency" on $host "latency 0"; done
}

# The leader's host loses power, and its busy workers with it.
busy_host_crashed() {
  local old new waiting answer rate
  [ -n "$usual_rate" ] || busy_handed_over || return
  must "somebody leads" within 10 find_leader 1 || return
  witness=$new
  within 60 calm
  flood "$old" || return
  faulted=$(now_ms) least_s=$UNRELEASED_s
  crash "$old"
  DEAD=$old
  ask
  must "host $new leads" within 30 leads "$new"
  must "the backlog is applied at half its usual rate" applies_at "$new" $((usual_rate / 2))
  must "a new batch has its outcome within lease + 3 s" answered "$faulted" $((LEASE_s * 1000 + MOMENT_ms))
  result note "busy, host dead: $waiting batches wait, a new one has its outcome after $answer ms, otherwise after $usual ms; $rate a second"
  must "no latency" on $new "latency 0"
}

# What busy workers were told is durable was applied, each batch once and in order.
floods_applied() {
  local line host name told row
  for line in "${FLOODS[@]}"; do
    read -r host name <<<"$line"
    told=$(sed -n 's/^durable //p' "$RUN/g$host/$name.flood" | tail -n 1)
    row=$(on "$1" "sluice query $STORE \"SELECT number, wrong FROM floods WHERE worker = '$name'\" --csv" | tail -n 1 | tr -d '\r')
    [ "${row##*,}" = 0 ] && [ "${row%%,*}" -ge "${told:-0}" ] || {
      echo "$name: ${told:-nothing} durable, in the table: $row" >&2
      return 1
    }
  done
}
