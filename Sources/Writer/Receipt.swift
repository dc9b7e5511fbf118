public import SluiceShared

/// Proof that a batch is durable: it is in the journal and synced, and will be executed exactly once.
///
/// Only a `submit` that succeeded makes one. It also is what to ask for the outcome with; the outcome
/// is kept in memory as long as a receipt of it.
public struct Receipt: Sendable {
  public let batch: BatchID
  let ticket: Ticket?

  init(_ batch: BatchID, _ ticket: Ticket?) {
    self.batch = batch
    self.ticket = ticket
  }
}

extension Receipt: Hashable {
  public static func == (a: Receipt, b: Receipt) -> Bool { a.batch == b.batch }
  public func hash(into hasher: inout Hasher) { hasher.combine(batch) }
}
