import BenchmarkSupport
import Glibc
import Logging
import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceLease
import SluiceReader
import SluiceShared
import SluiceWriter

/// One store from its making on, over some rounds: its history grows, checkpoints are made,
/// segments are begun and retired, whatever else happens.
final class Life {
  private let work: WorkDirectory
  private let store: String
  private let layer: String?
  private let executable: String
  private let sabotage: Sabotage?
  private let environment = Environment.posix()
  private var inspection = Inspection()
  private var rounds = 0
  private var workers = 0
  private var deaths = 0
  private var random: SeededRandom
  /// Writers whose process came to its end undisturbed: nothing of theirs can be torn.
  private var undisturbed: Set<WriterID> = []
  private var quarantinedAlready = 0
  private var copy: CopyCheck

  private var layout: StoreLayout { StoreLayout(store) }
  private var contents: Contents { Contents(layout: layout, environment: environment) }

  init(
    _ work: WorkDirectory, seed: UInt64, isLossy: Bool, executable: String, sabotage: Sabotage?
  ) throws {
    self.work = work
    self.executable = executable
    self.sabotage = sabotage
    random = SeededRandom(seed: seed)
    store = work["disk/store"]
    copy = CopyCheck(of: store, environment)
    layer = isLossy ? work["layer"] : nil
    for directory in [work["disk"], work["layer"], work["layer/grave"]] {
      guard mkdir(directory, 0o755) == 0 else { throw RunError("\(directory) cannot be made") }
    }
  }

  /// Makes the store and its tables.
  func begin(_ figures: inout Figures, _ catalog: inout Catalog) throws {
    let cast = try cast("creation")
    let index = try cast.start(.creator, nil)
    try cast.waitForAll()
    let account = try cast.account(index)
    guard account.isComplete else { throw RunError("no store was made: \(account.errors)") }
    catalog.note(account, .creator)
    // The store itself is well made.
    try failPower(&figures, nil)
    let writer = try Writer(store: store)
    _ = try writer.submitBlocking(Bank.schema)
    writer.closeBlocking()
    try recover()
    try inspection.advance(log(), deaths: 0, &figures)
  }

  private func cast(_ name: String) throws -> Cast {
    let directory = work[name]
    guard mkdir(directory, 0o755) == 0 else { throw RunError("\(directory) cannot be made") }
    return Cast(
      executable: executable, store: store, directory: directory, layer: layer,
      sabotage: sabotage)
  }

  private func log() throws(StoreError) -> Log {
    Log(of: try StoreHandle(at: layout, environment))
  }

  // MARK: a round

  /// Plays a round and returns what is wrong after it.
  func play(_ plan: RoundPlan, _ catalog: inout Catalog, _ figures: inout Figures) throws
    -> [String]
  {
    rounds += 1
    figures.rounds[plan.kind.rawValue, default: 0] += 1
    let cast = try cast("round-\(rounds)")
    try Notes(work["round-\(rounds)/plan"]).write("\(plan)")
    if plan.beginsBackup { copy.begin() }
    var stage = Stage(plan, cast, isLossy: layer != nil)
    try stage.perform(firstWorker: workers + 1)
    workers += plan.workers.count
    for complaint in stage.complaints { inspection.complain(complaint) }
    let accounts = try cast.members.indices.map { try cast.account($0) }
    var fallen = 0
    for (index, account) in accounts.enumerated() {
      let member = cast.members[index]
      inspection.expect(account)
      copy.note(account)
      note(account, member, &figures)
      catalog.note(account, member.role)
      if !account.isComplete {
        figures.deaths += 1
        if member.role == .applier { fallen += 1 }
      }
      complain(about: account, cast, index)
    }
    deaths += fallen
    try lookBeforeRecovery(accounts, &figures)
    try failPower(&figures, sabotage)
    for complaint in copy.complaints() { inspection.complain(complaint) }
    if layer != nil {
      countReadsBehind(&figures)
      if random.below(2) == 0 { fallen += try recoverInVain(&catalog, &figures) }
    }
    try recover()
    try inspection.advance(log(), deaths: fallen, &figures)
    for (index, account) in accounts.enumerated() {
      let member = cast.members[index]
      inspection.check(account, member.process.name, inOrder: member.habit != .threads)
    }
    try look(&figures)
    return inspection.violations
  }

  private func note(_ account: Account, _ member: Cast.Member, _ figures: inout Figures) {
    figures.sights += account.sights.count
    for testimony in account.testimonies {
      figures.submitted += 1
      switch testimony.answer {
      case .durable: figures.durable += 1
      case .none: figures.unanswered += 1
      case .unknown: figures.doubtful += 1
      case .refused: break
      }
      if testimony.outcome != nil { figures.told += 1 }
      if account.isComplete, account.stopped == nil, let batch = testimony.batch {
        undisturbed.insert(batch.writer)
      }
    }
  }

  /// What a process says went wrong, also one that was killed then.
  private func complain(about account: Account, _ cast: Cast, _ index: Int) {
    let name = cast.members[index].process.name
    if let complaint = cast.complaint(index, account) { inspection.complain(complaint) }
    for error in account.errors where !error.contains("the beacon of a log segment cannot be read")
    {
      // A beacon torn by a death stays so until the next applier covers it.
      inspection.complain("\(name): \(error)")
    }
    for testimony in account.testimonies {
      switch testimony.answer {
      case .durable: break
      case .none where !account.isComplete: break
      case .none: inspection.complain("\(name) was told nothing of \(testimony.deed.name)")
      case .refused(let why), .unknown(let why):
        inspection.complain("\(name): \(testimony.deed.name) was not taken: \(why)")
      }
    }
  }

  /// Without power failing, what anybody saw is there at once, before any applier starts.
  private func lookBeforeRecovery(_ accounts: [Account], _ figures: inout Figures) throws {
    guard layer == nil else { return }
    do throws(StoreError) {
      let present = try impatientPresent()
      if present < inspection.seen {
        inspection.complain(
          "batch \(inspection.seen) was seen; before an applier starts a read sees \(present)")
      }
    } catch {
      guard error.message.contains("the beacon of a log segment cannot be read") else {
        throw error
      }
    }
  }

  private func countReadsBehind(_ figures: inout Figures) {
    if let present = try? impatientPresent(), present < inspection.seen { figures.readsBehind += 1 }
  }

  private func impatientPresent() throws(StoreError) -> TxID {
    var environment = environment
    environment.clock = ImpatientClock()
    return try Log(of: StoreHandle(at: layout, environment)).present().extent.txid
  }

  private func failPower(_ figures: inout Figures, _ sabotage: Sabotage?) throws {
    guard let layer else { return }
    figures.note(
      try PowerFailure(
        store: work["disk"], layer: layer, seed: random.next(), sabotage: sabotage))
  }

  // MARK: afterwards

  /// The applier that goes on after a loss of power dies as well, and power fails once more. Returns
  /// how many died.
  private func recoverInVain(_ catalog: inout Catalog, _ figures: inout Figures) throws -> Int {
    let cast = try cast("recovery-\(rounds)")
    var plan = catalog.choose(.die, .applier, isLossy: true, &random)
    // It does not come to most points often.
    plan?.count = 1 + random.below(2)
    let index = try cast.start(.applier, plan, ["recovery", "--alone"])
    try cast.waitForAll()
    let account = try cast.account(index)
    catalog.note(account, .applier)
    complain(about: account, cast, index)
    try failPower(&figures, sabotage)
    guard let point = account.died else { return 0 }
    figures.deaths += 1
    figures.diedInRecovery[point, default: 0] += 1
    return 1
  }

  /// An applier that nothing happens to applies all there is.
  private func recover() throws(StoreError) {
    var options = ApplierOptions.hasty("recovery")
    options.drains = true
    // What it has to say of torn writes is counted.
    options.logger.logLevel = .critical
    try Applier(path: store, options: options, lease: SureLease(), environment: environment)
      .run(shouldStop: { false })
  }

  private func look(_ figures: inout Figures) throws {
    for complaint in try contents.compareDatabase(with: inspection.model) {
      inspection.complain(complaint)
    }
    for complaint in try contents.checkCurrent(inspection.model) { inspection.complain(complaint) }
    if inspection.seen > inspection.model.last {
      inspection.complain(
        "batch \(inspection.seen) was seen, the history ends with \(inspection.model.last)")
    }
    for name in try contents.temporaries() where name.contains("/log/") {
      inspection.complain("a temporary file stays: \(name)")
    }
    let quarantined = try contents.quarantined()
    figures.quarantined += quarantined.count - quarantinedAlready
    quarantinedAlready = quarantined.count
    for segment in quarantined where undisturbed.contains(segment.writer) {
      inspection.complain("\(segment) is in quarantine, and nothing happened to its writer")
    }
  }

  /// Lets the store come to rest, and looks at all of it; returns what is wrong.
  func end(_ figures: inout Figures) throws -> [String] {
    let clock = SystemClock()
    let deadline = clock.elapsed() + .seconds(10)
    var options = ApplierOptions.hasty("last")
    options.retireAfter = .milliseconds(1)
    options.logger.logLevel = .critical
    let contents = contents
    try Applier(path: store, options: options, lease: SureLease(), environment: environment)
      .run(shouldStop: {
        (try? contents.journalSegments().isEmpty) == true || clock.elapsed() > deadline
      })
    for segment in try contents.journalSegments() {
      inspection.complain("\(segment) stays in the journal")
    }
    let pages = try PageStore(path: store, environment: environment)
    try Checkpoint(of: pages.handle).make(of: try pages.published(.latest))
    try inspection.advance(log(), deaths: 0, &figures)
    try inspection.readAgain(log())
    try look(&figures)
    var complaints: [String] = []
    figures.checkpoints += try contents.checkCheckpoints(inspection.model, &complaints)
    // The term that begins now finds them all superseded; new links only after a minute.
    try recover()
    let left = try contents.temporaries().filter { !$0.contains("/current.sqlite.") }
    if !left.isEmpty { complaints.append("temporary files stay: \(left)") }
    for complaint in complaints { inspection.complain(complaint) }
    figures.terms += inspection.history.terms
    figures.lives += 1
    return inspection.violations
  }
}

/// For the only applier that there is: nobody has to be waited for.
final class SureLease: Lease {
  func mayClaim(_ seen: LeaseObservation) -> Bool { true }
  func claimed(at started: Duration) {}
  func renew(beatStarted started: Duration, nextBeat: Duration) -> Bool { true }
  func release() {}
}

/// Does not wait for what nobody will write.
struct ImpatientClock: Clock {
  func wallTime_ms() -> Int64 { SystemClock().wallTime_ms() }
  func bootTime_ns() -> UInt64 { SystemClock().bootTime_ns() }
  func sleep(_ duration: Duration) {}
}
