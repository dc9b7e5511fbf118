# oneshot.sh NAME DIARY: the command as a process for each batch, under the writers' rules and with
# their kind of diary (Probe/WriteRole.swift); odd numbers are transfers with a key.
# shellcheck shell=bash disable=SC2154
name=$1 diary=$2 ended=
trap 'ended=1' TERM
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
    sluice submit /mnt/efs/store "$sql" $key --wait durable >/dev/null
    status=$?
    case $status in
      0) echo "durable $number" >>"$diary" ;;
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
  read -r -t 0.5 -u 7
done
