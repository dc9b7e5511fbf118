import ArgumentParser
import Glibc
import SluiceReader
import SluiceShared

struct BackupCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup",
    abstract: "Copy a running store.",
    discussion: """
      Copies the newest checkpoint and the log behind it, up to what is published when it begins, into a \
      directory that is a store of its own: verify, restore, replay, query and log take it as one. Again \
      into the same directory it adds what is new. Appliers, writers and readers go on meanwhile. \
      What waits in the journal is not in it.

        sluice backup STORE --into /backup/orders
        sluice backup STORE --into - | zstd | aws s3 cp - s3://bucket/orders.tar.zst

      With - it writes a tar archive to standard output. It prints the last batch in the copy, and the \
      directory. When it says so, all is durable; until then, and after a crash, the directory is what it \
      was before, or no store yet. Needs the right to read the store.

      Exit codes: 0 done, 66 the store does not keep any more what the copy would go on from, 75 another \
      backup writes there, 76 something is damaged, or the directory is another store's.
      """)

  @OptionGroup var place: StoreArgument

  @Option(
    help: ArgumentHelp("The directory of the copy, or - for a tar archive.", valueName: "DIR|-"),
    completion: .directory)
  var into: String

  func validate() throws { try Path.check(into, "the directory of the copy") }

  func run() throws {
    PosixFileSystem.raiseOpenFileLimit()
    let environment = Environment.posix()
    let backup = try Backup(store: place.store, environment)
    var progress = ProgressLine("backing up", total: 0, environment.clock)
    guard into != "-" else { return try stream(backup, &progress) }
    let summary = try backup.write(into: into) { done, total in progress.show(done, of: total) }
    progress.end()
    var output = OutputFile()
    try output.write("\(summary.txid) \(into)\n")
    try output.flush()
  }

  private func stream(_ backup: Backup, _ progress: inout ProgressLine) throws {
    guard isatty(STDOUT_FILENO) == 0 else {
      throw ValidationError(
        "a tar archive is not for a terminal; pipe it, or redirect it to a file")
    }
    let archive = Archive()
    let summary = try backup.stream(
      to: { (bytes) throws(StoreError) in try archive.write(bytes) },
      onProgress: { done, total in progress.show(done, of: total) })
    progress.end()
    Sluice.warn("the copy goes up to batch \(summary.txid)")
  }

  /// Standard output; who reads it must read all.
  private final class Archive {
    private var output = OutputFile()

    func write(_ bytes: [UInt8]) throws(StoreError) {
      try output.write(bytes: bytes)
      try output.flush()
      guard output.hasReader else {
        throw StoreError(
          .io, "nobody reads the archive any more, so it is not whole; see what ended its reader")
      }
    }
  }
}
