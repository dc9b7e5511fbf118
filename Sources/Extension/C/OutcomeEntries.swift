public import CSluice
internal import SluiceJournal
internal import SluiceShared
internal import SluiceWriter

/// An outcome as a program in C looks at it.
final class OutcomeHandle: Handle {
  let outcome: ReportedOutcome
  let json: CText
  let error: CText?
  let message: CText?
  let rows: [[sluice_value]]
  /// The bytes of their texts and blobs.
  private let bytes: UnsafeMutableRawBufferPointer

  init(_ outcome: ReportedOutcome) {
    self.outcome = outcome
    json = CText(outcome.json)
    error = outcome.rejection.map { CText($0.code) }
    message = outcome.rejection.map { CText($0.message) }
    let count = outcome.rows.joined().reduce(0) { $0 + $1.bytesForC.count }
    let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, count), alignment: 1)
    var end = 0
    rows = outcome.rows.map { row in
      row.map { value in
        let content = value.bytesForC
        let part = UnsafeMutableRawBufferPointer(rebasing: bytes[end..<end + content.count])
        part.copyBytes(from: content)
        end += content.count
        return value.forC(UnsafeRawPointer(part.baseAddress), content.count)
      }
    }
    self.bytes = bytes
  }

  deinit { bytes.deallocate() }
}

extension SQLValue {
  fileprivate var bytesForC: [UInt8] {
    switch self {
    case .text(let text): Array(text.utf8)
    case .blob(let bytes): bytes
    case .null, .integer, .real: []
    }
  }

  fileprivate func forC(_ bytes: UnsafeRawPointer?, _ length: Int) -> sluice_value {
    var value = sluice_value()
    switch self {
    case .null: value.type = Int32(SLUICE_NULL)
    case .integer(let number): (value.type, value.integer) = (Int32(SLUICE_INTEGER), number)
    case .real(let number): (value.type, value.real) = (Int32(SLUICE_REAL), number)
    case .text: (value.type, value.bytes, value.length) = (Int32(SLUICE_TEXT), bytes, length)
    case .blob: (value.type, value.bytes, value.length) = (Int32(SLUICE_BLOB), bytes, length)
    }
    return value
  }
}

@c @implementation
public func sluice_outcome_status(_ outcome: OpaquePointer?) -> Int32 {
  switch OutcomeHandle.known(outcome)?.outcome.status {
  case .applied?: Int32(SLUICE_APPLIED)
  case .rejected?: Int32(SLUICE_REJECTED)
  case .duplicate?: Int32(SLUICE_DUPLICATE)
  case .durable?, nil: 0
  }
}

@c @implementation
public func sluice_outcome_txid(_ outcome: OpaquePointer?) -> UInt64 {
  OutcomeHandle.known(outcome)?.outcome.txid ?? 0
}

@c @implementation
public func sluice_outcome_changes(_ outcome: OpaquePointer?) -> Int64 {
  OutcomeHandle.known(outcome)?.outcome.changes ?? 0
}

@c @implementation
public func sluice_outcome_last_rowid(_ outcome: OpaquePointer?) -> Int64 {
  OutcomeHandle.known(outcome)?.outcome.lastRowID ?? 0
}

@c @implementation
public func sluice_outcome_error(_ outcome: OpaquePointer?) -> UnsafePointer<CChar>? {
  OutcomeHandle.known(outcome)?.error?.start
}

@c @implementation
public func sluice_outcome_message(_ outcome: OpaquePointer?) -> UnsafePointer<CChar>? {
  OutcomeHandle.known(outcome)?.message?.start
}

@c @implementation
public func sluice_outcome_json(_ outcome: OpaquePointer?) -> UnsafePointer<CChar>? {
  OutcomeHandle.known(outcome)?.json.start
}

@c @implementation
public func sluice_outcome_rows(_ outcome: OpaquePointer?) -> Int {
  OutcomeHandle.known(outcome)?.rows.count ?? 0
}

@c @implementation
public func sluice_outcome_columns(_ outcome: OpaquePointer?, _ row: Int) -> Int {
  guard let rows = OutcomeHandle.known(outcome)?.rows, rows.indices.contains(row) else { return 0 }
  return rows[row].count
}

@c @implementation
public func sluice_outcome_value(
  _ outcome: OpaquePointer?, _ row: Int, _ column: Int,
  _ value: UnsafeMutablePointer<sluice_value>?
) -> Int32 {
  result { () throws(StoreError) in
    let rows = try OutcomeHandle.behind(outcome).rows
    guard rows.indices.contains(row), rows[row].indices.contains(column), let value else {
      throw StoreError(.invalid, "there is no value in row \(row), column \(column), from 0")
    }
    value.pointee = rows[row][column]
  }
}

@c @implementation
public func sluice_outcome_parse(
  _ json: UnsafePointer<CChar>?, _ length: Int, _ outcome: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  result { () throws(StoreError) in
    let place = try place(for: outcome)
    let text = try text(json, length, "the outcome")
    do throws(DecodingError) {
      place.pointee = OutcomeHandle(try ReportedOutcome(json: text)).handedOut()
    } catch {
      throw StoreError(.invalid, "the outcome cannot be read: \(error)")
    }
  }
}

@c @implementation
public func sluice_outcome_free(_ outcome: OpaquePointer?) { OutcomeHandle.release(outcome) }
