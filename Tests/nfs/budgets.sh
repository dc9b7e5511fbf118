# Requests to the file server that an operation may cost, counted by the clients' kernels. Nothing
# else uses the mounts meanwhile: the applier is alone on host 1, everybody else on host 2.
# shellcheck shell=bash disable=SC2154

budgets() {
  local before=$RUN/before after=$RUN/after commits=70 seconds=5 window least="" used
  probe() { "$BIN/sluice-nfs-probe" budget "$@" >>"$RUN/results"; }
  # count MOUNT FILE
  count() { on 1 "sluice-nfs-probe requests $1" >"$2"; }
  # total FILE: requests, without the time that they took.
  total() { awk '$1 != "TIME_ms" { n += $2 } END { print n + 0 }' "$1"; }
  # Whoever keeps a segment in the journal is there, and nobody else.
  five_segments() { [ "$(on 2 "ls /mnt/efs/budget/journal | grep -c '\.seg$'")" = 5 ]; }

  on 1 "sluice init /mnt/efs/budget && sluice init /mnt/efs/alone" >/dev/null || return 1
  on 2 "efsmount /mnt/ro ro,nosharecache" || return 1
  # On host 1 the journal is a mount of its own, so that what the applier does there is counted by
  # itself. (Not mounted into the store's own directory: crossing that would be counted too.)
  on 1 "efsmount /mnt/journal nosharecache; mkdir -p /tmp/budget && cd /tmp/budget || exit 1
    cp /mnt/efs/budget/store.json .
    for part in journal log checkpoints; do mkdir \$part; done
    mount --bind /mnt/journal/budget/journal journal
    mount --bind /mnt/efs/budget/log log
    mount --bind /mnt/efs/budget/checkpoints checkpoints
    sluice apply /tmp/budget --ttl $LEASE_s >/dev/null 2>\$OUT/budget.log & echo \$! >/tmp/applier" || return 1

  # Five writers have a segment in the journal; one of them submits, and waits for each batch.
  on 2 "sluice-nfs-probe write --setup /mnt/efs/budget x /tmp/x" || return 1
  on 2 "sluice-nfs-probe commits /mnt/efs/budget 20 --idle-writers 4 --linger 600 >/tmp/idle.out 2>&1 & echo \$! >/tmp/idle" || return 1
  within 60 on 2 'grep -q done /tmp/idle.out' || return 1
  on 2 "sluice-nfs-probe commits /mnt/efs/budget 10" >/dev/null || return 1
  # An applier removes what is old once a minute, which falls into one of three windows at most.
  for window in 1 2 3; do
    count /mnt/efs "$before.$window" && on 2 "sluice-nfs-probe commits /mnt/efs/budget $commits" >/dev/null &&
      count /mnt/efs "$after.$window" || return 1
    used=$(($(total "$after.$window") - $(total "$before.$window")))
    if [ -z "$least" ] || [ "$used" -lt "$least" ]; then
      least=$used
      cp "$before.$window" "$before" && cp "$after.$window" "$after" || return 1
    fi
  done
  # (and the one commit that the load begins with)
  probe "commit" 3 $((commits + 1)) "$before" "$after" --needs WRITE=2 --needs READ=1 || return 1

  on 2 "sluice-nfs-probe count --with-applier /mnt/efs/budget /mnt/ro/budget $BIN/sluice" >>"$RUN/results" || return 1
  on 2 "sluice-nfs-probe count /mnt/efs/alone /mnt/ro/alone $BIN/sluice" >>"$RUN/results" || return 1

  # All are quiet since long: the applier looks 20 times a second, each time one listing (the GETATTR)
  # and at most one read of each segment; of none less than once a second.
  within 10 five_segments || return 1
  count /mnt/journal "$before" && sleep $seconds && count /mnt/journal "$after" || return 1
  five_segments && on 2 'kill -0 $(cat /tmp/idle)' && on 1 'kill -0 $(cat /tmp/applier)' || return 1
  probe "idle applier, listings a second" 20 0 "$before" "$after" --of GETATTR --least 10 || return 1
  probe "idle applier, a look at 5 segments" 6 1 "$before" "$after" --each GETATTR --least 1.25 || return 1
  on 2 'kill -9 $(cat /tmp/idle)' && on 1 'kill $(cat /tmp/applier)'
}
