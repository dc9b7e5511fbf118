# How long a write takes over 3 ms, and how many are done a second, beside the round trips that they need and a
# lock around each write. Notes in the report, which nothing judges: a guest has one processor.
# shellcheck shell=bash disable=SC2154

speed() {
  local host seconds=20 pids name
  # figure FILE NAME: what the probe told; the sum where several did.
  figure() { cat "$RUN"/speed."$1" | awk -v name="$2" '$1 == name { n += $2 } END { print n + 0 }'; }
  # each_host COMMAND: four times on each host, at the same time.
  each_host() {
    local host n pids=()
    for host in 1 2; do
      for n in 1 2 3 4; do
        PATIENCE_s=$((seconds + 120)) on $host "sluice-nfs-probe speed ${2//NAME/h$host-$n}" >"$RUN/speed.$1.$host$n" & pids+=($!)
      done
    done
    for n in "${pids[@]}"; do wait "$n" || return 1; done
    cat "$RUN/speed.$1".?? >"$RUN/speed.$1"
  }
  # processor HOST FILE: how busy its processor was so far, in ticks, and all of them; requests HOST FILE: of its mount.
  processor() { on "$1" 'head -n 1 /proc/stat' | tr -d '\r' | awk '{ for (n = 2; n <= NF; n++) all += $n; print all - $5 - $6, all }' >"$RUN/speed.$2"; }
  requests() { on "$1" "sluice-nfs-probe requests /mnt/efs" | tr -d '\r' >"$RUN/speed.$2"; }
  # busier FILE FILE: per cent between the two.
  busier() { cat "$RUN/speed.$1" "$RUN/speed.$2" | awk 'NR == 1 { b = $1; a = $2 } NR == 2 { print int(100 * ($1 - b) / ($2 > a ? $2 - a : 1)) }'; }
  # more KIND: requests of a kind of both hosts in the busy time.
  more() { cat "$RUN"/speed.after? "$RUN"/speed.before? | awk -v kind="$1" '$1 == "TIME_ms" { side++ } $1 == kind { n += side <= 2 ? $2 : -$2 } END { print n + 0 }'; }
  must "a store is made" on 1 "sluice init /mnt/efs/speed && mkdir /mnt/efs/locked" >/dev/null || return
  must "an applier starts" on 1 "sluice apply /mnt/efs/speed --hints auto:7400 >/dev/null 2>\$OUT/speed.log & echo \$! >/tmp/applier" || return
  must "tables are made" on 1 "sluice-nfs-probe write --setup /mnt/efs/speed x /tmp/x" || return
  for host in 1 2; do must "latency" on $host "latency 3" || return; done
  must "round trips are measured" on 2 "sluice-nfs-probe speed bare /mnt/efs/bare 100" >"$RUN/speed.bare" || return
  must "another host reads" on 1 "sluice-nfs-probe speed latest /mnt/efs/speed 10.77.0.11:7500 >/dev/null 2>\$OUT/latest.log &" || return
  must "a lone writer is measured" on 2 "sluice-nfs-probe speed lone /mnt/efs/speed 100 10.77.0.11:7500" >"$RUN/speed.lone" || return
  for host in 1 2; do requests $host before$host; done
  processor 1 idle
  must "busy writers are measured" each_host busy "busy /mnt/efs/speed NAME $seconds" || return
  processor 1 worked
  for host in 1 2; do requests $host after$host; done
  on 1 'kill $(cat /tmp/applier)'
  must "a lone lock is measured" on 2 "sluice-nfs-probe speed locked /mnt/efs/locked 10" >"$RUN/speed.alone" || return
  must "locks are measured" each_host locked "locked /mnt/efs/locked $seconds" || return
  for host in 1 2; do must "no latency" on $host "latency 0"; done
  # For `make bench`: microseconds, and writes a second.
  {
    echo "trips $(($(figure bare write) + $(figure bare read)))"
    echo "read $(figure bare read)"
    echo "seconds $seconds"
    echo "reads $(more READ)"
    echo "writes $(more WRITE)"
    echo "writer-reads $(figure busy reads)"
    echo "writer-writes $(figure busy writes)"
    echo "working $(busier idle worked)"
    for name in durable applied latest processor; do echo "$name $(figure lone $name)"; done
    echo "busy $(figure busy rate)"
    echo "locked $(figure locked rate)"
  } >"$RUN/speed.figures"
  awk -v write="$(figure bare write)" -v read="$(figure bare read)" -v durable="$(figure lone durable)" \
    -v applied="$(figure lone applied)" -v latest="$(figure lone latest)" -v busy="$(figure busy rate)" \
    -v locked="$(figure locked rate)" -v alone="$(figure alone each)" 'BEGIN {
      two = write + read
      printf "a round trip: write %.1f ms, read %.1f ms\n", write / 1000, read / 1000
      printf "durable: %.1f ms, %.2f of the two round trips that it needs\n", durable / 1000, durable / two
      printf "applied: %.1f ms, %.2f of six; a lock per write: %.1f ms\n", applied / 1000, applied / two / 3, alone / 1000
      printf "latest read: %.1f ms, %.2f of one\n", latest / 1000, latest / read
      printf "8 busy processes on two hosts: %d a second; with a lock per write %.1f; %d times\n", busy, locked, busy / locked
    }' >"$RUN/speed"
  awk -v reads="$(more READ)" -v writes="$(more WRITE)" -v working="$(busier idle worked)" 'BEGIN {
    printf "under that load: %.2f READs a WRITE (%d, %d); the applier'"'"'s processor busy for %d %%\n", reads / (writes ? writes : 1), reads, writes, working
  }' >>"$RUN/speed"
  while read -r line; do result note "$line"; done <"$RUN/speed"
}
