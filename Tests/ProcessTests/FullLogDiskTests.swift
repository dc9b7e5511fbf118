import Testing

@Suite(
  "A disk that is full in the middle of a large commit is as it was, and with room all goes on")
struct FullLogDiskTests {
  private static let canMount: Bool = {
    let script = "mount -t tmpfs none /mnt"
    return (try? ChildProcess("unshare", ["-m", "sh", "-c", script]).end())?.code == 0
  }()

  /// The store has a disk of 48 MiB of its own, and a batch of 100 MB that do not compress; then it gets 400.
  private static let script = """
    set -e
    mount -t tmpfs -o size=48m none "$1"
    store=$1/store sluice=$2
    used() { df --output=used -k "$store" | tail -n 1; }
    applied() { "$sluice" query "$store" 'SELECT count(*), ifnull(sum(length(x)), 0) FROM t' --csv | tail -n 1 | tr -d '\\r'; }
    "$sluice" init "$store" >&2
    "$sluice" submit "$store" 'CREATE TABLE t(x)' --wait durable >&2
    "$sluice" apply "$store" --drain >&2
    "$sluice" submit "$store" --wait durable >&2 'INSERT INTO t
      WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100) SELECT randomblob(1000000) FROM c'
    before=$(used)
    for try in 1 2; do
      code=0
      "$sluice" apply "$store" --drain || code=$?
      echo "$code $(applied) $(($(used) - before < 2048))"
    done
    mount -o remount,size=400m "$1"
    "$sluice" apply "$store" --drain >&2
    "$sluice" apply "$store" --drain >&2
    "$sluice" verify "$store" >&2
    echo "$(applied)"
    """

  @Test(.enabled(if: canMount))
  func thenThereIsRoom() async throws {
    try await onThread {
      let place = try TestStore()
      let disk = place.path + ".disk"
      let made = try ChildProcess("mkdir", [disk]).end()
      try #require(made.code == 0)
      let shell = try ChildProcess(
        "unshare", ["-m", "sh", "-c", Self.script, "sh", disk, program])
      let end = try shell.end()
      #expect(end.code == 0, "\(end.errors)")
      let lines = end.output.split(whereSeparator: \.isNewline)
      #expect(lines == ["74 0,0 1", "74 0,0 1", "100,100000000"], "\(end.errors)")
      #expect(end.errors.contains("No space left on device"))
    }
  }
}
