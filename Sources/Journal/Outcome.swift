public import SluiceShared

/// What became of a batch.
public enum Outcome: Hashable, Sendable {
  case applied(Applied)
  case rejected(Rejection)
  /// The key was used before with the same content: `original` is what became of it then.
  indirect case duplicate(of: TxID, original: Outcome)

  public struct Applied: Hashable, Sendable {
    /// Rows inserted, changed or deleted by all of the batch's statements, triggers included.
    public var changes: Int64
    /// The last rowid inserted; 0 where none was.
    public var lastRowID: Int64
    /// What the statements returned, where the batch asked for it.
    public var rows: [[SQLValue]]?

    public init(changes: Int64, lastRowID: Int64, rows: [[SQLValue]]?) {
      self.changes = changes
      self.lastRowID = lastRowID
      self.rows = rows
    }
  }

  /// Why nothing of a batch was done. The code is SQLite's extended name, such as
  /// `SQLITE_CONSTRAINT_UNIQUE`, or one of `Rejection.Code`.
  public struct Rejection: Hashable, Sendable {
    public var code: String
    public var message: String

    public init(code: String, message: String) {
      self.code = code
      self.message = message
    }
  }
}

extension Outcome.Rejection {
  /// Codes that are not SQLite's.
  public enum Code {
    public static let guardFailed = "guardFailed"
    /// The key was used with another content.
    public static let keyReused = "keyReused"
    public static let denied = "denied"
    public static let wrongParameters = "wrongParameters"
    public static let stepLimit = "stepLimit"
    /// It took longer than a batch may hold up the others.
    public static let timeLimit = "timeLimit"
    public static let resultLimit = "resultLimit"
    public static let malformed = "malformed"
    public static let foreignKey = "foreignKey"
    public static let expiredWriter = "expiredWriter"
    /// The process that executed the batch ended each time, as often as it was tried.
    public static let poisonous = "poisonous"
    /// Too large for scratch space or memory even when alone in its commit.
    public static let resources = "resources"
    /// The database has changed since the interactive transaction began, or another one has the turn.
    public static let conflict = "conflict"
    /// Its writer has no right to interactive transactions.
    public static let notPermitted = "notPermitted"
    /// The pages of an interactive transaction would be no database that goes on.
    public static let unsoundPages = "unsoundPages"
  }

  /// Whether the cause lies outside of the batch and the database, so that a replay takes it from the
  /// record.
  package var comesFromEnvironment: Bool {
    code == Code.poisonous || code == Code.resources || code == Code.expiredWriter
      || code == Code.timeLimit || code == Code.stepLimit || code == Code.notPermitted
  }
}

// An outcome: u8 (1 applied, 2 rejected, 3 duplicate), then
//   applied    zigzag changes, zigzag last rowid, u8 with rows; rows: varint count, each varint
//              columns and the values
//   rejected   code, message as counted UTF-8
//   duplicate  varint TxID, the original outcome (which is no duplicate)
extension Outcome {
  package func encode(to writer: inout ByteWriter) {
    switch self {
    case .applied(let applied):
      writer.append(UInt8(1))
      writer.append(zigzag: applied.changes)
      writer.append(zigzag: applied.lastRowID)
      writer.append(UInt8(applied.rows == nil ? 0 : 1))
      if let rows = applied.rows {
        writer.append(varint: UInt64(rows.count))
        for row in rows {
          writer.append(varint: UInt64(row.count))
          for value in row { writer.append(value) }
        }
      }
    case .rejected(let rejection):
      writer.append(UInt8(2))
      writer.append(counted: rejection.code)
      writer.append(counted: rejection.message)
    case .duplicate(let txid, let original):
      writer.append(UInt8(3))
      writer.append(varint: txid.rawValue)
      original.encode(to: &writer)
    }
  }

  package var encoded: [UInt8] {
    var writer = ByteWriter()
    encode(to: &writer)
    return writer.bytes
  }

  package init(decoding bytes: [UInt8]) throws(DecodingError) {
    var result: Result<Outcome, DecodingError> = .failure(DecodingError("empty"))
    bytes.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      do throws(DecodingError) { result = .success(try Outcome(from: &reader)) } catch {
        result = .failure(error)
      }
    }
    self = try result.get()
  }

  package init(from reader: inout ByteReader) throws(DecodingError) {
    try self.init(from: &reader, mayBeDuplicate: true)
  }

  private init(from reader: inout ByteReader, mayBeDuplicate: Bool) throws(DecodingError) {
    switch try reader.integer(UInt8.self) {
    case 1:
      let changes = try reader.zigzag()
      let lastRowID = try reader.zigzag()
      var rows: [[SQLValue]]?
      if try reader.integer(UInt8.self) != 0 {
        var list: [[SQLValue]] = []
        for _ in 0..<(try reader.count()) {
          var row: [SQLValue] = []
          for _ in 0..<(try reader.count()) { row.append(try reader.value()) }
          list.append(row)
        }
        rows = list
      }
      self = .applied(Applied(changes: changes, lastRowID: lastRowID, rows: rows))
    case 2: self = .rejected(Rejection(code: try reader.text(), message: try reader.text()))
    case 3 where mayBeDuplicate:
      let txid = TxID(try reader.varint())
      self = .duplicate(of: txid, original: try Outcome(from: &reader, mayBeDuplicate: false))
    case let kind: throw DecodingError("\(kind) is no kind of outcome")
    }
  }
}
