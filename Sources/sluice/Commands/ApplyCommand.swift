import ArgumentParser
import CSQLite
import Glibc
import Logging
import SluiceApplier
import SluiceJournal
import SluiceShared

struct ApplyCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Be an applier: stand by, and execute batches while leading.",
    discussion: """
      Start it on as many hosts as you like: one leads at a time, the others take over when it stops \
      or falls silent. SIGTERM or SIGINT ends it in order, so that the next one need not wait; a \
      second one ends it at once, which is safe too.

        sluice apply /mnt/efs/orders
        sluice apply /mnt/efs/orders /mnt/efs/stock --ttl 5 --checkpoint-age 60
        sluice apply /mnt/efs/orders --drain

      It ends with an error (a full disk, damage, a wrong clock) to be started anew by whoever \
      supervises it. Where it serves several stores, only the store concerned is stopped, and tried \
      again every 10 seconds. With the child process that executes batches it takes some \
      150 MiB for each store, and about 256 MiB while a batch near its limit is executed.
      """)

  @Argument(help: "The stores' directories.", completion: .directory)
  var stores: [String]

  @Option(
    help: ArgumentHelp(
      "How long a leader may be silent before another takes over, in seconds, at least 1.",
      valueName: "S"))
  var ttl = Seconds(10)

  @Option(
    help: ArgumentHelp(
      "Who this is, for people; the host's name and the process id unless given.",
      valueName: "NAME"))
  var holder: String?

  @Flag(
    help:
      "Apply what there is, then end: with 0 only where nothing is left, with 76 where files in the journal are ignored, put into quarantine or missing."
  )
  var drain = false

  @Option(
    help: ArgumentHelp(
      "Make a checkpoint when the last is older than this, in seconds, and something is new: for who reads current.sqlite.",
      valueName: "S"))
  var checkpointAge: Seconds?

  @Option(
    help: ArgumentHelp(
      "Processor time that one batch may take, in seconds, before it is rejected and the others go on.",
      valueName: "S"))
  var batchTime = Seconds(30)

  @Flag(
    help:
      "Execute batches in this process: for hosts where a process takes seconds to start. A batch that hangs or crashes then stops the applier."
  )
  var inProcess = false

  @OptionGroup var logging: LogOptions

  func validate() throws {
    for store in stores { try Path.check(store, "the store's directory") }
    guard ttl.duration >= .seconds(1) else {
      throw ValidationError("--ttl is 1 second at least, not \(ttl)")
    }
    guard batchTime.duration >= .milliseconds(100) else {
      throw ValidationError("--batch-time is 0.1 seconds at least, not \(batchTime)")
    }
    if let holder, !(1...256).contains(holder.utf8.count) {
      throw ValidationError("--holder is a name of 1 to 256 bytes")
    }
  }

  func run() throws {
    let fileSystem = PosixFileSystem()
    var seen: Set<StoreID> = []
    for store in stores {
      // All of them before the first is applied: a wrong path is found at once.
      let id = try StoreDescription.read(StoreLayout(store), fileSystem).id
      guard seen.insert(id).inserted else {
        throw ValidationError("the store \(store) is given twice")
      }
    }
    // Several stores share it, and so what one batch takes another lacks.
    if inProcess { sqlite3_hard_heap_limit64(Int64(128 + 64 * stores.count) << 20) }
    PosixFileSystem.raiseOpenFileLimit()
    StopSignal.install()
    let failures = Monitor<[StoreError]>([])
    ThreadExecutor(threadLimit: stores.count).concurrently(stores.count) { i in
      do throws(StoreError) { try apply(stores[i]) } catch {
        failures.withLock { $0.append(error) }
      }
    }
    let errors = failures.withLock { $0 }
    for error in errors.dropLast() { Sluice.warn(error.description) }
    if let last = errors.last { throw last }
  }

  private func apply(_ store: String) throws(StoreError) {
    var logger = logging.logger("applier")
    if stores.count > 1 { logger[metadataKey: "store"] = "\(store)" }
    var options = ApplierOptions(holder: holder ?? ApplyCommand.hostAndProcess, logger: logger)
    options.leaseTime = ttl.duration
    options.beat = min(options.beat, ttl.duration / 5)
    options.drains = drain
    if !inProcess {
      options.worker = WorkerProgram(path: "/proc/self/exe", arguments: ["execute"])
    }
    options.batchTime = batchTime.duration
    options.openSegments = min(8192, PosixFileSystem().openFileLimit / 2) / stores.count
    options.checkpointAge = checkpointAge?.duration
    while true {
      do throws(StoreError) {
        let applier = try Applier(path: store, options: options)
        try applier.run { StopSignal.wasReceived }
        if drain, var error = applier.leftBehind?.error {
          error.path = StoreLayout(store).journal
          throw error
        }
        return
      } catch {
        guard stores.count > 1, !drain, !StopSignal.wasReceived else { throw error }
        logger.error("stopped; tried again in 10 s", metadata: ["error": "\(error)"])
        ApplyCommand.pause()
      }
    }
  }

  /// Ten seconds, or until told to stop.
  private static func pause() {
    for _ in 0..<100 where !StopSignal.wasReceived { SystemClock().sleep(.milliseconds(100)) }
  }

  private static var hostAndProcess: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    let host = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return "\(String(decoding: host, as: UTF8.self)):\(getpid())"
  }
}
