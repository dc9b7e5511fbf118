import Glibc
import SluiceJournal
import SluiceShared
import SluiceWriter
import Testing

@Suite("Where others fill the scratch disk, whose batch needs room there waits, and nobody else")
struct ScratchRoomTests {
  private static let canMount: Bool = {
    let script = "mount -t tmpfs none /mnt"
    return (try? ChildProcess("unshare", ["-m", "sh", "-c", script]).end())?.code == 0
  }()

  /// The applier, with a child that executes, has a disk of 256 MiB of which 216 are somebody else's.
  private func startApplier(_ store: TestStore, freedBy flag: String) throws -> ChildProcess {
    let script = """
      mount -t tmpfs -o size=256m none "$1" && head -c 216m /dev/zero >"$1/others" || exit 1
      (while [ ! -e "$2" ]; do sleep 0.1; done; rm "$1/others") &
      export TMPDIR="$1"; shift 2; exec "$@"
      """
    let disk = store.path + ".scratch"
    try #require(mkdir(disk, 0o700) == 0)
    return try ChildProcess(
      "unshare",
      ["-m", "sh", "-c", script, "sh", disk, flag, program, "apply", store.path, "--ttl", "5"])
  }

  @Test("Told by the process that executes to the one that leads", .enabled(if: canMount))
  func acrossProcesses() async throws {
    try await onThread {
      let store = try TestStore()
      let flag = store.path + ".free"
      let applier = try startApplier(store, freedBy: flag)
      let (needy, other) = (try store.writer(), try store.writer())
      let big = try needy.submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t(w, n, x) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 120) SELECT 1, n, randomblob(1000000) FROM c"
          )
        ]))
      let behind = try needy.submitBlocking(TestStore.row(1, 1000))
      func isApplied(_ receipt: Receipt, of writer: Writer) throws -> Bool {
        let limit = Duration.seconds(120 * patience)
        if case .applied = try writer.outcomeBlocking(of: receipt, timeout: limit).outcome {
          return true
        }
        return false
      }
      // Ignored is whose batches wait.
      try wait("that it waits is told", atMost: 120) {
        try store.present().beacon.status.ignored == 1
      }
      for n in 1...3 {
        let receipt = try other.submitBlocking(TestStore.row(2, n))
        #expect(try isApplied(receipt, of: other))
      }
      #expect(try store.rows(of: 1) == [])
      try #require(close(open(flag, O_CREAT | O_WRONLY, 0o600)) == 0)
      #expect(try isApplied(big, of: needy))
      #expect(try isApplied(behind, of: needy))
      #expect(try store.rows(of: 1) == Array(1...120) + [1000])
      applier.send(SIGTERM)
      let end = try applier.end()
      #expect(end.code == 0, "\(end.errors)")
      #expect(end.errors.contains("the scratch disk is full of what others have there"))
    }
  }
}
