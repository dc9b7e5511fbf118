import ArgumentParser
import SluiceJournal
import SluiceReader
import SluiceShared

/// What `status --wait-until` waits for.
enum StatusWait: String, CaseIterable, ExpressibleByArgument {
  /// Everything is applied that was durable when the command began.
  case applied
  /// An applier leads.
  case led

  private static let pause = Duration.milliseconds(100)

  /// Returns when it is so; throws `.timeout` where it is not in time.
  func wait(_ path: String, atMost limit: Duration, _ environment: Environment) throws {
    let store = try PageStore(path: path, environment: environment)
    let isThere = try condition(store, environment)
    let began = environment.clock.elapsed()
    while try !isThere() {
      let left = limit - (environment.clock.elapsed() - began)
      guard left > .zero else { throw StoreError(.timeout, late(limit, path)) }
      environment.clock.sleep(min(left, StatusWait.pause))
    }
  }

  private func condition(_ store: PageStore, _ environment: Environment) throws -> () throws -> Bool
  {
    switch self {
    case .led:
      let log = Log(of: store.handle)
      return {
        StoreStatus.Applier(try log.present(), environment.clock).state == .active
      }
    case .applied:
      let waiting = try JournalEnds(store, environment)
      return { try waiting.areApplied() }
    }
  }

  private func late(_ limit: Duration, _ path: String) -> String {
    switch self {
    case .led:
      "no applier leads \(path.printable) within \(limit.inSeconds) s; start one with `sluice apply`"
    case .applied:
      "not all that waited in \(path.printable) is applied within \(limit.inSeconds) s; see `sluice status \(path.quotedForShell)`"
    }
  }
}

/// Another applier leads, and has applied what was durable when this one began to drain.
final class DrainedByAnother {
  private let log: Log
  private let clock: any Clock
  private let waiting: JournalEnds?
  private let first: Beacon?
  private var asksNext: Duration

  /// Who may not read the journal does not know what waits in it, and stands by.
  init(_ path: String, _ environment: Environment) throws(StoreError) {
    let store = try PageStore(path: path, environment: environment)
    log = Log(of: store.handle)
    clock = environment.clock
    waiting = try? JournalEnds(store, environment)
    first = try? log.present().beacon
    asksNext = clock.elapsed()
  }

  func isIt() -> Bool {
    guard let waiting, clock.elapsed() >= asksNext else { return false }
    asksNext = clock.elapsed() + .milliseconds(500)
    // That it lives shows in a new beat: a store that was copied, or whose host died, may say that it is led.
    guard let beacon = try? log.present().beacon, beacon.state == .active, beacon != first else {
      return false
    }
    return (try? waiting.areApplied()) ?? false
  }
}

/// The last batch of each writer that is in the journal.
private struct JournalEnds {
  private let store: PageStore
  private let environment: Environment
  private let ends: [WriterID: SequenceNumber]

  init(_ store: PageStore, _ environment: Environment) throws(StoreError) {
    self.store = store
    self.environment = environment
    let segments = try environment.fileSystem.list(store.layout.journal)
      .compactMap(StoreLayout.journalSegment)
    let backlog = try Backlog(
      counting: segments, in: store, environment, otherwise: ApplierStatus())
    guard backlog.denied == 0 else {
      throw StoreError(
        .io,
        "\(backlog.denied) files in the journal cannot be read by this user; run this as the store's user, or, where it is that, give it the right to them",
        path: store.layout.journal)
    }
    ends = backlog.ends
  }

  func areApplied() throws -> Bool {
    guard !ends.isEmpty else { return true }
    let applied = try Backlog.applied(Set(ends.keys), store, environment)
    return ends.allSatisfy { writer, end in
      applied[writer].map { $0.rawValue >= end.rawValue } ?? false
    }
  }
}
