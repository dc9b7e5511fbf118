import SluiceShared
import Testing

@testable import SluiceJournal

/// The newest segment of a store's log, written anew with something else in it and all checksums right: as
/// a program would leave it that recorded what did not happen.
struct ForgedLog {
  private let path: String
  private var bytes: [UInt8]
  private let header: LogSegmentHeader
  private let headerChecksum: UInt32

  /// The raw sections of a commit.
  struct Sections {
    var content: [(id: SectionID, bytes: [UInt8])]

    subscript(_ id: SectionID) -> [UInt8] {
      get { content.first { $0.id == id }?.bytes ?? [] }
      set {
        guard let place = content.firstIndex(where: { $0.id == id }) else { return }
        content[place].bytes = newValue
      }
    }

    /// Changes the commit's description.
    mutating func meta(_ change: (inout CommitMeta) -> Void) throws {
      var meta = try CommitMeta(decoding: self[.meta])
      change(&meta)
      self[.meta] = meta.encoded()
    }

    mutating func outcomes(_ change: (inout [BatchOutcome]) -> Void) throws {
      let count = try BatchOutcomeCount.of(self[.outcomes])
      var outcomes = try BatchOutcome.decode(self[.outcomes], count: count)
      change(&outcomes)
      self[.outcomes] = BatchOutcome.encode(outcomes)
    }

    /// Changes a stored page, and sets right what the commit says of it and of the database.
    mutating func page(_ number: UInt32, _ change: (inout [UInt8]) -> Void) throws {
      var entries = try PageEntry.decode(self[.index], base: 0)
      let stored = self[.pages]
      var pages: [UInt8] = []
      var meta = try CommitMeta(decoding: self[.meta])
      let size = Int(meta.pageSize)
      for i in entries.indices {
        let entry = entries[i]
        let range = Int(entry.offset)..<Int(entry.offset) + Int(entry.storedBytes)
        var page = Array(stored[range])
        if page.count < size {
          page = try #require(
            page.withUnsafeBytes { Decompressor().decompress($0, count: size) })
        }
        if entry.page == number {
          change(&page)
          meta.checksum.toggle(page: number, crc: entry.crc)
          entries[i].crc = crc32c(page)
          meta.checksum.toggle(page: number, crc: entries[i].crc)
        }
        entries[i].offset = Int64(pages.count)
        entries[i].storedBytes = UInt32(page.count)
        pages += page
      }
      self[.index] = PageEntry.encode(entries)
      self[.pages] = pages
      self[.meta] = meta.encoded()
    }
  }

  /// Of the store at `layout`, which nobody uses.
  init(_ layout: StoreLayout, _ environment: Environment) throws {
    let number = try #require(
      environment.fileSystem.list(layout.log).compactMap(StoreLayout.logNumber).max())
    path = layout.segment(number)
    let store = try StoreDescription.read(layout, environment.fileSystem).id
    let segment = try LogSegment(path: path, store: store, environment: environment)
    header = segment.header
    headerChecksum = segment.headerChecksum
    let file = try environment.fileSystem.open(path, .shared)
    bytes = try file.read(Int(file.status().size), at: 0)
  }

  /// Writes all published frames again, and what `change` makes of the commit with this number.
  mutating func change(commit number: UInt64, _ change: (inout Sections) throws -> Void) throws {
    var found = false
    try rewrite { frame, sections in
      guard frame.kind == .commit, try CommitMeta(decoding: sections[.meta]).commit == number
      else { return }
      found = true
      try change(&sections)
    }
    try #require(found, "there is no commit \(number) in the newest segment")
  }

  /// The same, and what `change` makes of what the start frame says of who executes.
  mutating func changeEngine(_ change: (inout StartRecord.Engine) -> Void) throws {
    try rewrite { frame, sections in
      guard frame.kind == .start else { return }
      var start = try StartRecord(decoding: sections[.start])
      change(&start.engine)
      sections[.start] = start.encoded()
    }
  }

  /// Leaves the last commit where it is, and says in both beacons that it is not published: as an applier
  /// leaves it that ends in between.
  mutating func unpublishLastCommit() throws {
    try rewrite { _, _ in }
    let (beacons, newest) = try beacons()
    let nonce = header.nonce
    var frames: [FrameHeader] = []
    var place = Int(Block.firstLogFrame)
    while place < Int(newest.position.end) {
      let frame = try #require(
        bytes.withUnsafeBytes {
          FrameHeader.decode(
            UnsafeRawBufferPointer(rebasing: $0[place...]), at: Int64(place), nonce: nonce)
        })
      frames.append(frame)
      place = Int(frame.end)
    }
    let last = try #require(frames.last)
    let before = try #require(frames.dropLast().last)
    for (slot, beacon) in beacons {
      var beacon = beacon
      beacon.position.end = last.offset
      beacon.position.lastFrame = before.offset
      beacon.position.checksum = before.checksum
      beacon.extent.txid = TxID(last.first - 1)
      beacon.extent.commits -= 1
      bytes.replaceSubrange(Int(slot)..<Int(slot) + Block.size, with: beacon.encoded())
    }
  }

  /// Writes all frames again, and the merged index at their end, which is kept. Nothing before it gets another length.
  mutating func changeMergedIndex(_ change: (inout [PageEntry]) -> Void) throws {
    try changeLastFrame { sections in
      var entries = try PageEntry.decode(sections[.index], base: 0)
      change(&entries)
      sections[.index] = PageEntry.encode(entries)
    }
  }

  mutating func changeLastFrame(_ change: (inout Sections) throws -> Void) throws {
    var found = false
    try rewrite(keepsIndex: true) { frame, sections in
      guard frame.kind == .index else { return }
      found = true
      try change(&sections)
    }
    try #require(found, "the newest segment has no merged index")
  }

  private mutating func rewrite(
    keepsIndex: Bool = false, _ change: (FrameHeader, inout Sections) throws -> Void
  ) throws {
    let nonce = header.nonce
    let (beacons, newest) = try beacons()
    var place = Int(Block.firstLogFrame)
    var checksum = headerChecksum
    var output = Array(bytes[..<place])
    var position = newest.position
    while place < Int(newest.position.end) {
      let frame = try #require(
        bytes.withUnsafeBytes {
          FrameHeader.decode(
            UnsafeRawBufferPointer(rebasing: $0[place...]), at: Int64(place), nonce: nonce)
        })
      place = Int(frame.end)
      // Its places would be others now, and nobody needs it.
      guard frame.kind != .index || keepsIndex else { continue }
      var sections = Sections(content: [])
      for section in frame.sections {
        let start = Int(frame.offset + section.offset)
        let stored = Array(bytes[start..<start + Int(section.storedBytes)])
        let raw =
          section.codec == .raw
          ? stored
          : try #require(
            stored.withUnsafeBytes {
              Decompressor().decompress($0, count: Int(section.rawBytes))
            })
        sections.content.append((try #require(SectionID(rawValue: section.id)), raw))
      }
      try change(frame, &sections)
      if frame.kind == .start { position.startFrame = Int64(output.count) }
      let encoded = EncodedFrame(
        kind: frame.kind, endsSegment: frame.endsSegment, offset: Int64(output.count),
        nonce: nonce, previous: checksum, first: frame.first, count: frame.count,
        sections: sections.content.map { SectionContent($0.id, raw: $0.bytes) })
      position.lastFrame = Int64(output.count)
      output += encoded.bytes
      checksum = encoded.header.checksum
    }
    position.end = Int64(output.count)
    position.checksum = checksum
    for (slot, beacon) in beacons {
      var beacon = beacon
      beacon.position = position
      output.replaceSubrange(Int(slot)..<Int(slot) + Block.size, with: beacon.encoded())
    }
    bytes = output
  }

  /// As it lies, but for both beacons, which say that it was let go.
  private func beacons() throws -> (all: [(Int64, Beacon)], newest: Beacon) {
    var all: [(Int64, Beacon)] = []
    for slot in [Block.beacons.0, Block.beacons.1] {
      let beacon = bytes.withUnsafeBytes {
        Beacon.decode(
          UnsafeRawBufferPointer(rebasing: $0[Int(slot)..<Int(slot) + Block.size]),
          segment: header.number, nonce: header.nonce)
      }
      if let beacon { all.append((slot, beacon)) }
    }
    return (all, try #require(all.map(\.1).max { $0.counter < $1.counter }))
  }

  /// Puts it in the place of the real one.
  func write(_ environment: Environment) throws {
    try environment.fileSystem.unlink(path)
    try environment.fileSystem.create(path, mode: 0o644).write(bytes, at: 0)
  }
}

/// How many outcomes a section has, which the frame's header says otherwise.
private enum BatchOutcomeCount {
  static func of(_ bytes: [UInt8]) throws -> UInt32 {
    for count: UInt32 in 1...10_000 {
      guard let outcomes = try? BatchOutcome.decode(bytes, count: count) else { continue }
      if BatchOutcome.encode(outcomes) == bytes { return count }
    }
    throw DecodingError("no count of outcomes fits")
  }
}
