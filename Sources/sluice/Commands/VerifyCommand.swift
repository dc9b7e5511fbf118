import ArgumentParser
import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

struct VerifyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Read all that a store consists of, and name every damage.",
    discussion: """
      Reads store.json, extensions, checkpoints and the log, page by page, and compares every checksum: \
      also that of the whole database after each commit. It changes nothing, takes no lock, and may run \
      beside everything else. Each damage is a line: the file and the byte, what is lost with it, and \
      what there still is. It goes on behind each. What a crash left, and nobody reads any more, is a remark; \
      a store with remarks only is whole.

        sluice verify STORE
        sluice verify STORE --replay
        sluice verify STORE --json

      --replay also executes all batches again from the oldest checkpoint on, as `sluice replay` does, \
      into a file under TMPDIR that is removed again.

      Exit codes: 0 all is whole, 76 something is damaged.
      """)

  @OptionGroup var place: StoreArgument

  @Flag(help: "Execute the history again, too, and compare.")
  var replay = false

  @Flag(help: "Print a JSON object for each damage and remark, and one for what was read.")
  var json = false

  func run() throws {
    let environment = Environment.posix()
    var output = OutputFile()
    var progress = ProgressLine("verifying", total: 0, environment.clock)
    func tell(_ damage: Verification.Damage, isRemark: Bool) {
      progress.end()
      // At once: what there is to read may take hours. Output that cannot be written is told at the end.
      let text = (isRemark ? "remark: " : "") + damage.text.printable
      try? output.write((json ? damage.json(isRemark: isRemark) : text) + "\n")
      try? output.flush()
    }
    let verification = Verification(
      store: place.store, environment, onRemark: { tell($0, isRemark: true) },
      onDamage: { tell($0, isRemark: false) },
      onProgress: { done, total in progress.show(done, of: total) })
    var summary = try verification.run()
    progress.end()
    if replay {
      do throws(StoreError) { try replayed(environment) } catch {
        guard [.damaged, .foreign, .unsupported, .snapshotExpired].contains(error.code) else {
          throw error
        }
        summary.damages += 1
        tell(Verification.Damage(replaying: error, in: place.store), isRemark: false)
      }
    }
    try output.write((json ? summary.json : summary.text) + "\n")
    try output.flush()
    if summary.damages > 0 { throw ExitCode.damaged }
  }

  private func replayed(_ environment: Environment) throws(StoreError) {
    var progress = ProgressLine("replaying", total: 0, environment.clock)
    defer { progress.end() }
    _ = try Replay.compare(
      store: place.store, environment,
      note: { Sluice.warn($0) },
      onProgress: { done, total in progress.show(done, of: total) })
  }
}

extension Verification.Damage {
  /// What ended a replay.
  init(replaying error: StoreError, in store: String) {
    self.init(
      path: error.path ?? store, offset: error.offset, what: error.message, lost: nil,
      remains: "the replay ended here")
  }

  /// `STORE/log/000000000002.log at byte 24576: what is wrong; lost: batches 4 to 6; there still is …`
  var text: String {
    var text = path
    if let offset { text += " at byte \(offset)" }
    text += ": \(what)"
    if let lost {
      text +=
        lost.lowerBound == lost.upperBound
        ? "; of batch \(lost.lowerBound)" : "; of batches \(lost.lowerBound) to \(lost.upperBound)"
    }
    return text + "; \(remains)"
  }

  func json(isRemark: Bool) -> String {
    var object = JSONObject()
    object.add("file", path)
    if let offset { object.add("offset", offset) }
    object.add(isRemark ? "remark" : "damage", what)
    if let lost {
      var batches = JSONObject()
      batches.add("from", lost.lowerBound.rawValue)
      batches.add("to", lost.upperBound.rawValue)
      object.add("batches", batches)
    }
    object.add("remains", remains)
    return object.text
  }
}

extension Verification.Summary {
  var text: String {
    let files = Self.count(segments, "log segment")
    let log =
      first.map {
        "batches \($0) to \(last) in \(Self.count(Int(commits), "commit")) in \(files)"
      } ?? "no batch in \(files)"
    let found = damages == 0 ? "all is whole" : Self.count(damages, "damage")
    var text =
      "\(found): \(log), \(Self.count(checkpoints.count, "whole checkpoint")), \(pages) pages, \(bytes >> 20) MiB read"
    if uncheckedCommits > 0 {
      text +=
        "; of \(uncheckedCommits) commits the checksum of the whole database was not compared, for no checkpoint is before them"
    }
    return text
  }

  private static func count(_ number: Int, _ what: String) -> String {
    "\(number) \(what)\(number == 1 ? "" : "s")"
  }

  var json: String {
    var object = JSONObject()
    object.add("damages", damages)
    object.add("remarks", remarks)
    object.add("segments", segments)
    object.add("checkpoints", checkpoints.map { "\($0)" })
    object.add("commits", commits)
    if let first { object.add("first", first.rawValue) }
    object.add("last", last.rawValue)
    object.add("pages", pages)
    object.add("bytes", bytes)
    object.add("uncheckedCommits", uncheckedCommits)
    return object.text
  }
}
