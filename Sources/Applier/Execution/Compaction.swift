internal import SluiceJournal
internal import SluiceSQLite

/// A batch that rewrites the whole database: `VACUUM`, and before it in the same batch, where they are to be
/// changed, `PRAGMA auto_vacuum` and `PRAGMA page_size`.
///
/// SQLite does both outside of transactions only, so such a batch has nothing else, and is alone in its
/// commit.
///
/// What a batch says is only recognised, never executed: it would be with more than a batch's rights.
struct Compaction {
  /// How the database gives free pages back, where the batch changes that.
  enum AutoVacuum: String { case none, full, incremental }

  private(set) var autoVacuum: AutoVacuum?
  /// Bytes of a page, where the batch changes that.
  private(set) var pageSize: Int?

  /// What SQLite is told.
  var statements: [String] {
    (autoVacuum.map { ["PRAGMA auto_vacuum = \($0.rawValue)"] } ?? [])
      + (pageSize.map { ["PRAGMA page_size = \($0)"] } ?? []) + ["VACUUM"]
  }

  /// False for what it says already, and for what stands before no VACUUM.
  private mutating func take(_ kind: Kind) -> Bool {
    switch kind {
    case .autoVacuum(let mode) where autoVacuum == nil: autoVacuum = mode
    case .pageSize(let bytes) where pageSize == nil: pageSize = bytes
    case .autoVacuum, .pageSize, .vacuum, .other: return false
    }
    return true
  }

  enum Meaning {
    case compaction(Compaction)
    /// There is VACUUM in it, and what it cannot be together with.
    case refused(Outcome.Rejection)
  }

  /// nil: an ordinary batch.
  static func meaning(of batch: EncodedBatch) -> Meaning? {
    let kinds = batch.statements.map { kind(of: $0.sql) }
    guard kinds.contains(.vacuum) else {
      // Alone it is a setting of the connection, which no other batch would see; and is denied as such.
      return nil
    }
    guard batch.guards.isEmpty, batch.switches.isEmpty,
      batch.statements.allSatisfy({ $0.rows == 1 && $0.columns == 0 })
    else { return .refused(denied) }
    var compaction = Compaction()
    for kind in kinds.dropLast() where !compaction.take(kind) { return .refused(denied) }
    return kinds.last == .vacuum ? .compaction(compaction) : .refused(denied)
  }

  private static let denied = Outcome.Rejection(
    code: Outcome.Rejection.Code.denied,
    message:
      "VACUUM is a batch by itself, with no other statement but PRAGMA auto_vacuum and PRAGMA page_size before it, no guard and no parameter"
  )

  private enum Kind: Equatable { case vacuum, autoVacuum(AutoVacuum), pageSize(Int), other }

  /// The whole text counts, so that nothing stands behind it. `VACUUM INTO`, and what is written otherwise,
  /// is left to SQLite, which refuses it in a transaction.
  private static func kind(of sql: UnsafeRawBufferPointer) -> Kind {
    // Neither is longer, and most statements have another first letter.
    guard sql.count <= 256 else { return .other }
    var tokens = LeadingTokens(String(decoding: sql, as: UTF8.self))
    switch tokens.keyword() {
    case "vacuum":
      var next = tokens.next()
      if next == "main" { next = tokens.next() }
      return isEnd(next, &tokens) ? .vacuum : .other
    case "pragma":
      let setting = setting(tokens.next(), tokens.next() == "=" ? tokens.next() : nil)
      return isEnd(tokens.next(), &tokens) ? setting : .other
    default: return .other
    }
  }

  private static func isEnd(_ token: String?, _ tokens: inout LeadingTokens) -> Bool {
    token == nil || token == ";" && tokens.next() == nil
  }

  private static func setting(_ name: String?, _ value: String?) -> Kind {
    switch name {
    case "auto_vacuum": mode(value).map { .autoVacuum($0) } ?? .other
    case "page_size": pageSize(value).map { .pageSize($0) } ?? .other
    default: .other
    }
  }

  private static func pageSize(_ value: String?) -> Int? {
    value.flatMap { Int($0) }.flatMap { PageBatch.pageSizes.contains($0) ? $0 : nil }
  }

  private static func mode(_ value: String?) -> AutoVacuum? {
    switch value {
    case "0": .some(AutoVacuum.none)
    case "1": .full
    case "2": .incremental
    default: value.flatMap(AutoVacuum.init(rawValue:))
    }
  }
}
