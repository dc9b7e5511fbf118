import Testing

@Suite("On a disk that is full what may go goes first, and a submit waits for that")
struct FullDiskTests {
  private static let canMount: Bool = {
    let script = "mount -t tmpfs none /mnt"
    return (try? ChildProcess("unshare", ["-m", "sh", "-c", script]).end())?.code == 0
  }()

  /// The store has a disk of 16 MiB of its own, a good part of which is in segments that are kept for readers only.
  /// Somebody else fills it. `leads`: by an applier that leads, or with `--assist`.
  private static let script = """
    set -e
    mount -t tmpfs -o size=16m none "$1"
    store=$1/store sluice=$2 leads=$3
    keep="--keep 1s --keep-checkpoints 2"
    "$sluice" init "$store" >&2
    "$sluice" submit "$store" 'CREATE TABLE t(x)' --wait durable >&2
    for i in 1 2 3 4; do
      "$sluice" submit "$store" 'DELETE FROM t; INSERT INTO t VALUES (randomblob(400000))' --wait durable >&2
      "$sluice" apply "$store" --drain --keep forever >&2
      "$sluice" checkpoint "$store" >&2
    done
    sleep 1.5
    "$sluice" apply "$store" --drain $keep >&2
    sleep 1.5
    "$sluice" apply "$store" --drain $keep >&2
    old() { ls "$store/log/old" | wc -l; }
    echo "superseded $(($(old) > 0))"
    assist=--assist
    if [ "$leads" = true ]; then
      assist=
      "$sluice" apply "$store" $keep & applier=$!
      "$sluice" submit "$store" "INSERT INTO t VALUES ('before')" >&2
    fi
    cat /dev/zero >"$1/others" 2>&- || true
    "$sluice" submit "$store" $assist --timeout 30 "INSERT INTO t VALUES ('full')" >&2
    echo "superseded $(($(old) > 0))"
    if [ "$leads" = true ]; then kill $applier; wait $applier || true; fi
    rm "$1/others"
    "$sluice" query "$store" "SELECT count(*) FROM t WHERE x = 'full'" --csv | tail -n 1 | tr -d '\\r'
    "$sluice" verify "$store" >&2
    """

  @Test(.enabled(if: canMount), arguments: [true, false])
  func isWaitedFor(leads: Bool) async throws {
    try await onThread {
      let place = try TestStore()
      let disk = place.path + ".disk"
      try #require(try ChildProcess("mkdir", [disk]).end().code == 0)
      let shell = try ChildProcess(
        "unshare", ["-m", "sh", "-c", Self.script, "sh", disk, program, "\(leads)"])
      let end = try shell.end()
      #expect(end.code == 0, "\(end.errors)")
      let lines = end.output.split(whereSeparator: \.isNewline)
      #expect(lines == ["superseded 1", "superseded 0", "1"], "\(end.errors)")
    }
  }
}
