public import CSluice
internal import SluiceJournal
internal import SluiceShared

/// A batch that a program in C puts together.
final class BatchHandle: Handle {
  var batch: Batch
  init(_ batch: Batch) { self.batch = batch }
}

@c @implementation
public func sluice_batch_new(_ batch: UnsafeMutablePointer<OpaquePointer?>?) -> Int32 {
  result { () throws(StoreError) in
    try place(for: batch).pointee = BatchHandle(Batch([])).handedOut()
  }
}

@c @implementation
public func sluice_batch_parse(
  _ json: UnsafePointer<CChar>?, _ length: Int, _ batch: UnsafeMutablePointer<OpaquePointer?>?
) -> Int32 {
  result { () throws(StoreError) in
    let place = try place(for: batch)
    let text = try text(json, length, "the batch")
    do throws(DecodingError) {
      place.pointee = BatchHandle(try Batch(json: try JSON.parse(text))).handedOut()
    } catch {
      throw StoreError(.invalid, "the batch cannot be read: \(error)")
    }
  }
}

@c @implementation
public func sluice_batch_add(
  _ batch: OpaquePointer?, _ sql: UnsafePointer<CChar>?, _ values: UnsafePointer<sluice_value>?,
  _ count: Int
) -> Int32 {
  result { () throws(StoreError) in
    let statement = try statement(sql, values, count)
    try BatchHandle.behind(batch).batch.statements.append(statement)
  }
}

@c @implementation
public func sluice_batch_guard(
  _ batch: OpaquePointer?, _ sql: UnsafePointer<CChar>?, _ values: UnsafePointer<sluice_value>?,
  _ count: Int
) -> Int32 {
  result { () throws(StoreError) in
    let query = try statement(sql, values, count)
    try BatchHandle.behind(batch).batch.guards.append(query)
  }
}

@c @implementation
public func sluice_batch_key(_ batch: OpaquePointer?, _ key: UnsafePointer<CChar>?) -> Int32 {
  result { () throws(StoreError) in
    let key = try text(key, "the key")
    guard (1...Limits.keyBytes).contains(key.utf8.count) else {
      throw StoreError(
        .limit, "a key has 1 to \(Limits.keyBytes) bytes, this has \(key.utf8.count)")
    }
    try BatchHandle.behind(batch).batch.key = key
  }
}

@c @implementation
public func sluice_batch_rows(_ batch: OpaquePointer?) -> Int32 {
  result { () throws(StoreError) in try BatchHandle.behind(batch).batch.wantsResults = true }
}

@c @implementation
public func sluice_batch_free(_ batch: OpaquePointer?) { BatchHandle.release(batch) }

/// Where a function puts what it makes; NULL is there until it has.
func place(for made: UnsafeMutablePointer<OpaquePointer?>?) throws(StoreError)
  -> UnsafeMutablePointer<OpaquePointer?>
{
  guard let made else {
    throw StoreError(.invalid, "the last argument must lead to where the result is put")
  }
  made.pointee = nil
  return made
}

private func statement(
  _ sql: UnsafePointer<CChar>?, _ values: UnsafePointer<sluice_value>?, _ count: Int
) throws(StoreError) -> Batch.Statement {
  guard (0...Limits.parametersPerStatement).contains(count) else {
    throw StoreError(
      .limit, "a statement has at most \(Limits.parametersPerStatement) parameters, not \(count)")
  }
  guard count == 0 || values != nil else {
    throw StoreError(.invalid, "\(count) values are said to be at NULL")
  }
  var parameters: [SQLValue] = []
  for value in UnsafeBufferPointer(start: values, count: count) {
    parameters.append(try SQLValue(value))
  }
  return Batch.Statement(try text(sql, "the SQL text"), parameters)
}

extension SQLValue {
  fileprivate init(_ value: sluice_value) throws(StoreError) {
    switch Int(value.type) {
    case SLUICE_NULL: self = .null
    case SLUICE_INTEGER: self = .integer(value.integer)
    case SLUICE_REAL: self = .real(value.real)
    case SLUICE_TEXT: self = .text(try SluiceExtension.text(value.bytes, value.length, "a text"))
    case SLUICE_BLOB:
      guard value.length >= 0, value.length == 0 || value.bytes != nil else {
        throw StoreError(.invalid, "a blob of \(value.length) bytes is said to be at NULL")
      }
      self = .blob(Array(UnsafeRawBufferPointer(start: value.bytes, count: value.length)))
    default: throw StoreError(.invalid, "\(value.type) is no type of value")
    }
  }
}
