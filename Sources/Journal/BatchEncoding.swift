public import SluiceShared

// A batch is a list of fields: varint (number << 1 | mandatory), varint length, content. Fields come
// in any order, except that texts precede what uses them. A reader skips an unknown field that is
// not mandatory and rejects the batch for one that is.
//
//   1 key           UTF-8                                    mandatory
//   2 flags         varint: 1 results wanted, 2 foreign keys checked at the end,
//                   4 a rejection is not listed                                    mandatory
//   3 text          UTF-8, SQL; numbered from 0 as they come  mandatory
//   4 statement     varint text, varint columns, varint rows, then rows × columns values   mandatory
//   5 guard         as a statement, with one row              mandatory
//   6 settings      varint how foreign keys are judged, then for each switch: varint how many
//                   statements come before it, u8 (setting << 1 | on); ascending by both   mandatory
//   7 pages         what an interactive transaction commits: see PageBatch.swift             mandatory
//   8 turn          u8: 1 asks for the turn, 2 gives it back                                 mandatory
//   9 parts         the same, where the pages come before it: see PagePart.swift             mandatory
//
// A batch with 7, 8 or 9 has nothing else but a key.
//
// A value: u8 type (0 null, 1 integer, 2 real, 3 text, 4 blob), then nothing, a zigzag varint, eight
// bytes of IEEE 754 little-endian, or a varint length and the bytes.

enum BatchField {
  static let key: UInt64 = 1 << 1 | 1
  static let flags: UInt64 = 2 << 1 | 1
  static let text: UInt64 = 3 << 1 | 1
  static let statement: UInt64 = 4 << 1 | 1
  static let `guard`: UInt64 = 5 << 1 | 1
  static let settings: UInt64 = 6 << 1 | 1
  static let pages: UInt64 = 7 << 1 | 1
  static let turn: UInt64 = 8 << 1 | 1
  static let parts: UInt64 = 9 << 1 | 1
}

extension Batch {
  /// The batch's bytes. Throws `.limit` or `.invalid` naming the statement at fault.
  package func encoded() throws(StoreError) -> [UInt8] {
    var writer = ByteWriter(reserving: 256)
    try encode(into: &writer)
    return writer.bytes
  }

  /// As a journal frame lists it: its length, and then it.
  package func listed() throws(StoreError) -> [UInt8] {
    var writer = ByteWriter(reserving: 256)
    writer.append(UInt32(0))
    try encode(into: &writer)
    writer.set(UInt32(writer.count - 4), at: 0)
    return writer.bytes
  }

  private func encode(into writer: inout ByteWriter) throws(StoreError) {
    let start = writer.count
    if let key {
      guard !key.isEmpty, key.utf8.count <= Limits.keyBytes else {
        throw StoreError(
          .limit, "a key has 1 to \(Limits.keyBytes) bytes, this one \(key.utf8.count)")
      }
      writer.append(varint: BatchField.key)
      writer.append(counted: key)
    }
    let flags: UInt64 =
      (wantsResults ? 1 : 0) | (checksForeignKeysAtEnd ? 2 : 0) | (isUnlisted ? 4 : 0)
    if flags != 0 {
      writer.append(varint: BatchField.flags)
      writer.append(counted: [UInt8(flags)])
    }
    guard guards.count <= Limits.guardsPerBatch else {
      throw StoreError(.limit, "a batch has at most \(Limits.guardsPerBatch) guards")
    }
    try encodeSettings(&writer)
    try encodeStep(&writer)
    var texts: [ExactText: Int] = [:]
    var executions = 0
    for (i, check) in guards.enumerated() {
      guard check.rows.count == 1 else {
        throw StoreError(.invalid, "guard \(i + 1) must have exactly one row of parameters")
      }
      try check.encode(BatchField.guard, "guard \(i + 1)", &texts, &writer)
    }
    for (i, statement) in statements.enumerated() {
      executions += max(1, statement.rows.count)
      guard executions <= Limits.statementsPerBatch else {
        throw StoreError(
          .limit,
          "a batch executes at most \(Limits.statementsPerBatch) statements (each row of parameters counts); split it"
        )
      }
      try statement.encode(BatchField.statement, "statement \(i + 1)", &texts, &writer)
    }
    let count = writer.count - start
    guard count <= Limits.batchBytes else {
      throw StoreError(
        .limit, "a batch has at most \(Limits.batchBytes) bytes, this one \(count); split it")
    }
  }

  private func encodeStep(_ writer: inout ByteWriter) throws(StoreError) {
    guard let step else { return }
    guard statements.isEmpty, guards.isEmpty, switches.isEmpty, !wantsResults, !isUnlisted,
      !checksForeignKeysAtEnd, foreignKeyCheck == .whereOff
    else {
      throw StoreError(
        .invalid, "a step of an interactive transaction is a batch by itself, without statements")
    }
    switch step {
    case .requestTurn, .cancelTurn:
      writer.append(varint: BatchField.turn)
      writer.append(counted: [step == .requestTurn ? 1 : 2])
    case .commit(let pages): pages.encode(to: &writer)
    }
  }

  private func encodeSettings(_ writer: inout ByteWriter) throws(StoreError) {
    guard !switches.isEmpty || foreignKeyCheck != .whereOff else { return }
    var content = ByteWriter(reserving: 8)
    content.append(varint: foreignKeyCheck.rawValue)
    var last: SettingSwitch?
    for turn in switches {
      guard turn.follows(last), (0..<statements.count).contains(turn.statement) else {
        throw StoreError(
          .invalid,
          "a setting is turned before a statement, in the order of statements and once before each; before statement \(turn.statement + 1) of \(statements.count) it is not"
        )
      }
      last = turn
      content.append(varint: UInt64(turn.statement))
      content.append(turn.setting.rawValue << 1 | (turn.isOn ? 1 : 0))
    }
    writer.append(varint: BatchField.settings)
    writer.append(counted: content.bytes)
  }
}

extension SettingSwitch {
  func follows(_ last: SettingSwitch?) -> Bool {
    guard let last else { return true }
    return (last.statement, last.setting.rawValue) < (statement, setting.rawValue)
  }
}

extension Batch.Statement {
  fileprivate func encode(
    _ field: UInt64, _ name: String, _ texts: inout [ExactText: Int], _ writer: inout ByteWriter
  ) throws(StoreError) {
    let text: Int
    if let known = texts[ExactText(sql)] {
      text = known
    } else {
      guard sql.utf8.count <= Limits.statementTextBytes else {
        throw StoreError(
          .limit,
          "\(name): an SQL text has at most \(Limits.statementTextBytes) bytes; pass large values as parameters"
        )
      }
      text = texts.count
      texts[ExactText(sql)] = text
      writer.append(varint: BatchField.text)
      writer.append(counted: sql)
    }
    let columns = rows.first?.count ?? 0
    guard columns <= Limits.parametersPerStatement else {
      throw StoreError(
        .limit, "\(name): at most \(Limits.parametersPerStatement) parameters a statement")
    }
    let head = [text, columns, rows.count].map { UInt64($0) }
    // Measured first, since the length comes first: large values are copied once.
    var length = head.reduce(0) { $0 + ByteWriter.count(varint: $1) }
    for (i, row) in rows.enumerated() {
      guard row.count == columns else {
        throw StoreError(
          .invalid,
          "\(name): row \(i + 1) has \(row.count) parameters, row 1 has \(columns)")
      }
      for value in row { length += ByteWriter.count(value) }
    }
    writer.append(varint: field)
    writer.append(varint: UInt64(length))
    writer.bytes.reserve(length)
    for number in head { writer.append(varint: number) }
    for row in rows { for value in row { writer.append(value) } }
  }
}

extension [UInt8] {
  /// Room for `more`, exactly where that is much: growing by half would take as much again for a moment.
  fileprivate mutating func reserve(_ more: Int) {
    if more > Swift.max(count, 1 << 20) { reserveCapacity(count + more) }
  }
}

extension ByteWriter {
  fileprivate static func count(varint value: UInt64) -> Int {
    max(1, (64 - value.leadingZeroBitCount + 6) / 7)
  }

  /// How many bytes `append` of the value takes.
  fileprivate static func count(_ value: SQLValue) -> Int {
    switch value {
    case .null: 1
    case .integer(let number):
      1 + count(varint: UInt64(bitPattern: (number << 1) ^ (number >> 63)))
    case .real: 9
    case .text(let text): 1 + count(varint: UInt64(text.utf8.count)) + text.utf8.count
    case .blob(let bytes): 1 + count(varint: UInt64(bytes.count)) + bytes.count
    }
  }

  package mutating func append(_ value: SQLValue) {
    switch value {
    case .null: append(UInt8(0))
    case .integer(let number):
      append(UInt8(1))
      append(zigzag: number)
    case .real(let number):
      append(UInt8(2))
      append(number.bitPattern)
    case .text(let text):
      append(UInt8(3))
      append(counted: text)
    case .blob(let bytes):
      append(UInt8(4))
      append(counted: bytes)
    }
  }
}

/// A value that still lies in the buffer it was decoded from.
@usableFromInline
package enum EncodedValue {
  case null
  case integer(Int64)
  case real(Double)
  /// UTF-8 that was not checked: SQLite takes it as it is.
  case text(UnsafeRawBufferPointer)
  case blob(UnsafeRawBufferPointer)
}

extension ByteReader {
  @inlinable
  package mutating func encodedValue() throws(DecodingError) -> EncodedValue {
    switch try integer(UInt8.self) {
    case 0: return .null
    case 1: return .integer(try zigzag())
    case 2: return .real(Double(bitPattern: try integer(UInt64.self)))
    case 3: return .text(try counted())
    case 4: return .blob(try counted())
    case let type: throw DecodingError("\(type) is no type of value")
    }
  }

  package mutating func value() throws(DecodingError) -> SQLValue {
    switch try encodedValue() {
    case .null: .null
    case .integer(let number): .integer(number)
    case .real(let number): .real(number)
    case .text(let bytes): .text(String(decoding: bytes, as: UTF8.self))
    case .blob(let bytes): .blob(Array(bytes))
    }
  }
}
