internal import SluiceSQLite
internal import SluiceShared

/// What a batch can see beside the database, and that is the same whenever it is executed again:
/// its random numbers, and counters that begin at 0.
final class Determinism {
  private var state: UInt64 = 0
  private var totalChangesBefore: Int64 = 0

  /// Overrides SQLite's functions on a connection. As those, they may stand in triggers, views and
  /// defaults.
  func install(on connection: Connection) throws(SQLiteError) {
    // A batch that is executed again elsewhere must come to the same.
    try connection.makeLocalTimeUTC()
    unowned let connection = connection
    try connection.createFunction("random", argumentCount: 0, flags: .innocuous) { [self] context in
      context.setResult(integer: Int64(bitPattern: next()))
    }
    try connection.createFunction("randomblob", argumentCount: 1, flags: .innocuous) {
      [self] context in
      let wanted = max(1, context.integer(0))
      guard wanted <= Int64(Limits.batchBytes) else {
        context.fail("randomblob makes at most \(Limits.batchBytes) bytes")
        return
      }
      context.setResult(blobOf: Int(wanted)) { blob in
        let whole = blob.count & ~7
        for start in stride(from: 0, to: whole, by: 8) {
          blob.storeBytes(of: next().littleEndian, toByteOffset: start, as: UInt64.self)
        }
        guard whole < blob.count else { return }
        withUnsafeBytes(of: next().littleEndian) { word in
          blob[whole...].copyBytes(from: word.prefix(blob.count - whole))
        }
      }
    }
    try connection.createFunction("total_changes", argumentCount: 0, flags: .innocuous) {
      [self] context in
      context.setResult(integer: connection.totalChanges - totalChangesBefore)
    }
  }

  /// Begins the batch `txid` of a commit with `entropy`.
  func begin(_ txid: TxID, entropy: Identifier128, _ connection: Connection) {
    state = entropy.high ^ (entropy.low &* 0x9E37_79B9_7F4A_7C15) ^ txid.rawValue
    _ = next()
    totalChangesBefore = connection.totalChanges
    connection.lastInsertRowID = 0
  }

  /// splitmix64: small, and the same everywhere.
  private func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
