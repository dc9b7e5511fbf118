import ArgumentParser
import BenchmarkSupport
import CLossy
import Glibc
import Logging
import SluiceApplier
import SluiceQuery
import SluiceReader
import SluiceShared

/// What every process of a round is told.
struct RoleOptions: ParsableArguments {
  @Argument var store: String
  @Argument var notes: String
  /// Where the layer that loses what was not synced keeps its records; none: no such layer.
  @Option var layer: String?
  @Option(transform: { text in
    guard let plan = CrashPlan(text) else { throw ValidationError("no plan: \(text)") }
    return plan
  }) var plan: CrashPlan?
  /// The process that started this one, which does not outlive it.
  @Option var driver: Int32
  @Option var sabotage: Sabotage?

  func begin() throws -> (Environment, Notes, CrashScript) {
    guard end_with_parent(driver) == 0 else { throw RunError("the driver is gone") }
    let notes = try Notes(notes)
    let script = CrashScript(plan, notes, traps: sabotage == .trap)
    if let layer {
      let code = lossy_begin(directory(of: store), layer)
      guard code == 0 else { throw RunError("no layer: \(String(cString: strerror(code)))") }
    }
    var environment = Environment.posix()
    environment.fileSystem = CrashingFileSystem(script, sabotage)
    return (environment, notes, script)
  }
}

extension ApplierOptions {
  /// Everything that happens in weeks of an applier's life happens within a second.
  static func hasty(_ holder: String) -> ApplierOptions {
    var options = ApplierOptions(holder: holder)
    options.leaseTime = .milliseconds(250)
    options.beat = .milliseconds(40)
    options.standbyPoll = .milliseconds(10)
    options.slowestPoll = .milliseconds(5)
    options.retireAfter = .milliseconds(60)
    options.segmentBytes = 256 << 10
    options.checkpointBytes = 192 << 10
    options.checkpointSegments = 4
    // For who looks at a round that failed.
    options.logger.logLevel = .info
    return options
  }
}

struct ApplierRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "applier", shouldDisplay: false)
  @OptionGroup var options: RoleOptions
  @Argument var holder: String
  /// There is no other: it waits for nobody, and ends when all is applied.
  @Flag var alone = false

  func run() throws {
    let termination = TerminationRequest()
    let (environment, notes, script) = try options.begin()
    var hasty = ApplierOptions.hasty(holder)
    hasty.drains = alone
    do throws(StoreError) {
      let applier = try Applier(
        path: options.store, options: hasty, lease: alone ? SureLease() : nil,
        environment: environment)
      try applier.run(shouldStop: { termination.isPending })
      notes.write("complete")
    } catch {
      notes.write("error \(error)")
    }
    script.tell()
  }
}

struct CreatorRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "creator", shouldDisplay: false)
  @OptionGroup var options: RoleOptions

  func run() throws {
    let (environment, notes, script) = try options.begin()
    do throws(StoreError) {
      try StoreCreation().make(at: options.store, environment: environment)
      notes.write("complete")
    } catch {
      notes.write("error \(error)")
    }
    script.tell()
  }
}

/// Makes one backup after the other into the same directory; notes each that it was told is whole.
struct BackupRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "backup", shouldDisplay: false)
  @OptionGroup var options: RoleOptions

  func run() throws {
    let termination = TerminationRequest()
    let (environment, notes, script) = try options.begin()
    while !termination.isPending {
      do throws(StoreError) {
        let summary = try Backup(store: options.store, environment)
          .write(into: CopyCheck.path(beside: options.store))
        notes.write("copied \(summary.txid)")
      } catch {
        notes.write("error \(error)")
      }
      usleep(3000)
    }
    notes.write("complete")
    script.tell()
  }
}

/// Reads without pause; notes each snapshot that is new to it.
struct ReaderRole: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "reader", shouldDisplay: false)
  @OptionGroup var options: RoleOptions

  func run() throws {
    let termination = TerminationRequest()
    let (environment, notes, _) = try options.begin()
    let store = try PageStore(path: options.store, environment: environment)
    let database = Database(store, executor: environment.executor)
    var last: TxID?
    while !termination.isPending {
      do {
        try database.read(.latest) { transaction in
          guard transaction.txid != last else { return }
          last = transaction.txid
          let row = try transaction.query(Digest.query).first ?? []
          notes.write("saw \(transaction.txid) \(Digest(row).line)")
        }
      } catch {
        notes.write("error \(error)")
      }
      usleep(700)
    }
    notes.write("complete")
  }
}
