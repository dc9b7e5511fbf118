# What each guest of `make nfs` runs: it carries out what the host side asks for. A request is a
# script that appears as $OUT/ask/NAME.sh; what it prints and its exit status are left beside it.
# It ends when $OUT/end is there. Requests run side by side; what they start in the background stays.
export PATH=$BIN:$PATH SWIFT_BACKTRACE=enable=no
# Memory once had is kept: a page fault takes 0.1 ms here, and 4 MiB have a thousand pages.
export MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=134217728
# To pause without making a process for it.
mkfifo /tmp/never && exec 7<>/tmp/never
while [ ! -e "$OUT/end" ]; do
  for script in "$OUT"/ask/*.sh; do
    [ -e "$script" ] || continue
    request=${script%.sh}
    mv "$script" "$request.taken"
    (
      bash "$request.taken" >"$request.out" 2>"$request.err"
      echo $? >"$request.new" && mv "$request.new" "$request.rc"
    ) &
  done
  read -r -t 0.03 -u 7
done
kill -9 $(jobs -p) 2>/dev/null
exit 0
