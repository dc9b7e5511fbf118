import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceShared
import SluiceWriter

extension World {
  /// A writer process: submits some batches, asks for some outcomes, and ends or dies.
  func writer(_ life: Life) throws {
    restWithAll(life)
    if plan.transacts, scheduler.random.chance(0.5) { return try transact(life) }
    let once = plan.hasShortSegments ? 0.05 : plan.isPoisoned ? 0.4 : 0.15
    if scheduler.random.chance(once) { return try submitOnce(life) }
    let assistant = assistant(life)
    var options = Writer.Options()
    if plan.hasShortSegments { options.segmentBytes = World.shortSegments }
    let writer = try Writer(
      store: World.layout.root, options: options, environment: life.environment)
    // Several threads of the process share it, so that their batches go out in groups.
    let others = (0..<[0, 0, 1, 3][scheduler.random.below(4)]).map { _ in
      scheduler.start(life.process) { [self] in
        do { try submit(to: writer, assistant, life) } catch { judge(error, life.process) }
      }
    }
    defer { for strand in others { scheduler.join(strand) } }
    // Judged by what is so now: the others may go on for long.
    do { try submit(to: writer, assistant, life) } catch { return judge(error, life.process) }
    // The others may still submit: they are refused.
    if scheduler.random.chance(0.5), !life.isGone { writer.closeBlocking() }
  }

  /// Mark, header, a small frame, and the one that ends it.
  private static let shortSegments: ClosedRange<Int64> = 16384...16384

  private func submit(to writer: Writer, _ assistant: Assistant?, _ life: Life) throws {
    var receipts: [Receipt] = []
    var last: BatchID?
    let most = plan.hasShortSegments ? 100 : 15
    for _ in 0..<(1 + scheduler.random.below(most)) where !life.isGone && !isEnding {
      restWithAll(life)
      receipts += submit(nextWorks(1 + scheduler.random.below(4)), to: writer, after: &last, life)
      // Who asks waits for the applier, which may be waiting for segments.
      if !receipts.isEmpty, scheduler.random.chance(plan.hasShortSegments ? 0.05 : 0.4) {
        try askForOutcome(
          of: receipts[scheduler.random.below(receipts.count)], writer, assistant, life)
      }
      if scheduler.random.chance(0.1) { receipts = receipts.suffix(2) }
      let pause = scheduler.random.below(Int(plan.mostPause.inNanoseconds))
      scheduler.sleep(UInt64(pause))
    }
  }

  /// A process that nothing happens to makes some batches durable, and ends.
  func submitSome() {
    live("submitter", on: freshMachine("submitting"), isReader: false) { [self] life in
      let writer = try Writer(store: World.layout.root, environment: life.environment)
      var last: BatchID?
      for _ in 0..<3 { _ = submit(nextWorks(2), to: writer, after: &last, life) }
    }
  }

  func nextWorks(_ count: Int) -> [NamedWork] {
    (0..<count).map { _ in oracle.nextWork(plan, &scheduler.random) }
  }

  /// Returns the receipts of those that are durable. `last` is the one before, by the same strand.
  func submit(
    _ works: [NamedWork], to writer: Writer, after last: inout BatchID?, _ life: Life
  ) -> [Receipt] {
    note("\(life.name) submits \(works.map { "\($0.name) \($0.work)" }.joined(separator: ", "))")
    let receipts = record(writer.submitBlocking(works.map(\.batch)), of: works, life)
    for receipt in receipts {
      if let last {
        oracle.follows(receipt.batch, last)
        if last.writer != receipt.batch.writer { count(.newWriters) }
      }
      last = receipt.batch
    }
    return receipts
  }

  private func submitOnce(_ life: Life) throws {
    var works = nextWorks(1 + scheduler.random.below(2))
    if plan.isPoisoned, poison.mayHaveMore {
      let place = scheduler.random.below(works.count + 1)
      works.insert(oracle.lethalWork(), at: place)
      poison.expect(life.process, at: place + 1)
    }
    note("\(life.name) submits once \(works.map(\.name))")
    let (writer, results) = try Writer.submitOnce(
      store: World.layout.root, works.map(\.batch), environment: life.environment)
    let receipts = record(results, of: works, life)
    if let last = receipts.last {
      try askForOutcome(of: last, writer, assistant(life), life)
    }
  }

  private func record(
    _ results: [Result<Receipt, StoreError>], of works: [NamedWork], _ life: Life
  ) -> [Receipt] {
    // A dead process tells nobody anything.
    guard !life.isGone else { return [] }
    var receipts: [Receipt] = []
    for (named, result) in zip(works, results) {
      switch result {
      case .success(let receipt):
        note("\(life.name) was told: \(named.name) is durable as \(receipt.batch)")
        oracle.submitted(named, as: receipt.batch, .durable)
        checkDurable(receipt.batch)
        receipts.append(receipt)
      case .failure(let error):
        note("\(life.name) was told: \(named.name) \(error.code.rawValue): \(error)")
        switch error.code {
        case .outcomeUnknown:
          if let batch = error.batch { oracle.submitted(named, as: batch, .unknown) }
        case .notSubmitted, .backlogFull: oracle.notSubmitted(named)
        default: oracle.violate(.submitFailed, "\(life.name): a submit failed with \(error)")
        }
      }
    }
    return receipts
  }

  private func askForOutcome(
    of receipt: Receipt, _ writer: Writer, _ assistant: Assistant?, _ life: Life
  ) throws {
    let limit = Duration.milliseconds(
      [5, 100, plan.assists ? 8000 : 2000][scheduler.random.below(3)])
    defer { if let trouble = assistant?.trouble { judgeAssistance(trouble, life) } }
    do throws(StoreError) {
      _ = try outcome(of: receipt, writer, atMost: limit, assistedBy: assistant, life)
    } catch {
      guard error.code != .timeout else { return }
      throw error
    }
  }

  func outcome(
    of receipt: Receipt, _ writer: Writer, atMost limit: Duration,
    assistedBy assistant: Assistant? = nil, _ life: Life
  ) throws(StoreError) -> AppliedOutcome {
    let outcome = try writer.outcomeBlocking(of: receipt, timeout: limit, assistedBy: assistant)
    if !life.isGone {
      note("\(life.name) was told: \(receipt.batch) is \(outcome.txid)")
      oracle.outcome(outcome, of: receipt.batch)
      count(.outcomes)
    }
    return outcome
  }
}
