# oneshot.sh NAME DIARY: the command as a process for each batch, under the writers' rules and with
# their kind of diary (Probe/WriteRole.swift); odd numbers are transfers with a key.
# shellcheck shell=bash disable=SC2154
name=$1 diary=$2 ended=
trap 'ended=1' TERM
for ((number = 1; ; number++)); do
  echo "begin $number" >>"$diary"
  [ -z "$ended" ] || exit 0
  sql="INSERT INTO entries VALUES ('$name', $number)" key=
  if ((number % 2)); then
    sql+="; UPDATE accounts SET balance = balance - $((number % 13 + 1)) WHERE id = $((number % 16 + 1))"
    sql+="; UPDATE accounts SET balance = balance + $((number % 13 + 1)) WHERE id = $(((number * 7 + 3) % 16 + 1))"
    key="--id $name/$number"
  fi
  # shellcheck disable=SC2086
  while :; do
    sluice submit /mnt/efs/store "$sql" $key --wait durable >/dev/null
    case $? in
      0) echo "durable $number" >>"$diary" ;;
      75) echo "absent $number" >>"$diary" ;;
      # Its outcome is unknown: with a key it may be submitted again.
      *) [ -n "$key" ] && continue; echo "unknown $number" >>"$diary" ;;
    esac
    break
  done
  # On the host's disk, before the next one: a host that loses power takes what is not.
  sync "$diary"
  read -r -t 0.5 -u 7
done
