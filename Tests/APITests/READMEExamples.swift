import CSQLite
import Sluice

/// The README's examples in Swift, as functions: each has what stands in the README, letter by letter but for
/// blanks, and `READMETests` holds them to that. This file is a program's: it imports one module.
enum READMEExamples {
  static func writeAndRead(_ path: String) async throws {
    // Write: one Writer a process, used from any number of tasks; their submits share flushes.
    let writer = try Writer(store: path)
    let batch = Batch(
      [
        .init("INSERT INTO item(name, stock) VALUES (?, ?)", [.text("screw"), .integer(250)]),
        .init(
          "UPDATE item SET stock = stock - 1 WHERE name = ?",
          rows: [[.text("bolt")], [.text("nut")]]),
      ],
      key: "order-4712",
      guards: [.init("SELECT stock > 0 FROM item WHERE name = ?", [.text("bolt")])])
    let receipt = try await writer.submit(batch)  // durable when this returns
    let applied = try await writer.outcome(of: receipt, timeout: .seconds(30))
    switch applied.outcome {
    case .applied(let result): print("batch \(applied.txid): \(result.changes) changes")
    case .rejected(let why): print("batch \(applied.txid) rejected: \(why.code): \(why.message)")
    case .duplicate(of: let first, _): print("done before, as batch \(first)")
    }

    // Read: many threads may use one Database; a body sees one snapshot.
    let database = try Database(path: path)
    let stock = try await database.read {
      try $0.query("SELECT name, stock FROM item ORDER BY name")
    }
    for row in stock { print(row) }

    // At least what this process wrote; and: no I/O at all while the snapshot is younger than a second.
    let mine = try await database.read(.atLeast(applied.txid, timeout: .seconds(5))) {
      try $0.scalar("SELECT count(*) FROM item")
    }
    let cheap = try await database.read(.maxStaleness(.seconds(1))) {
      ($0.txid, try $0.scalar("SELECT sum(stock) FROM item"))
    }
    print(mine ?? .null, cheap)
    await writer.close()
  }

  static func openBySQLite() -> OpaquePointer? {
    ReadVFS.register()
    var handle: OpaquePointer?
    guard
      sqlite3_open_v2(
        "file:/mnt/efs/orders?vfs=sluice&max_staleness_ms=100", &handle,
        SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, nil) == SQLITE_OK
    else { fatalError("\(ReadVFS.lastError?.description ?? "")") }
    return handle
  }

  static func follow(_ path: String, from applied: AppliedOutcome) async throws {
    for try await case .batch(let entry) in RowFeed.events(
      path: path, from: applied.txid, follows: true)
    {
      for change in entry.changes ?? [] {
        print(entry.batch.txid, change.kind, change.table, change.new ?? [])
      }
    }
  }

  static func assist(_ path: String, _ writer: Writer, _ receipt: Receipt) async throws
    -> AppliedOutcome
  {
    let assistant = Assistant(store: path, options: ApplierOptions(holder: "function"))
    let applied = try await writer.outcome(
      of: receipt, timeout: .seconds(20), assistedBy: assistant)
    return applied
  }
}
