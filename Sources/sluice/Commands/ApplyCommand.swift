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
        sluice apply --all /mnt/efs/stores
        sluice apply /mnt/efs/orders --drain
        sluice apply /mnt/efs/orders --keep 30d --keep-bytes 200G
        sluice apply /mnt/efs/orders --metrics 127.0.0.1:9464

      What is older than --keep is removed: log, and checkpoints. `sluice status` says what is kept. \
      Give all appliers of a store the same.

      It ends with an error (a full disk, damage, a wrong clock) to be started anew by whoever \
      supervises it. Where it serves several stores, only the store concerned is stopped, and tried \
      again soon, then ever later, up to 10 seconds; processes that serve the same stores share them evenly. With the child process \
      that executes batches it takes some 150 MiB, and at most 256 MiB while a batch near its limit is \
      executed. Of many stores few have such a process at a time.
      """)

  @Argument(help: "The stores' directories.", completion: .directory)
  var stores: [String] = []

  @Option(
    help: ArgumentHelp(
      "Serve all stores in this directory, those that appear later too.", valueName: "DIRECTORY"),
    completion: .directory)
  var all: String?

  @Option(
    help: ArgumentHelp(
      "How long a leader may be silent before another takes over, in seconds, from 1 to 3600.",
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
      "Keep the history of this last time, as 90s, 30m, 12h, 7d or forever: any state of it can be read, and all its batches. Without this and the next two all is as the applier before kept it, and 7d at first.",
      valueName: "TIME"), transform: KeepDuration.parse)
  var keep: KeepDuration?

  @Option(
    help: ArgumentHelp(
      "Keep less where log and checkpoints take more bytes than this, as 500M or 20G.",
      valueName: "BYTES"), transform: ByteCount.parse)
  var keepBytes: ByteCount?

  @Option(
    help: ArgumentHelp(
      "Keep so many checkpoints at most, at least 2: the newest two, the one with which what is kept begins, and others between.",
      valueName: "N"))
  var keepCheckpoints: Int?

  @Option(
    help: ArgumentHelp(
      "What is superseded stays for so long after that, for readers that are behind.",
      valueName: "TIME", visibility: .hidden))
  var keepForReaders = KeepDuration(milliseconds: 3_600_000)

  @Option(
    help: ArgumentHelp(
      "Processor time that one batch may take, in seconds, before it is rejected and the others go on. By the clock it may take four times as long, and two minutes at least; it is then tried once more.",
      valueName: "S"))
  var batchTime = Seconds(30)

  @Flag(
    help:
      "Execute batches in this process: for hosts where a process takes seconds to start. A batch that hangs or crashes then stops the applier."
  )
  var inProcess = false

  @Option(
    help: ArgumentHelp(
      "Take hints of writers here, as datagrams, in place of looking into the journal all the time: a numeric address of this host that they reach and a free UDP port, as 10.0.0.5:7400 or, where the host has one address, auto:7400, or off. The default serves this host only.",
      valueName: "ADDRESS"), transform: HintArgument.parse)
  var hints = HintArgument.address(.loopback)

  @OptionGroup var metrics: MetricsOptions

  @OptionGroup var logging: LogOptions

  func validate() throws {
    for store in stores { try Path.check(store, "the store's directory") }
    if let all { try Path.check(all, "the directory of stores") }
    guard stores.isEmpty == (all != nil) else {
      throw ValidationError(
        all == nil
          ? "name a store's directory, or a directory of stores with --all"
          : "--all serves what is in a directory; name no stores beside it")
    }
    try ApplyCommand.check(ttl: ttl)
    guard batchTime.duration >= .milliseconds(100) else {
      throw ValidationError("--batch-time is 0.1 seconds at least, not \(batchTime)")
    }
    let checkpoints = keepCheckpoints ?? RetentionSettings.leastCheckpoints
    guard checkpoints >= RetentionSettings.leastCheckpoints else {
      throw ValidationError(
        "--keep-checkpoints is \(RetentionSettings.leastCheckpoints) at least, not \(checkpoints)"
      )
    }
    guard keepForReaders.duration != nil else {
      throw ValidationError("--keep-for-readers is a time, such as 1h")
    }
    if let holder, !(1...256).contains(holder.utf8.count) {
      throw ValidationError("--holder is a name of 1 to 256 bytes")
    }
  }

  static func check(ttl: Seconds) throws {
    guard (.seconds(1) ... .seconds(3600)).contains(ttl.duration) else {
      throw ValidationError("--ttl is 1 second at least and 3600 at most, not \(ttl)")
    }
  }

  func run() throws {
    try checkStores()
    let isOne = all == nil && stores.count == 1
    // Several stores share it, and so what one batch takes another lacks.
    let sessions = isOne ? 1 : Limits.executingOfMany + Limits.restingWorkersOfMany
    if inProcess { sqlite3_hard_heap_limit64(Int64(128 + 64 * sessions) << 20) }
    PosixFileSystem.raiseOpenFileLimit()
    let hints = try hints.resolved()
    let metrics = try metrics.start()
    if let port = metrics?.port {
      logging.logger("applier").info("metrics are shown", metadata: ["port": "\(port)"])
    }
    defer { metrics?.finish() }
    let environment = Environment.posix()
    StopSignal.install()
    if isOne { return try apply(stores[0], hints, environment) }
    let logger = logging.logger("applier")
    let fleet = try Fleet(
      all.map { .all(in: $0) } ?? .these(stores), options: options(logger, hints),
      environment: environment
    ) { (store, options) in
      options.logger[metadataKey: "store"] = "\(store)"
    }
    let errors = fleet.run { StopSignal.wasReceived }
    for error in errors.dropLast() { Sluice.warn(error.description) }
    if let last = errors.last { throw last }
  }

  /// Throws before any is applied where one is given twice, or none can be opened. One of several that cannot
  /// is tried again by the fleet, which says so.
  private func checkStores() throws {
    let fileSystem = PosixFileSystem()
    if let all { try checkDirectory(all, fileSystem) }
    var seen: Set<StoreID> = []
    var failure: StoreError?
    for store in stores {
      let id: StoreID
      do throws(StoreError) {
        id = try StoreDescription.read(StoreLayout(store), fileSystem).id
      } catch {
        failure = failure ?? error
        continue
      }
      guard seen.insert(id).inserted else {
        throw ValidationError("the store \(store) is given twice")
      }
    }
    if let failure, seen.isEmpty { throw failure }
  }

  /// Throws where `--all` was given a store; warns where there is none in it, which may come.
  private func checkDirectory(_ directory: String, _ fileSystem: PosixFileSystem) throws {
    let names = try fileSystem.list(directory)
    if StoreLayout.isStore(names) {
      throw ValidationError(
        "\(directory.printable) is a store itself: leave out --all, or name the directory that it is in"
      )
    }
    let hasStore = names.contains { name in
      guard !name.hasPrefix(".") else { return false }
      return (try? fileSystem.list("\(directory)/\(name)"))?.contains("store.json") ?? false
    }
    guard !hasStore else { return }
    Sluice.warn(
      "no store in \(directory.printable)\(drain ? "" : "; those that appear there will be served")"
    )
  }

  private func apply(_ store: String, _ hints: HintArgument, _ environment: Environment)
    throws(StoreError)
  {
    let applier = try Applier(
      path: store, options: options(logging.logger("applier"), hints), environment: environment)
    if drain { applier.isDoneWithoutTerm = try DrainedByAnother(store, environment).isIt }
    try applier.run { StopSignal.wasReceived }
    guard drain, var error = applier.leftBehind?.error else { return }
    error.path = StoreLayout(store).journal
    throw error
  }

  private func options(_ logger: Logger, _ hints: HintArgument) -> ApplierOptions {
    var options = ApplierOptions(holder: holder ?? ApplyCommand.hostAndProcess, logger: logger)
    options.leaseTime = ttl.duration
    options.beat = min(options.beat, ttl.duration / 5)
    options.drains = drain
    if case .address(let address) = hints { options.hints = address }
    if !inProcess {
      options.worker = WorkerProgram(path: "/proc/self/exe", arguments: ["execute"])
    }
    options.batchTime = batchTime.duration
    // Few of many stores have as many.
    let sharers = all == nil ? max(1, min(stores.count, 64)) : 64
    options.openSegments = min(8192, PosixFileSystem().openFileLimit / 2) / sharers
    options.checkpointAge = checkpointAge?.duration
    options.retention.isGiven = keep != nil || keepBytes != nil || keepCheckpoints != nil
    if let keep { options.retention.keep = keep.duration }
    options.retention.bytes = keepBytes?.bytes
    if let keepCheckpoints { options.retention.checkpoints = keepCheckpoints }
    if let readers = keepForReaders.duration { options.retention.readers = readers }
    // Where little time is kept, it is looked at more often.
    options.retention.pause = min(
      options.retention.pause,
      max(.seconds(1), min(keep?.duration ?? .seconds(3600), options.retention.readers) / 4))
    return options
  }

  static var hostAndProcess: String {
    var name = [CChar](repeating: 0, count: 256)
    gethostname(&name, name.count - 1)
    let host = name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
    return "\(String(decoding: host, as: UTF8.self)):\(getpid())"
  }
}
