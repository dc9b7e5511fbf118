import Glibc
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@Suite("Damage is named where it lies, and never read as data or as the end of the data")
struct DamagedFileTests {
  /// All that a reader sees; too much to be printed where a test fails.
  struct Content: Equatable, CustomTestStringConvertible {
    var rows: [[SQLValue]]
    var testDescription: String { "\(rows.count) rows" }
  }

  /// Twenty rows, in several log segments.
  func makeStore() throws -> TestStore {
    let store = try TestStore()
    let writer = try store.writer()
    for n in 1...20 {
      _ = try writer.submitBlocking(
        Batch([
          Batch.Statement(
            "INSERT INTO t(w, n, x) VALUES (0, ?, hex(randomblob(700)))", [.integer(Int64(n))])
        ]))
      if n == 20 { writer.closeBlocking() }
      if n % 5 == 0 { try store.drain() }
    }
    return store
  }

  private static let everything = "SELECT id, w, n, x FROM t ORDER BY id"

  func impatient(_ store: TestStore) -> Environment {
    var environment = store.environment
    environment.clock = ImpatientClock()
    return environment
  }

  func readAll(_ store: TestStore) throws -> Content {
    try store.database(impatient(store)).read { Content(rows: try $0.query(Self.everything)) }
  }

  /// Changes one byte of a file for as long as `body` runs.
  private func flip(
    _ path: String, at offset: Int64, by bits: UInt8 = 0x55, _ body: () throws -> Void
  ) throws {
    let descriptor = Glibc.open(path, O_RDWR)
    try #require(descriptor >= 0)
    defer { close(descriptor) }
    var byte: UInt8 = 0
    try #require(pread(descriptor, &byte, 1, off_t(offset)) == 1)
    var changed = byte ^ bits
    try #require(pwrite(descriptor, &changed, 1, off_t(offset)) == 1)
    defer { pwrite(descriptor, &byte, 1, off_t(offset)) }
    try body()
  }

  /// With damage somewhere, everything is read as it was written, or an error names the file and a
  /// place in it. Returns whether it was an error.
  func readsTruly(
    _ store: TestStore, _ expected: Content, _ path: String, near offset: Int64
  ) -> Bool {
    do {
      let rows = try readAll(store)
      #expect(rows == expected, "\(path) at \(offset): other data without an error")
      return false
    } catch let error as StoreError {
      #expect(
        error.code == .damaged || error.code == .foreign || error.code == .unsupported,
        "\(path) at \(offset): \(error)")
      #expect(error.path == path && error.offset != nil, "\(path) at \(offset): \(error)")
      return true
    } catch {
      Issue.record("\(path) at \(offset): \(error)")
      return true
    }
  }

  @Test("Any byte of the published log")
  func log() async throws {
    try await onThread {
      let store = try makeStore()
      let expected = try readAll(store)
      let log = try store.log()
      var errors = 0
      for span in try log.history(after: .zero, upTo: try log.present()) {
        let path = span.segment.file.path
        // Each section of each frame, its first, middle and last byte; and the frame's header.
        var cursor = LogCursor(span.segment, to: span.end, environment: store.environment)
        while let header = try cursor.next() {
          var places: [Int64] = [0, 4, 8, 20, 30, 36, 40, 48, 60, Int64(header.headerBytes) - 1]
          for section in header.sections where section.storedBytes > 0 {
            places += [
              section.offset, section.offset + section.storedBytes / 2,
              section.offset + section.storedBytes - 1,
            ]
          }
          for place in places {
            let offset = header.offset + place
            try flip(path, at: offset) {
              if readsTruly(store, expected, path, near: offset) { errors += 1 }
            }
          }
        }
      }
      #expect(errors > 30)
      #expect(try readAll(store) == expected)
    }
  }

  @Test("A segment's header, beacons and mark")
  func controlBlocks() async throws {
    try await onThread {
      let store = try makeStore()
      let expected = try readAll(store)
      let path = try store.present().segment.file.path
      for offset in [0, 8, 10, 16, 31, 32, 40, 48, 56, 64, 66, 100, 4000, 4095] {
        try flip(path, at: Block.header + Int64(offset)) {
          #expect(readsTruly(store, expected, path, near: Block.header + Int64(offset)))
        }
      }
      // One slot is enough where the holder released; with both gone nothing is guessed.
      for offset in [0, 8, 16, 24, 40, 56, 64, 200, 4095] {
        let (first, second) = (
          Block.beacons.0 + Int64(offset), Block.beacons.1 + Int64(offset)
        )
        for slot in [first, second] {
          try flip(path, at: slot) {
            #expect(!readsTruly(store, expected, path, near: slot))
          }
        }
        try flip(path, at: first) {
          try flip(path, at: second) {
            #expect(readsTruly(store, expected, path, near: first))
          }
        }
      }
      // A mark that nobody set: closed, with none that took over.
      for offset: Int64 in [0, 777, 4095] {
        try flip(path, at: offset) {
          #expect(readsTruly(store, expected, path, near: offset))
        }
      }
    }
  }

  @Test("An applier covers lost beacons and a mark that nobody set", arguments: [false, true])
  func covered(mark: Bool) async throws {
    try await onThread {
      let store = try makeStore()
      let expected = try readAll(store)
      let path = try store.present().segment.file.path
      let places = mark ? [Block.mark] : [Block.beacons.0, Block.beacons.1]
      let file = try store.environment.fileSystem.open(path, .write)
      store.isDamagedOnPurpose = !mark
      for place in places { try file.write([7], at: place) }
      #expect(readsTruly(store, expected, path, near: places[0]))
      try store.drain()
      #expect(try readAll(store) == expected)
      _ = try History(store)
    }
  }

  @Test("A checkpoint's pages and their checksums")
  func checkpoint() async throws {
    try await onThread {
      let store = try makeStore()
      let expected = try readAll(store)
      let checkpoint = Checkpoint(of: try store.log().store)
      try checkpoint.make(of: try store.database().store.published(.latest))
      #expect(try readAll(store) == expected)
      let txid = try #require(try checkpoint.newest(upTo: store.present().published))
      let path = store.layout.database(of: txid)
      let size = try store.environment.fileSystem.status(path).size
      var errors = 0
      for offset in stride(from: Int64(19), to: size, by: 1501) {
        try flip(path, at: offset) {
          if readsTruly(store, expected, path, near: offset) { errors += 1 }
        }
      }
      #expect(errors > 5)
      let sidecar = store.layout.sidecar(of: txid)
      for offset: Int64 in [4096, 4100, 8191] {
        try flip(sidecar, at: offset) {
          #expect(readsTruly(store, expected, sidecar, near: offset))
        }
      }
      // With a header that cannot be read an older checkpoint and the log behind it serve.
      try flip(sidecar, at: 40) {
        #expect(!readsTruly(store, expected, sidecar, near: 40))
      }
    }
  }

  @Test("What is undamaged stays readable")
  func undamaged() async throws {
    try await onThread {
      let store = try makeStore()
      let writer = try store.writer()
      _ = try writer.submitBlocking(
        Batch([
          Batch.Statement("CREATE TABLE other(a)"), Batch.Statement("INSERT INTO other VALUES (7)"),
        ]))
      try store.drain()
      let log = try store.log()
      // The page of `t` that the first of the twenty commits wrote, which later ones left alone.
      let snapshot = try store.database().store.snapshot(.latest)
      let rows = try store.query(DamagedFileTests.everything).count
      var places: [UInt32: (path: String, entry: PageEntry)] = [:]
      for span in try log.history(after: .zero, upTo: try log.present()) {
        var cursor = LogCursor(span.segment, to: span.end, environment: store.environment)
        while let header = try cursor.next() {
          guard header.kind == .commit else { continue }
          for entry in try cursor.pages(of: header)
          where try entry.page > 8 && snapshot.crc(ofPage: entry.page) == entry.crc {
            // The last is the one that is read: a commit may have been carried over.
            places[entry.page] = (span.segment.file.path, entry)
          }
        }
      }
      let (path, entry) = try #require(places.min { $0.key < $1.key }?.value)
      try flip(path, at: entry.offset + 3) {
        let database = try store.database()
        let error = #expect(throws: StoreError.self) {
          try database.read { Content(rows: try $0.query(DamagedFileTests.everything)) }
        }
        #expect(error?.code == .damaged && error?.path == path)
        #expect(error?.offset == entry.offset)
        #expect(try database.read { try $0.query("SELECT a FROM other") } == [[7]])
        let some = try database.read { try $0.query("SELECT n FROM t ORDER BY id LIMIT 2").count }
        #expect(some == 2)
        let end = try sluice("query", store.path, DamagedFileTests.everything)
        #expect(end.code == 76 && end.errors.contains("\(path) at byte \(entry.offset)"))
      }
      #expect(rows == 20)
      #expect(try store.query(DamagedFileTests.everything).count == rows)
    }
  }

  @Test("store.json")
  func description() async throws {
    try await onThread {
      let store = try TestStore()
      let path = store.layout.description
      chmod(path, 0o644)
      let original = try StoreDescription.read(store.layout, store.environment.fileSystem)
      let size = try store.environment.fileSystem.status(path).size
      for offset in 0..<size {
        try flip(path, at: offset, by: 0x01) {
          do throws(StoreError) {
            let read = try StoreDescription.read(store.layout, store.environment.fileSystem)
            // Another id, lease or page size would be the truth of another store.
            if read != original {
              let error = #expect(throws: StoreError.self) {
                try PageStore(path: store.path, environment: store.environment)
              }
              #expect(error?.path != nil)
            }
          } catch {
            #expect(error.path == path, "\(error)")
            #expect([.damaged, .foreign, .unsupported].contains(error.code), "\(error)")
          }
        }
      }
      try flip(path, at: 11, by: UInt8(ascii: "1") ^ UInt8(ascii: "2")) {
        let end = try sluice("query", store.path, "SELECT 1")
        #expect(end.code == 76 && end.errors.contains(path), "\(end)")
        #expect(end.errors.contains("another checksum than it says"), "\(end)")
      }
      let file = try store.environment.fileSystem.open(path, .write)
      store.isDamagedOnPurpose = true
      try file.resize(to: size / 2)
      let error = #expect(throws: StoreError.self) {
        try PageStore(path: store.path, environment: store.environment)
      }
      #expect(error?.code == .damaged && error?.path == path)
    }
  }

  @Test("An applier does not go on behind damage; when the file is whole again it does")
  func applier() async throws {
    try await onThread {
      let store = try makeStore()
      let present = try store.present()
      let path = present.segment.file.path
      let writer = try store.writer()
      _ = try writer.submitBlocking(TestStore.row(0, 21))
      let log = try store.log()
      let spans = try log.history(after: .zero, upTo: present)
      // The outcomes of its last commit: what readers of pages do not look at.
      var last: FrameHeader?
      let span = try #require(spans.last)
      var cursor = LogCursor(span.segment, to: span.end, environment: store.environment)
      while let header = try cursor.next() { if header.kind == .start { last = header } }
      let start = try #require(last)
      let segments = try store.environment.fileSystem.list(store.layout.log).sorted()
      try flip(path, at: start.offset + 50) {
        for _ in 0..<2 {
          let error = #expect(throws: StoreError.self) {
            try store.drain(TestStore.options(), impatient(store))
          }
          #expect(error?.code == .damaged && error?.path == path)
          #expect(error?.offset == start.offset)
        }
      }
      // Nor does it leave a segment with each try.
      #expect(try store.environment.fileSystem.list(store.layout.log).sorted() == segments)
      try store.drain()
      #expect(try store.rows(of: 0) == (1...21).map { Int64($0) })
      _ = try History(store)
    }
  }
}
