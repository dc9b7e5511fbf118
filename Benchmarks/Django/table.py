"""The rows, with what is aimed for."""

import statistics

LEAST_RATE = 10
GREATEST_P50 = 0.25
# What a lone write cannot do without, one after another. A batch, with hints: a write of the writer's, a read of the
# applier's, its write of the commit, its look at the mark, its write of the beacon, and the writer's read of that (6).
# A statement by itself is one; a transaction is two, the turn and the pages, each behind a look for the newest state.
NEEDED_TRIPS = {"write": 6, "modify": 1 + 6 + 1 + 6}
MOST_TRIPS = 1.3
SAYS = {"write": "one row, autocommit", "modify": "read, change, write in atomic()"}


def milliseconds(seconds):
    return f"{seconds * 1000:.3g} ms"


class Table:
    def __init__(self):
        self._rows = [("where", "work", "processes", "what", "lock", "store", "ratio", "aim", "")]
        self._p50 = {}

    def add(self, where, work, processes, what, baseline, ours, ratio, aim, is_met):
        verdict = "" if is_met is None else "ok" if is_met else "MISSED"
        self._rows.append((where, work, str(processes), what, baseline, ours, ratio, aim, verdict))

    def add_rounds(self, where, work, count, rounds):
        """Both sides' rounds; a round is {"lock": …, "sluice": …}."""

        def median(alias, figure):
            return statistics.median(each[alias][figure] for each in rounds)

        p50 = statistics.median(each["sluice"]["p50"] / each["lock"]["p50"] for each in rounds)
        # A lock that let nobody write in a round has no rate to compare with.
        rate = statistics.median(each["sluice"]["rate"] / max(each["lock"]["rate"], 1e-9) for each in rounds)
        failed = {alias: sum(each[alias]["failed"] for each in rounds) for alias in ("lock", "sluice")}
        self._p50[where, work, count] = median("sluice", "p50")
        self.add(
            where, SAYS[work], count, "p50", milliseconds(median("lock", "p50")),
            milliseconds(median("sluice", "p50")), f"{p50:.3f}", f"≤ {GREATEST_P50}", p50 <= GREATEST_P50,
        )
        self.add(
            where, SAYS[work], count, "p95", milliseconds(median("lock", "p95")),
            milliseconds(median("sluice", "p95")), "", "", None,
        )
        self.add(
            where, SAYS[work], count, "writes/s", f"{median('lock', 'rate'):.1f}",
            f"{median('sluice', 'rate'):.1f}", f"{rate:.1f}", f"≥ {LEAST_RATE}", rate >= LEAST_RATE,
        )
        self.add(
            where, SAYS[work], count, "failed", str(failed["lock"]), str(failed["sluice"]), "", "0",
            failed["sluice"] == 0,
        )
        for alias in ("lock", "sluice"):
            causes = {what for each in rounds for what in each[alias]["failures"]}
            if causes:
                print(f"{where}, {SAYS[work]}, {count} processes, {alias}: {'; '.join(sorted(causes))}")

    def add_assisted(self, where, count, rounds):
        def median(alias):
            return statistics.median(each[alias]["rate"] for each in rounds)

        failed = sum(each["assist"]["failed"] for each in rounds)
        self.add(
            where, "the same without an applier (assist)", count, "writes/s, the store's in place of lock's",
            f"{median('sluice'):.1f}", f"{median('assist'):.1f}",
            f"{median('assist') / median('sluice'):.2f}", "none fails", failed == 0,
        )
        for cause in {what for each in rounds for what in each["assist"]["failures"]}:
            print(f"{where}, assist: {cause}")

    def add_sum(self, where, alias, expected, found):
        """Whether each change is there that was reported as done; those of the lock are only told."""
        if alias == "lock":
            print(f"{where}, lock: {expected} changes were reported as done, {found} are there")
            return
        self.add(
            where, SAYS["modify"], 1, "changes that are there", "", f"{found} of {expected}", "", "all",
            found == expected,
        )

    def add_trips(self, where, trip):
        """How many round trips a lone write takes, a trip of this many seconds each."""
        for work, needed in NEEDED_TRIPS.items():
            trips = self._p50[where, work, 1] / trip
            self.add(
                where, SAYS[work], 1, f"trips of {milliseconds(trip)}", f"{needed} needed", f"{trips:.1f}",
                f"{trips / needed:.2f}", f"≤ {MOST_TRIPS}", trips / needed <= MOST_TRIPS,
            )

    def text(self):
        widths = [max(len(row[column]) for row in self._rows) for column in range(9)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in self._rows
        )
