# supervise.sh HOLDER LEASE_s: an applier, started again when it ends with an error. How each ended is
# in the log; scenarios.sh says what is allowed.
while :; do
  sluice apply /mnt/efs/store --ttl "$2" --holder "$1" --log-level debug &
  echo $! >/tmp/applier
  wait $!
  status=$?
  echo "ended with status $status"
  [ $status = 0 ] && break
  sleep .5
done
