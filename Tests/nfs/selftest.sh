#!/bin/bash
# selftest.sh PROBE: what judges a run of `make nfs` (the report, the time without an applier, the
# figures, the verification) is given results that were made up: it must take the good ones, and find
# what is wrong with each of the others.
set -u
PROBE=$(readlink -f "$1")
HERE=$(dirname "$(readlink -f "$0")")
. "$HERE/report.sh"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
cd "$WORK" || exit 1
failed=0

# finds WHAT TEXT COMMAND…: it must fail, and say TEXT.
finds() {
  local what=$1 text=$2 said
  shift 2
  if said=$("$@" 2>&1); then wrong "$what is not found" "$said"; fi
  [[ $said == *"$text"* ]] || wrong "of $what it is not said: $text" "$said"
}
# takes WHAT COMMAND…: it must succeed.
takes() {
  local what=$1 said
  shift
  said=$("$@" 2>&1) || wrong "$what is refused" "$said"
}
wrong() {
  echo "selftest: $1" >&2
  sed 's/^/    /' <<<"$2" >&2
  failed=1
}
# instead FILE SED: the file with one thing changed.
instead() { sed "$2" "$1" >changed; }

# ---- the report ------------------------------------------------------------------------------------

SCENARIOS="${ALL//,/ } verify"
SCENARIOS=${SCENARIOS#budgets }
for name in $SCENARIOS; do
  printf 'scenario\t%s\tthe title of %s\t1.00 s\tok\n' $name $name
done >results
tr '|' '\n' <<<"$BUDGETS" | sed 's/.*/budget\t&\t3\t2.00\tok\tREAD 2.00/' >>results
printf 'note\tsome\nend\n' >>results
told() { report server 1 changed "${1:-$ALL}"; }

instead results ''
takes "a good report" told
for name in $SCENARIOS; do
  instead results "/^scenario\t$name\t/d"
  finds "a report without $name" "MISSING: $name" told
done
while read -r name; do
  instead results "/^budget\t$name\t/d"
  finds "a report without the figure '$name'" "MISSING: budget $name" told
done < <(tr '|' '\n' <<<"$BUDGETS")
instead results '/^budget/d; /latency/d; /pause/d; /cut/d; /restart/d'
takes "a report of one scenario" told busycrash
instead results '/^scenario\tcut/s/ok$/FAILED: x/'
finds "a scenario that failed" "FAILED: x" told
instead results '/^scenario\tcut/s/ok$//'
finds "a scenario without a verdict" "cut" told
instead results '/^budget\tcommit/s/ok/FAILED: OVER/'
finds "a figure that is over" "OVER" told
instead results '/^end/d'
finds "a run that was broken off" "BROKEN OFF" told
: >changed
finds "a run that did nothing" "BROKEN OFF" told

# ---- the time without an applier -------------------------------------------------------------------

# A fault at 1,000 ms; a batch that had been on its way is seen after it; then nothing for 4 s.
cat >diary <<'EOD'
read 900 910 7
read 1000 1010 8
read 1100 1110 8
read 5000 5010 9
read 5040 5050 10
EOD
gap() { "$PROBE" gap changed 1000 "$@"; }
instead diary ''
takes "a time without an applier" gap 10 6
finds "one that is too long" "4.00 s" gap 10 3.9
takes "one that is long enough" gap 10 6 --least 4
finds "one that is too short" "4.00 s" gap 10 6 --least 4.1
finds "one that has no end" "no end" gap 11 6
finds "one after which nothing was applied" "no end" gap 0 6
instead diary 's/50/5000/g; s/51/51000/'
finds "one of 5,000 seconds" "s" gap 10 6
: >changed
finds "a reader that saw nothing" "no end" gap 10 6

# ---- the rate of a backlog -------------------------------------------------------------------------

# From 1,000 ms on; behind the first news 400 batches take 200 ms.
cat >diary <<'EOD'
read 900 910 700
read 1000 1010 700
read 3000 4010 800
read 4090 4100 900
read 4200 4210 1200
EOD
rate() { "$PROBE" rate changed 1000 "$@"; }
instead diary ''
takes "a rate" rate 400 --least 1990
finds "one that is too low" "2000" rate 400 --least 2010
finds "a backlog that was never applied" "never so many" rate 401
: >changed
finds "a reader that saw nothing of it" "never so many" rate 1

# ---- figures ---------------------------------------------------------------------------------------

printf 'TIME_ms 0\nREAD 5\nWRITE 7\n' >before
cost() { # cost WRITES READS: in 100 repetitions and one second
  printf 'TIME_ms 1000\nREAD %d\nWRITE %d\n' $((5 + $2)) $((7 + $1)) >after
}
figure() {
  local said
  said=$("$PROBE" budget "a name" "$@") || return 1
  echo "$said"
  [ "$(cut -f 5 <<<"$said")" = ok ]
}
commit() { figure 3 100 before after --needs WRITE=2 --needs READ=1; }
cost 201 100
takes "a commit" commit
cost 250 100
finds "a commit that costs more" OVER commit
cost 300 0
finds "a commit without its READ" "fewer than 1.00 READ" commit
cost 100 200
finds "a commit with one WRITE" "fewer than 2.00 WRITE" commit
cost 0 0
finds "a commit that costs nothing" "fewer than" commit
cost 123450 0
finds "more than a thousand" "1234.50	FAILED: OVER" figure 30 100 before after
cost 1500 0
finds "more than a thousand a second" "1500.00	FAILED: OVER" figure 20 0 before after --of WRITE
cost 10 0
finds "a request where none is allowed" OVER figure 0 100 before after
finds "a kind that did not occur" FAILED figure 6 1 before after --each GETATTR
cost 5 0
finds "too few" "fewer than 10.00" figure 20 0 before after --of WRITE --least 10

# ---- the verification ------------------------------------------------------------------------------

# Three batches, the second is no transfer; and one of another host. What they leave, as plain sqlite3 prints it.
cat >h1-1.writer <<'EOD'
begin 1
durable 1 a
begin 2
applied 1 1 500
durable 2 b
begin 3
applied 2 2 1500
durable 3 c
begin 4
absent 4
applied 3 3 1995
end
EOD
cat >h2-1.asker <<'EOD'
begin 1
durable 1
applied 1 4 2100
query 1 0 1
begin 2
end
EOD
cat >h1.reader <<'EOD'
read 1000 1010 2
read 2000 2010 3
end
EOD
{
  printf 'entry|h1-1|%d\n' 1 2 3
  echo 'entry|h2-1|1'
  # 1: 2 from account 2 to 11, on both hosts. 3: 4 from account 4 to 9.
  for account in {1..16}; do
    case $account in 2) balance=996 ;; 11) balance=1004 ;; 4) balance=996 ;; 9) balance=1004 ;; *) balance=1000 ;; esac
    echo "account|$account|$balance"
  done
  printf 'batch|%s|%d\n' a 1 b 2 c 3 d 4
} >rows
verify() { "$PROBE" verify --rows "${rows:-rows}" "$@" h1-1.writer h2-1.asker h1.reader; }
takes "what is right" verify
found() { # found WHAT TEXT SED
  instead rows "$3"
  rows=changed finds "$1" "$2" verify
}
found "a lost batch" "2 was durable and is not there" '/h1-1|2/d'
found "a batch done twice" "2 was applied 2 times" '/h1-1|2/p'
found "the wrong order" "applied after" '/h1-1|1/{h;d}; /h1-1|3/{p;x}'
found "a batch that was refused" "is there, though it was not submitted" '/h1-1|3/{p;s/3$/4/}'
found "a batch of nobody" "never submitted" '/h1-1|3/{p;s/3$/9/}'
found "a stranger" "there is a writer h9" '/h1-1|3/{p;s/h1/h9/}'
found "money that went elsewhere" "account 2 is off by 1" 's/^account|2|996/account|2|997/; s/^account|4|996/account|4|995/'
found "a lost account" "15 accounts" '/^account|5|/d'
found "a batch that is twice in the log" "batch b twice" '/^batch|b/{p;s/2$/4/}'
found "a TxID that is missing" "3 batches were executed under 4" '/^batch|b/d'
found "a batch that was seen and is gone" "batch 3 was seen and is gone" '/^batch|[cd]/d'
found "a quarantined file" "in quarantine" '$a quarantined|x.seg'
found "no rows at all" "was durable and is not there" d
found "rows that are none" "no row" '1s/.*/Error: database disk image is malformed/'
mv h1.reader good
heard() { # heard WHAT TEXT SED
  sed "$3" good >h1.reader
  finds "$1" "$2" verify
}
heard "a read that saw less than one before it" "a read saw batch 1 after another had seen 2" 's/ 3$/ 1/'
heard "a violation that a reader noticed" "violation x" '1i violation x'
heard "a read that failed" "failed 1 times" '1i failure 1 2 x'
heard "a reader that read nothing" "read nothing" '/^read/d'
heard "a reader that did not come to its end" "did not come to its end" '/^end/d'
takes "one that died with its host" verify --dead h1
rm h1.reader
finds "a reader that never began" "read nothing" verify
mv good h1.reader
mv h1-1.writer good
heard() {
  sed "$3" good >h1-1.writer
  finds "$1" "$2" verify
}
heard "a TxID that is another batch's" "2 was told 1, in the log it is 2" 's/^applied 2 2/applied 2 1/'
heard "TxIDs against the tables' order" "sqlite3: h1-1 3 was told 2, and one before it 4" 's/^applied 2 2/applied 2 4/; s/^applied 3 3/applied 3 2/'
heard "an outcome of a batch that is not in the log" "2 was told 2, in the log it is not there" 's/^durable 2 b/durable 2 x/'
heard "a read that saw less than a writer had been told" "saw batch 2 after h1-1 was told of 3" 's/^applied 3 3 1995/applied 3 3 900/'
heard "an outcome that was not told" "was told no outcome of 2" '/^applied 2/d'
heard "an outcome without its TxID" "was told: applied 2" 's/^applied 2 .*/applied 2/'
sed 's/^applied 3 3 1995/applied 3 3 960/' good >h1-1.writer
takes "a read that began at about the time of the outcome" verify
heard "a writer that did not come to its end" "did not come to its end" '/^end/d'
heard "a batch that was rejected" "was told: rejected" '$i rejected 2 x'
heard "a command that crashed" "was told: status 3 139" 's/^durable 3 c/status 3 139/'
mv good h1-1.writer
mv h2-1.asker good
heard() {
  sed "$3" good >h2-1.asker
  finds "$1" "$2" verify
}
heard "a query that did not see the entry" "was told: query 1 0 0" 's/^query.*/query 1 0 0/'
heard "a query that failed" "was told: query 1 74" 's/^query.*/query 1 74/'
heard "a query that was not made" "saw no entry of 1" '/^query/d'
heard "a command that told another one's TxID" "h2-1 1 was told 3, and one before it 3" 's/^applied 1 4/applied 1 3/'
mv good h2-1.asker
rm h1-1.writer
finds "a writer that never began" "made nothing durable" verify

exit $failed
