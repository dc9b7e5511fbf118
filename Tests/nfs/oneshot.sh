# oneshot.sh NAME DIARY WAIT SERVER_AHEAD_ms: the command as a process for each batch, under the writers' rules and with
# their kind of diary (Probe/WriteRole.swift); odd numbers are transfers with a key. With the WAIT
# `applied` a query that knows the TxID follows each: `query N STATUS ENTRIES`.
# shellcheck shell=bash disable=SC2154
name=$1 diary=$2 wait=$3 server_ahead_ms=$4 ended=
trap 'ended=1' TERM

applied() { # applied WHAT SUBMIT PRINTED: "applied TXID: …" or "duplicate of TXID: …"
  local kind txid seen status
  read -r kind txid _ <<<"${1/ of / }"
  echo "$kind $number ${txid%:} $((${EPOCHREALTIME/[.,]/} / 1000 + server_ahead_ms))" >>"$diary"
  # 66: the snapshot expired, since the host stood still meanwhile; 74: its client had lost its server's
  # lease, and answers what is under way then with an error.
  for _ in 1 2 3; do
    seen=$(sluice query /mnt/ro/store "SELECT count(*) AS n FROM entries WHERE writer = ? AND number = ?" \
      "$name" $number --at-least "${txid%:}" --csv)
    status=$?
    [ $status = 66 ] || [ $status = 74 ] || break
  done
  echo "query $number $status ${seen//[!0-9]/}" >>"$diary"
}

for ((number = 1; ; number++)); do
  echo "begin $number" >>"$diary"
  if [ -n "$ended" ]; then
    echo end >>"$diary"
    exit 0
  fi
  sql="INSERT INTO entries VALUES ('$name', $number)" key=
  if ((number % 2)); then
    sql+="; UPDATE accounts SET balance = balance - $((number % 13 + 1)) WHERE id = $((number % 16 + 1))"
    sql+="; UPDATE accounts SET balance = balance + $((number % 13 + 1)) WHERE id = $(((number * 7 + 3) % 16 + 1))"
    key="--id $name/$number"
  fi
  # shellcheck disable=SC2086
  while :; do
    told=$(sluice submit /mnt/efs/store "$sql" $key --wait $wait --timeout 60)
    status=$?
    case $status in
      0)
        echo "durable $number" >>"$diary"
        [ "$wait" = durable ] || applied "$told"
        ;;
      75) echo "absent $number" >>"$diary" ;;
      # Its outcome is unknown: with a key it may be submitted again.
      74) [ -n "$key" ] && continue; echo "unknown $number" >>"$diary" ;;
      # Nothing else can happen to a host that lives.
      *) echo "status $number $status" >>"$diary" ;;
    esac
    break
  done
  # On the host's disk, before the next one: a host that loses power takes what is not.
  sync "$diary"
  if [ "$wait" = durable ]; then read -r -t 0.5 -u 7; else read -r -t 2 -u 7; fi
done
