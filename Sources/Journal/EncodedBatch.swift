package import SluiceShared

/// A batch as it lies in a buffer: nothing copied, valid as long as the buffer.
package struct EncodedBatch {
  package struct Statement {
    /// UTF-8, unless `unreadableText` says otherwise; equal texts of one batch have equal `text`.
    package let sql: UnsafeRawBufferPointer
    package let columns: Int
    package let rows: Int
    /// `rows` × `columns` values.
    package let values: ByteReader
  }

  package private(set) var key: String?
  package private(set) var wantsResults = false
  package private(set) var isUnlisted = false
  package private(set) var checksForeignKeysAtEnd = false
  package private(set) var switches: [SettingSwitch] = []
  package private(set) var foreignKeyCheck = ForeignKeyCheck.whereOff
  package private(set) var guards: [Statement] = []
  package private(set) var statements: [Statement] = []
  /// The first SQL text, from 1, that is not UTF-8. Such a batch is decoded all the same, since a history may have
  /// executed some.
  package private(set) var unreadableText: Int?
  /// What it is of an interactive transaction; nil: a batch of statements.
  package private(set) var step: EncodedTransactionStep?

  package init(_ bytes: UnsafeRawBufferPointer) throws(DecodingError) {
    var reader = ByteReader(bytes)
    var texts: [UnsafeRawBufferPointer] = []
    var executions = 0
    while !reader.isAtEnd {
      let tag = try reader.varint()
      var content = ByteReader(try reader.counted())
      switch tag {
      case BatchField.key:
        guard let text = String(validating: content.bytes, as: UTF8.self), !text.isEmpty,
          text.utf8.count <= Limits.keyBytes
        else { throw DecodingError("the key is not 1 to \(Limits.keyBytes) bytes of UTF-8") }
        key = text
      case BatchField.flags:
        let flags = try content.varint()
        guard flags <= 7, content.isAtEnd else { throw DecodingError("unknown flags \(flags)") }
        wantsResults = flags & 1 != 0
        checksForeignKeysAtEnd = flags & 2 != 0
        isUnlisted = flags & 4 != 0
      case BatchField.text:
        guard content.bytes.count <= Limits.statementTextBytes else {
          throw DecodingError("an SQL text is over \(Limits.statementTextBytes) bytes")
        }
        guard texts.count < Limits.statementsPerBatch + Limits.guardsPerBatch else {
          throw DecodingError("more SQL texts than a batch can use")
        }
        texts.append(content.bytes)
        if unreadableText == nil, !content.bytes.isUTF8 { unreadableText = texts.count }
      case BatchField.statement, BatchField.guard:
        try decodeStatement(&content, texts, isGuard: tag == BatchField.guard, &executions)
      case BatchField.settings: try decodeSettings(&content)
      case BatchField.pages, BatchField.turn, BatchField.parts:
        guard step == nil else { throw DecodingError("two steps of a transaction") }
        step = try EncodedTransactionStep(tag, content.bytes)
      default:
        guard tag & 1 == 0 else {
          throw DecodingError(
            "it needs feature \(tag >> 1), which this version of Sluice does not know; upgrade the applier"
          )
        }
      }
    }
    if let last = switches.last, last.statement >= statements.count {
      throw DecodingError("a setting is turned behind the last statement")
    }
    guard step == nil || isOnlyStep else {
      throw DecodingError("a step of a transaction has something else beside it")
    }
  }

  private var isOnlyStep: Bool {
    statements.isEmpty && guards.isEmpty && switches.isEmpty && !wantsResults && !isUnlisted
      && !checksForeignKeysAtEnd && foreignKeyCheck == .whereOff
  }

  private mutating func decodeStatement(
    _ content: inout ByteReader, _ texts: [UnsafeRawBufferPointer], isGuard: Bool,
    _ executions: inout Int
  ) throws(DecodingError) {
    let text = try content.varint()
    guard text < UInt64(texts.count) else { throw DecodingError("no SQL text \(text)") }
    let columns = try content.varint()
    let rows = try content.varint()
    guard columns <= UInt64(Limits.parametersPerStatement),
      rows <= UInt64(Limits.statementsPerBatch),
      columns * rows <= UInt64(content.remaining)
    else { throw DecodingError("\(rows) rows of \(columns) values do not fit") }
    let values = ByteReader(try content.take(content.remaining))
    let statement = Statement(
      sql: texts[Int(text)], columns: Int(columns), rows: Int(rows), values: values)
    if isGuard {
      guard guards.count < Limits.guardsPerBatch, rows == 1 else {
        throw DecodingError("too many guards, or a guard without its row")
      }
      guards.append(statement)
    } else {
      // One that is never executed takes memory all the same.
      executions += max(1, Int(rows))
      guard executions <= Limits.statementsPerBatch else {
        throw DecodingError("over \(Limits.statementsPerBatch) statements")
      }
      statements.append(statement)
    }
  }

  private mutating func decodeSettings(_ content: inout ByteReader) throws(DecodingError) {
    guard let check = ForeignKeyCheck(rawValue: try content.varint()) else {
      throw DecodingError("unknown way to judge foreign keys")
    }
    foreignKeyCheck = check
    switches = []
    while !content.isAtEnd {
      let statement = try content.varint()
      let turn = try content.integer(UInt8.self)
      guard statement < UInt64(Limits.statementsPerBatch),
        let setting = SettingSwitch.Setting(rawValue: turn >> 1)
      else { throw DecodingError("unknown setting \(turn) before statement \(statement)") }
      let next = SettingSwitch(setting, on: turn & 1 != 0, beforeStatement: Int(statement))
      guard next.follows(switches.last) else {
        throw DecodingError("settings are not in the order of statements")
      }
      switches.append(next)
    }
  }
}

extension Batch {
  /// The batch in `bytes`, copied out.
  package init(decoding bytes: UnsafeRawBufferPointer) throws(DecodingError) {
    let encoded = try EncodedBatch(bytes)
    var statements: [Statement] = []
    for statement in encoded.statements { statements.append(try Statement(statement)) }
    var guards: [Statement] = []
    for check in encoded.guards { guards.append(try Statement(check)) }
    self.init(
      statements, key: encoded.key, guards: guards, wantsResults: encoded.wantsResults,
      isUnlisted: encoded.isUnlisted, checksForeignKeysAtEnd: encoded.checksForeignKeysAtEnd,
      switches: encoded.switches,
      foreignKeyCheck: encoded.foreignKeyCheck)
    step = encoded.step.map(TransactionStep.init)
  }
}

extension Batch.Statement {
  init(_ encoded: EncodedBatch.Statement) throws(DecodingError) {
    var values = encoded.values
    var rows: [[SQLValue]] = []
    for _ in 0..<encoded.rows {
      var row: [SQLValue] = []
      for _ in 0..<encoded.columns { row.append(try values.value()) }
      rows.append(row)
    }
    guard values.isAtEnd else { throw DecodingError("bytes behind a statement's last value") }
    self.init(String(decoding: encoded.sql, as: UTF8.self), rows: rows)
  }
}

/// The content of a journal frame's and a commit frame's batches section: u32 length and bytes of
/// each batch, one after the other.
package struct BatchList {
  /// Of an empty batch: its length.
  package static let leastBytes = 4

  /// The byte range of each batch in `bytes`; throws where they do not fill it exactly.
  package static func ranges(_ bytes: [UInt8], count: Int) throws(DecodingError) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var failure: DecodingError?
    bytes.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      do throws(DecodingError) {
        for _ in 0..<count {
          let length = Int(try reader.integer(UInt32.self))
          let start = reader.position
          _ = try reader.take(length)
          ranges.append(start..<start + length)
        }
        if !reader.isAtEnd {
          throw DecodingError("\(reader.remaining) bytes behind the last batch")
        }
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return ranges
  }
}
