import Foundation
import SluiceJournal
import SluiceShared
import SluiceWriter

/// A store of pages in memory with the rules of the real one: a transaction is committed if its base is the
/// newest state, and no turn is out but its own.
final class StoreDouble: Sendable {
  static let pageSize = 4096

  /// What goes wrong with the next commit.
  enum Fault {
    /// Somebody else's commit comes before it; the turn did not keep it away.
    case late
    /// Done, and nobody is told.
    case unknownDone
    /// Not done, and nobody is told.
    case unknownLost
    /// Refused for what it is.
    case refused
    /// Certainly not in the journal.
    case notSubmitted
  }

  struct State {
    var pages: [[UInt8]]
    var txid = TxID(1)
    var out: (turn: Turn, since: Date)?
    var grants: UInt64 = 0
    var signs = 0
    var tickets: [UInt64] = []
    var nextTicket: UInt64 = 0
    var fault: Fault?
    var commits = 0
    var refusals = 0
    /// That a transaction's pages came in.
    var mostParts = 0
    var cancels = 0
    /// Called while somebody waits for the turn, outside of the lock.
    var onWait: (@Sendable () -> Void)?
    /// The numbers of the pages of each commit.
    var written: [[UInt32]] = []
    /// What the beacon says beside the turn; nil: it cannot be read.
    var beacon: Beacon? = StoreDouble.beacon(.active)
  }

  /// Whether the state that a turn begins on is a new one, as where the grant is a batch of its own.
  let grantsCommit: Bool
  /// Of a turn; a real one's is longer.
  let turnTime: TimeInterval
  /// Left out to see that a test finds it.
  let checksBase: Bool
  let state: Monitor<State>

  init(
    database: [UInt8], turnTime: TimeInterval = 1, checksBase: Bool = true,
    grantsCommit: Bool = true
  ) {
    self.grantsCommit = grantsCommit
    let pages = stride(from: 0, to: database.count, by: Self.pageSize).map {
      Array(database[$0..<$0 + Self.pageSize])
    }
    self.turnTime = turnTime
    self.checksBase = checksBase
    state = Monitor(State(pages: pages))
  }

  /// The database as one file.
  var database: [UInt8] { state.withLock { Array($0.pages.joined()) } }

  func plan(_ fault: Fault) { state.withLock { $0.fault = fault } }

  /// Gives the turn to somebody who never comes back.
  func giveTurnToTheDead() { _ = state.withLock { grant(&$0) } }

  /// The turn that is out is over.
  func endTurn() { state.withLock { $0.out = nil } }

  /// One that is over keeps nobody away, whoever notices first: where turns last for no time, whose base is the
  /// newest commits, and so one of all who try.
  private func endTurnInTime(_ state: inout State) {
    if let out = state.out, Date().timeIntervalSince(out.since) > turnTime { state.out = nil }
  }

  private func grant(_ state: inout State) -> Turn {
    state.grants += 1
    if grantsCommit { Self.advance(&state) }
    let turn = Turn(base: state.txid, number: TxID(state.grants))
    state.out = (turn, Date())
    return turn
  }

  static func beacon(_ beaconState: Beacon.State, age: Duration = .zero) -> Beacon {
    let position = LogPosition(
      segment: 1, nonce: 1, end: 8192, lastFrame: 4096, checksum: 0, startFrame: 4096)
    return Beacon(
      state: beaconState, position: position, extent: .empty,
      time_ms: SystemClock().wallTime_ms() - age.wholeMilliseconds)
  }

  /// As the applier writes it now.
  func beacon() throws(StoreError) -> Beacon {
    let (stated, out, txid) = state.withLock { ($0.beacon, $0.out, $0.txid) }
    guard var beacon = stated else { throw StoreError(.io, "no route to host") }
    beacon.extent.txid = txid
    if let out {
      beacon.status.turn = StatedTurn(
        number: out.turn.number, holder: WriterID(high: 0, low: 0xDEAD))
      beacon.extent = LogExtent(
        txid: out.turn.number, commits: 1, time_ms: Int64(out.since.timeIntervalSince1970 * 1000))
    }
    return beacon
  }

  /// A commit of the applier's that changes nothing but its own bookkeeping.
  func commitSomethingElse() { state.withLock { Self.advance(&$0) } }

  private static func advance(_ state: inout State) {
    // The applier raises the counter above the client's, and the number that says for which counter the size
    // in page 1 is valid.
    for offset in [24, 92] {
      let number =
        state.pages[0][offset..<offset + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } + 1
      for i in 0..<4 {
        state.pages[0][offset + i] = UInt8(truncatingIfNeeded: number >> (24 - 8 * i))
      }
    }
    state.txid = TxID(state.txid.rawValue + 1)
  }
}

extension StoreDouble: TransactionClient {
  func requestTurn(keepsWaiting: () -> Bool) throws(StoreError) -> Turn? {
    let ticket = state.withLock { state in
      state.nextTicket += 1
      state.tickets.append(state.nextTicket)
      return state.nextTicket
    }
    defer { state.withLock { $0.tickets.removeAll { $0 == ticket } } }
    while true {
      let granted = state.withLock { state -> Turn? in
        endTurnInTime(&state)
        guard state.out == nil, state.tickets.first == ticket else { return nil }
        return grant(&state)
      }
      if let granted { return granted }
      guard keepsWaiting() else { return nil }
      if let onWait = state.withLock({ $0.onWait }) { onWait() } else { usleep(300) }
    }
  }

  func cancel(_ turn: Turn) {
    state.withLock { state in
      state.cancels += 1
      if state.out?.turn == turn { state.out = nil }
    }
  }

  func extend(_ turn: Turn) {
    state.withLock { state in
      state.signs += 1
      if state.out?.turn == turn { state.out?.since = Date() }
    }
  }

  func commit(_ pages: PageBatch, of turn: Turn?, timeout: Duration) throws(StoreError)
    -> Commitment
  {
    let result = state.withLock { state -> Result<Commitment, StoreError> in
      endTurnInTime(&state)
      let fault = state.fault
      state.fault = nil
      // What is in the journal ends the turn.
      defer { if state.out?.turn == turn, fault != .notSubmitted { state.out = nil } }
      switch fault {
      case .late: Self.advance(&state)
      case .unknownLost: return .failure(StoreError(.outcomeUnknown, "lost"))
      case .notSubmitted: return .failure(StoreError(.notSubmitted, "no room"))
      case .refused: return .success(.refused("page 1 is none"))
      case .unknownDone, nil: break
      }
      let isHolder = state.out == nil || state.out?.turn == turn
      guard !checksBase || pages.base == state.txid && isHolder else {
        state.refusals += 1
        return .success(.conflict(state.txid.next))
      }
      do { try Self.apply(pages, &state) } catch {
        return .failure(StoreError(.invalid, "\(error)"))
      }
      if case .unknownDone = fault { return .failure(StoreError(.outcomeUnknown, "done")) }
      return .success(.committed(state.txid))
    }
    return try result.get()
  }

  private static func apply(_ batch: PageBatch, _ state: inout State) throws {
    let before = state.pages
    let empty = [UInt8](repeating: 0, count: pageSize)
    let count = Int(batch.pageCount)
    while state.pages.count < count { state.pages.append(empty) }
    state.pages.removeLast(state.pages.count - count)
    var pages: [(UInt32, [UInt8])] = []
    var parts: [[UInt8]] = []
    try batch.parts?.forEach { (bytes) throws(StoreError) in
      parts.append(bytes)
      return true
    }
    state.mostParts = max(state.mostParts, parts.count)
    try Batch(.commit(batch)).encoded().withUnsafeBytes { bytes in
      guard case .commit(let encoded) = try EncodedBatch(bytes).step else { return }
      try encoded.forEachPage(
        part: { parts.indices.contains($0) ? parts[$0] : nil },
        over: { number, page in page.copyBytes(from: before[Int(number) - 1]) },
        { number, page in pages.append((number, Array(page))) })
    }
    for (number, bytes) in pages { state.pages[Int(number) - 1] = bytes }
    state.written.append(pages.map { $0.0 })
    state.commits += 1
    advance(&state)
  }
}
