import Glibc
import SluiceApplier
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

/// Log segments that are cut off, another store's, or newer than this program.
extension DamagedFileTests {
  @Test("A truncated log segment")
  func truncated() async throws {
    try await onThread {
      let store = try makeStore()
      let expected = try readAll(store)
      let present = try store.present()
      let path = present.segment.file.path
      let whole = try store.environment.fileSystem.open(path, .write)
        .read(Int(present.beacon.position.end), at: 0)
      let end = present.beacon.position.end
      for size in [end - 4096, end - 8192, 20480, 16384, 16383, 12288, 8192, 5000, 4096, 100, 0] {
        let file = try store.environment.fileSystem.open(path, .write)
        try file.resize(to: size)
        #expect(readsTruly(store, expected, path, near: size), "\(size)")
        // Nor does an applier take it for one that published nothing.
        let error = #expect(throws: StoreError.self) {
          try store.drain(TestStore.options(), impatient(store))
        }
        #expect(error?.code == .damaged && error?.path == path, "\(size): \(error)")
        try file.resize(to: Int64(whole.count))
        try file.write(whole, at: 0)
      }
      #expect(try readAll(store) == expected)
    }
  }

  @Test(
    "Another store's log segments, and newer ones, are named, and refused by reader and applier alike"
  )
  func foreign() async throws {
    try await onThread {
      let store = try makeStore()
      let expected = try readAll(store)
      let files = store.environment.fileSystem
      let other = try store.makeAnother("other")
      let next =
        "\(store.layout.log)/\(StoreLayout.logName(try store.present().segment.number + 1))"
      try copy("\(StoreLayout(other).log)/\(StoreLayout.logName(1))", to: next, files)
      for error in [
        #expect(throws: StoreError.self) { try readAll(store) },
        #expect(throws: StoreError.self) { try store.drain() },
      ] {
        #expect(error?.code == .foreign && error?.path == next && error?.offset == 4096)
      }
      #expect(try sluice("query", store.path, "SELECT 1").code == 76)
      try files.unlink(next)
      try copy(try store.present().segment.file.path, to: next, files) { upgrade(&$0) }
      for error in [
        #expect(throws: StoreError.self) { try readAll(store) },
        #expect(throws: StoreError.self) { try store.drain() },
      ] {
        #expect(error?.code == .unsupported && error?.path == next && error?.offset == 4096)
      }
      try files.unlink(next)
      #expect(try readAll(store) == expected)
    }
  }

  @Test("In the journal they are left alone, and nobody is held up")
  func foreignInTheJournal() async throws {
    try await onThread {
      let store = try makeStore()
      let files = store.environment.fileSystem
      let other = try store.makeAnother("other")
      let stranger = try Writer(store: other)
      _ = try stranger.submitBlocking(TestStore.row(9, 9))
      let newer = try store.writer()
      _ = try newer.submitBlocking(TestStore.row(8, 8))
      let segment = try #require(try store.journalSegments().first)
      let strange = try #require(
        try files.list(StoreLayout(other).journal).first { $0.hasSuffix(".seg") })
      let path = "\(store.layout.journal)/\(segment)"
      let kept = try files.open(path, .shared).read(64 << 10, at: 0)
      var bytes = kept
      upgrade(&bytes)
      try files.open(path, .write).write(bytes, at: 0)
      try copy(
        "\(StoreLayout(other).journal)/\(strange)", to: "\(store.layout.journal)/\(strange)", files)
      let writer = try store.writer()
      _ = try writer.submitBlocking(TestStore.row(7, 7))
      try store.drain()
      #expect(try store.rows(of: 7) == [7])
      #expect(try store.rows(of: 8) == [] && store.rows(of: 9) == [])
      #expect(try Set(store.journalSegments()).isSuperset(of: [segment, strange]))
      // An applier that knows the newer version goes on with it.
      try files.open(path, .write).write(kept, at: 0)
      try store.drain()
      #expect(try store.rows(of: 8) == [8])
    }
  }

  private func copy(
    _ from: String, to path: String, _ files: any FileSystem,
    _ change: (inout [UInt8]) -> Void = { _ in }
  ) throws {
    var bytes = try files.open(from, .shared).read(64 << 10, at: 0)
    change(&bytes)
    let file = try files.create(path, mode: 0o644)
    try file.write(bytes, at: 0)
  }

  /// Gives a segment's header the next format version, checksum and all.
  private func upgrade(_ segment: inout [UInt8]) {
    let start = Int(Block.header)
    segment[start + 8] += 1
    let seed = crc32c([UInt8](repeating: 0, count: 8))
    let checksum = crc32c(Array(segment[start..<start + 4092]), continuing: seed)
    withUnsafeBytes(of: checksum.littleEndian) {
      segment.replaceSubrange(start + 4092..<start + 4096, with: $0)
    }
  }
}
