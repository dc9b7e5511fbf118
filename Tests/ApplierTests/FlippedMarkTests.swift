import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceWriter
import Testing

/// Of files beside those that readers need: marks of copies, what is copied, and what is kept for people.
@Suite("A changed bit of a copy's mark, or of what is in quarantine, never makes a wrong answer")
struct FlippedMarkTests {
  private func bytes(_ path: String) throws -> [UInt8] {
    try PosixFileSystem().open(path, .fixed).read(1 << 20, at: 0)
  }

  private func write(_ bytes: [UInt8], _ path: String) throws {
    try PosixFileSystem().open(path, .write).write(bytes, at: 0)
  }

  /// Each bit of a small file, one at a time; `body` gets what is told of it.
  private func eachBit(of path: String, _ body: (String) throws -> Void) throws {
    let whole = try bytes(path)
    for place in whole.indices {
      for bit in 0..<8 {
        var changed = whole
        changed[place] ^= 1 << bit
        try write(changed, path)
        try body("bit \(bit) of byte \(place)")
        try write(whole, path)
      }
    }
  }

  @Test("Of a backup's: it goes on, or names it and touches nothing")
  func backup() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    try store.makeCheckpoint()
    try store.backUp()
    let path = "\(store.copy)/backup.json"
    var counts = (done: 0, refused: 0)
    let files = try store.inodes()
    try eachBit(of: path) { (what) throws in
      do throws(StoreError) {
        try store.backUp()
        counts.done += 1
      } catch {
        #expect(error.code == .foreign && error.path == path, "\(what): \(error)")
        counts.refused += 1
      }
      #expect(try store.inodes() == files, "\(what)")
      #expect(try store.queryCopy("SELECT count(*) FROM t") == 2, "\(what)")
    }
    #expect(counts.done > 20 && counts.refused > 100, "\(counts)")
    try store.work(3...3)
    try store.backUp()
    try store.expectWhole(upTo: 4)
  }

  @Test("Of a warm copy's: it goes on, or names it and touches nothing")
  func warmCopy() throws {
    let store = try BackedUpStore()
    try store.work(1...2)
    let path = "\(store.place)/warm.sqlite"
    do { _ = try WarmCopy(of: store.store.path, at: path, store.environment).update() }
    var counts = (done: 0, refused: 0)
    let right = try bytes(path)
    try eachBit(of: "\(path).copy") { (what) throws in
      do throws(StoreError) {
        let copy = try WarmCopy(of: store.store.path, at: path, store.environment)
        _ = try copy.update()
        counts.done += 1
      } catch {
        #expect(error.code == .foreign && error.path == "\(path).copy", "\(what): \(error)")
        counts.refused += 1
      }
      #expect(try bytes(path) == right, "\(what)")
    }
    #expect(counts.done > 20 && counts.refused > 100, "\(counts)")
  }

  @Test("Of what is recorded of a rejected batch: it is named, and nobody goes by it")
  func handled() throws {
    let store = try TestStore()
    try store.apply("INSERT INTO nowhere VALUES(1)")
    let handled = HandledBatches(store.layout, store.environment.fileSystem)
    let deeds: [TxID: HandledBatches.Deed] = [TxID(1): .resubmitted("a key"), TxID(2): .discarded]
    for (txid, deed) in deeds {
      #expect(try handled.record(deed, of: txid, nonce: txid.rawValue) == deed)
      let path = "\(store.layout.handled)/\(padded(txid.rawValue, width: 16))"
      var count = 0
      try eachBit(of: path) { (what) throws in
        let error = #expect(throws: StoreError.self, "\(what)") { try handled.deed(txid) }
        #expect(error?.code == .damaged && error?.path == path, "\(what)")
        var damages: [Verification.Damage] = []
        _ = try Verification(store: store.path, store.environment) { damages.append($0) }.run()
        #expect(damages.map(\.path) == [path], "\(what)")
        count += 1
      }
      #expect(count > 200)
      #expect(try handled.deed(txid) == deed)
      // As it was before it had a checksum, and where its end is missing.
      let whole = try bytes(path)
      for shorter in whole.indices.dropFirst() {
        try PosixFileSystem().open(path, .write).resize(to: Int64(shorter))
        #expect(throws: StoreError.self, "\(shorter) bytes") { try handled.deed(txid) }
        try write(whole, path)
      }
    }
  }

  /// Pages that did not change are taken from the file that is there.
  @Test("Of a warm copy itself: the next one is right, or there is none, whoever makes it")
  func warmContent() throws {
    let store = try BackedUpStore()
    try store.work(1...6)
    let path = "\(store.place)/warm.sqlite"
    var random = SeededRandom(seed: 9)
    var n = 6
    var same: WarmCopy? = try WarmCopy(of: store.store.path, at: path, store.environment)
    _ = try same?.update()
    let size = try bytes(path).count
    for offset in stride(from: 0, to: size - 257, by: 257) {
      try store.store.flip(path, Int64(offset + random.below(257)))
      n += 1
      try store.work(n...n)
      // Of the process that made it, which takes pages from it, and of another one.
      if offset % 2 == 1 {
        same = nil
        same = try WarmCopy(of: store.store.path, at: path, store.environment)
      }
      #expect(try same?.update() == TxID(UInt64(n) + 1))
      let restored = "\(store.place)/restored.sqlite"
      let pages = try PageStore(path: store.store.path, environment: store.environment)
      try Restoration.write(.latest, of: pages, to: restored, store.environment)
      #expect(try bytes(path) == bytes(restored), "byte \(offset)")
      removeTree(restored)
    }
    #expect(n > 20)
  }

  @Test("Of a segment in quarantine: what is shown of it was submitted, and nothing else changes")
  func quarantine() throws {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    let others = try store.names(store.layout.journal)
    let journal = try store.journal()
    let batches = (0..<6).map { n in
      Batch(
        [
          Batch.Statement(
            "INSERT INTO t(v) VALUES(?)", [.text("row \(n) " + String(repeating: "x", count: 900))])
        ], key: "key \(n)")
    }
    for batch in batches { _ = try journal.flush([batch.encoded()]) }
    let name = try #require(
      store.names(store.layout.journal).first { !others.contains($0) })
    // In the third one: two are executed.
    try store.flip("\(store.layout.journal)/\(name)", Block.firstJournalFrame + 2 * 4096 + 20)
    store.options.retireAfter = .milliseconds(20)
    let (layout, clock) = (store.layout, SystemClock())
    let end = clock.elapsed() + .seconds(30 * TestStore.patience)
    try Applier(path: store.path, options: store.options, environment: store.environment).run {
      clock.elapsed() > end || (try? PosixFileSystem().list(layout.quarantine)) == [name]
    }
    try #require(store.names(store.layout.quarantine) == [name])
    let rows = try store.query("SELECT v FROM t")
    #expect(rows.count == 2)

    let id = try #require(StoreLayout.journalSegment(name))
    let path = "\(store.layout.quarantine)/\(name)"
    let written = Block.firstJournalFrame + 6 * 4096
    var random = SeededRandom(seed: 10)
    var fewer = 0
    var unreadable = 0
    let dense = Array(Block.header..<Block.header + 100) + Array(8192..<8192 + 160)
    let sparse = stride(from: 0, to: written, by: 97).map { $0 + Int64(random.below(97)) }
    for offset in dense + sparse {
      try store.flip(path, offset)
      var shown = 0
      let reach = try QuarantinedSegment(id, store.layout, store.environment.fileSystem).read {
        let number = Int($0.batch.sequence.rawValue) - 1
        #expect(
          batches.indices.contains(number) && number != 2 && $0.content == batches[number],
          "byte \(offset): \($0.batch)")
        shown += 1
      }
      if reach == .nothing { unreadable += 1 } else { #expect(shown >= 4, "byte \(offset)") }
      if shown < 5 { fewer += 1 }
      try store.flip(path, offset)
    }
    #expect(fewer > 20 && unreadable > 20 && unreadable < fewer, "\(fewer), \(unreadable)")
    // Appliers and readers do not read it.
    try store.flip(path, Block.header + 20)
    #expect(try store.apply("INSERT INTO t(v) VALUES('next')").isApplied)
    #expect(try store.query("SELECT v FROM t") == rows + [["next"]])
  }
}
