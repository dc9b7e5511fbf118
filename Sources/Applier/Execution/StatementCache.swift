internal import Glibc
internal import SluiceSQLite
internal import SluiceShared

/// Prepared statements by their text, since most batches of a worker say the same.
struct StatementCache {
  struct Entry {
    let statement: Statement
    let analyzes: Bool
    /// nil: it leaves the schema as it is.
    let schemaChange: SchemaChange?
    /// The tables that it writes to, in lower case.
    let written: Set<String>
  }

  private let capacity: Int
  private var entries: [Int: [(text: [UInt8], entry: Entry)]] = [:]
  private var count = 0

  init(capacity: Int) { self.capacity = capacity }

  subscript(sql: UnsafeRawBufferPointer) -> Entry? {
    guard let bucket = entries[StatementCache.hash(sql)] else { return nil }
    for (text, entry) in bucket where text.count == sql.count {
      if text.withUnsafeBytes({ memcmp($0.baseAddress!, sql.baseAddress!, sql.count) == 0 }) {
        return entry
      }
    }
    return nil
  }

  /// Large texts are not kept: a dump's statements never come again.
  mutating func insert(_ entry: Entry, for sql: UnsafeRawBufferPointer) {
    guard sql.count <= 4096 else { return }
    if count >= capacity { removeAll() }
    entries[StatementCache.hash(sql), default: []].append((Array(sql), entry))
    count += 1
  }

  mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    count = 0
  }

  /// After an error: resets all, so that nothing keeps a transaction open.
  func dropRunning() {
    for bucket in entries.values { for (_, entry) in bucket { entry.statement.reset() } }
  }

  private static func hash(_ sql: UnsafeRawBufferPointer) -> Int {
    Int(truncatingIfNeeded: UInt64(crc32c(sql)) | UInt64(sql.count) << 32)
  }
}
