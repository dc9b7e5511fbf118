# The report of one server, from the lines that scenarios.sh, budgets.sh and the probe left.
# shellcheck shell=bash

# (The last one costs a host.)
ALL=budgets,hints,latency,pause,cut,restart,busy,busycrash
# What budgets.sh measures: a figure that is missing was not kept.
BUDGETS='commit|latest read, nothing new|read within its staleness bound|warm submit|one-shot submit process|polling of 1 waiter, a second|polling of 200 waiters, a second|idle applier, listings a second|idle applier, a look at 5 segments'

# report SERVER SECONDS RESULTS ONLY: prints it; false when anything failed or is missing.
report() {
  awk -F '\t' -v server="$1" -v seconds="$2" -v only="$4" -v budgets="$BUDGETS" '
    $1 == "scenario" { scenario[++s] = $0; seen[$2] = 1 }
    $1 == "budget" { budget[++b] = $0; seen["budget " $2] = 1 }
    $1 == "note" { note[++n] = $2 }
    $1 == "end" { ended = 1 }
    function need(what) {
      if (seen[what]) return
      print "  MISSING: " what
      failed++
    }
    END {
      printf "\n%s (%d s)\n\n", server, seconds
      if (s) printf "  %-34s %-10s %s\n", "scenario", "no applier", "verdict"
      for (i = 1; i <= s; i++) {
        split(scenario[i], f, "\t")
        printf "  %-34s %-10s %s\n", f[3], f[4], f[5]
        if (f[5] != "ok") failed++
      }
      if (b) printf "\n  %-44s %8s %9s\n", "requests to the server", "at most", "measured"
      for (i = 1; i <= b; i++) {
        split(budget[i], f, "\t")
        printf "  %-44s %8s %9s  %s%s\n", f[2], f[3], f[4], f[5] == "ok" ? "" : f[5] "  ", f[6]
        if (f[5] != "ok") failed++
      }
      if (n) print ""
      for (i = 1; i <= n; i++) print "  " note[i]
      wanted = split(only, f, ",")
      for (i = 1; i <= wanted; i++) {
        if (f[i] == "budgets") {
          count = split(budgets, name, "|")
          for (j = 1; j <= count; j++) need("budget " name[j])
        } else {
          need(f[i])
          if (f[i] != "speed" && f[i] != "hints") verified = 1
        }
      }
      if (verified) need("verify")
      if (!ended) print "\n  BROKEN OFF: see the logs in the state directory"
      exit (failed || !ended)
    }' "$3"
}
