internal import CSluice
internal import SluiceJournal
internal import SluiceShared
internal import SluiceWriter

/// A writer that a program in C has opened.
final class WriterHandle: Handle, Sendable {
  let owner = Owner()
  let writer: Writer

  init(_ root: String) throws(StoreError) { writer = try StoreQueue.writer(root) }

  deinit { owner.letGo(writer) }
}

/// What a program in C asks for an outcome with.
final class ReceiptHandle: Handle, Sendable {
  enum Proof {
    case durable(Receipt)
    case doubtful(BatchID)
  }

  private let owner = Owner()
  private let writer: Writer
  private let proof: Proof
  private let key: String?

  init(_ proof: Proof, _ key: String?, of writer: Writer) {
    (self.proof, self.key, self.writer) = (proof, key, writer)
  }

  deinit { owner.letGo(writer) }

  func outcome(timeout: Duration?) throws(StoreError) -> OutcomeReport {
    try owner.check("receipt")
    switch proof {
    case .durable(let receipt):
      return OutcomeReport(key: key, try writer.outcomeBlocking(of: receipt, timeout: timeout))
    case .doubtful(let batch):
      guard let timeout else {
        throw StoreError(
          .invalid, "the batch may not be there, so its outcome may never come; give a timeout")
      }
      return OutcomeReport(
        key: key, try writer.outcomeBlocking(ofDoubtful: batch, timeout: timeout))
    }
  }
}

extension Owner {
  /// A child never lets go of a writer: that may take locks which threads of its parent held.
  fileprivate func letGo(_ writer: Writer) {
    if !isThisProcess { _ = Unmanaged.passRetained(writer) }
  }
}

@c @implementation
public func sluice_writer_open(
  _ store: UnsafePointer<CChar>?, _ writer: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  result { () throws(StoreError) in
    try place(for: writer).pointee = try WriterHandle(text(store, "the store's path")).handedOut()
  }
}

@c @implementation
public func sluice_writer_close(_ writer: OpaquePointer?) {
  guard let handle = WriterHandle.known(writer) else { return }
  if handle.owner.isThisProcess { handle.writer.closeBlocking() }
  WriterHandle.release(writer)
}

@c @implementation
public func sluice_submit(
  _ writer: OpaquePointer?, _ batch: OpaquePointer?,
  _ receipt: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  receipt?.pointee = nil
  return result { () throws(StoreError) in
    let handle = try WriterHandle.behind(writer)
    let batch = try BatchHandle.behind(batch).batch
    try handle.owner.check("writer")
    func hand(_ proof: ReceiptHandle.Proof) {
      receipt?.pointee = ReceiptHandle(proof, batch.key, of: handle.writer).handedOut()
    }
    do throws(StoreError) { hand(.durable(try handle.writer.submitBlocking(batch))) } catch {
      if error.code == .outcomeUnknown, let name = error.batch { hand(.doubtful(name)) }
      throw error
    }
  }
}

@c @implementation
public func sluice_receipt_free(_ receipt: OpaquePointer?) { ReceiptHandle.release(receipt) }

@c @implementation
public func sluice_wait(
  _ receipt: OpaquePointer?, _ timeout_ms: Int64, _ outcome: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  result { () throws(StoreError) in
    let place = try place(for: outcome)
    let limit = timeout_ms < 0 ? nil : Duration.milliseconds(min(timeout_ms, Limits.longestWait_ms))
    let report = try ReceiptHandle.behind(receipt).outcome(timeout: limit)
    place.pointee = OutcomeHandle(ReportedOutcome(report)).handedOut()
  }
}
