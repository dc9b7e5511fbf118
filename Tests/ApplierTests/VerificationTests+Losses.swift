import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

/// What is lost with a damage, and what there still is.
extension VerificationTests {
  // MARK: what is lost, and what there is

  @Test("Of a damaged frame its batches are told, and from where on all is there again")
  func lostFrame() throws {
    let store = try worked()
    let path = try segments(store)[2]
    let commit = try #require(frames(store, path).first { $0.kind == .commit })
    let found = try damages(store, flipping: path, commit.offset + 20)
    let damage = try #require(found.first)
    #expect(found.count == 1 && damage.offset == commit.offset, "\(found)")
    #expect(damage.lost == TxID(2)...TxID(4))
    #expect(damage.remains.contains("up to batch 1 all is there"), "\(damage.remains)")
    #expect(damage.remains.contains("the database as of batch 4 and later is there"))
  }

  @Test(
    "Of a damaged section it is told which",
    arguments: [
      (SectionID.batches, "the batches themselves", "a replay cannot pass them"),
      (.pages, "page ", "the batches are there"),
      (.index, "the page index", "the batches are there"),
      (.outcomes, "the outcomes", "what they did is in the pages"),
      (.consumed, "what was read of the journal", "nothing that is read of the database"),
      (.meta, "the description", "up to batch 1 all is there"),
    ])
  func lostSection(_ id: SectionID, _ what: String, _ remains: String) throws {
    let store = try worked()
    let path = try segments(store)[2]
    let commit = try #require(frames(store, path).first { $0.kind == .commit })
    let section = try #require(commit.section(id))
    let offset = commit.offset + section.offset + section.storedBytes / 2
    let found = try damages(store, flipping: path, offset)
    let damage = try #require(found.first)
    #expect(found.count == 1 && damage.lost == TxID(2)...TxID(4), "\(found)")
    #expect(damage.what.contains(what) && damage.remains.contains(remains), "\(damage)")
  }

  @Test("It goes on behind each damage")
  func several() throws {
    let store = try worked()
    let paths = try segments(store)
    let first = try #require(frames(store, paths[1]).first { $0.kind == .commit })
    let third = try #require(frames(store, paths[3]).first { $0.kind == .commit })
    let fifth = try #require(frames(store, paths[5]).first { $0.kind == .start })
    try flip(paths[1], first.offset)
    try flip(paths[3], third.offset + third.length - 1)
    try flip(paths[5], fifth.offset + 60)
    let sidecar = "\(store.layout.checkpoints)/\(StoreLayout.sidecarName(TxID(4)))"
    try store.environment.fileSystem.setPermissions(sidecar, mode: 0o644)
    try flip(sidecar, 5000)
    let found = try verify(store).damages
    #expect(Set(found.map(\.path)).isSuperset(of: [paths[1], paths[3], paths[5], sidecar]))
  }

  @Test("What is missing is named")
  func missing() throws {
    for (name, what) in [
      ("log/000000000004.log", "goes on from batch"),
      ("log/000000000006.log", "so there was a later one, and it is missing"),
      ("store.json", "store.json is missing"),
      ("current.sqlite", "current.sqlite is missing"),
      ("checkpoints/0000000000000004.pages", "page checksums are missing"),
      ("checkpoints/0000000000000004.sqlite", "have no database beside them"),
      ("checkpoints/0000000000000006.sqlite", "current.sqlite leads to checkpoint 6"),
    ] {
      let store = try worked()
      try store.environment.fileSystem.unlink("\(store.path)/\(name)")
      let found = try verify(store).damages
      #expect(found.contains { $0.what.contains(what) }, "\(name): \(found)")
      // And nothing else, but where a checkpoint is missing.
      #expect(found.count == 1 || name.hasPrefix("checkpoints"), "\(name): \(found)")
    }
  }

  @Test("A log that ends before the newest checkpoint")
  func shortLog() throws {
    let store = try worked()
    let paths = try segments(store)
    for path in paths.suffix(3) { try store.environment.fileSystem.unlink(path) }
    // As if nobody had closed it.
    let file = try PosixFileSystem().open(paths[paths.count - 4], .write)
    try file.write([UInt8](repeating: 0, count: Block.size), at: Block.mark)
    let found = try verify(store).damages
    #expect(found.count == 1 && found[0].what.contains("and checkpoint 6 is later"), "\(found)")
    #expect(found.first?.lost?.upperBound == TxID(6), "\(found)")
  }

  @Test("A commit's count of pages is not believed")
  func countOfPages() throws {
    let store = try worked()
    var log = try ForgedLog(store.layout, store.environment)
    try log.change(commit: 5) { try $0.meta { $0.pageCount = .max } }
    try log.write(store.environment)
    let found = try verify(store).damages
    #expect(found.contains { $0.what.contains("has 4294967295 pages") }, "\(found)")
  }

  @Test("A link to what is no checkpoint is named")
  func otherLink() throws {
    let store = try worked()
    for (target, what) in [
      ("checkpoints/0000000000000009.sqlite", "leads to checkpoint 9, which is not there"),
      ("elsewhere.sqlite", "leads to elsewhere.sqlite, which is no checkpoint"),
    ] {
      try store.environment.fileSystem.replaceSymbolicLink(store.layout.current, target: target)
      let found = try verify(store).damages
      #expect(found.count == 1 && found[0].what.contains(what), "\(found)")
    }
  }

  @Test("Without a log the checkpoints are told")
  func noLog() throws {
    let store = try worked()
    for path in try segments(store) { try store.environment.fileSystem.unlink(path) }
    let (found, summary) = try verify(store)
    #expect(found.count == 1 && found[0].what == "the log has no segment", "\(found)")
    #expect(found[0].remains.contains("as of batch 6 is in a checkpoint"), "\(found)")
    #expect(summary.checkpoints == [.zero, TxID(4), TxID(6)])
  }

  /// Checksums of the page, its index and its frame are right, and the database's is not: no other than this
  /// comparison finds it.
  @Test("A page that is not of this history", arguments: [true, false], [5, 6] as [UInt64])
  func otherPage(_ isOnlyChecksum: Bool, _ number: UInt64) throws {
    let store = try worked()
    if number > 5 {
      // Two more commits follow in its term: ANALYZE wants one of its own.
      try store.apply(
        ["INSERT INTO t(v) VALUES(8)", "ANALYZE t", "INSERT INTO t(v) VALUES(10)"].map {
          Batch([Batch.Statement($0)])
        })
    }
    var log = try ForgedLog(store.layout, store.environment)
    try log.change(commit: number) { sections in
      let meta = sections[.meta]
      let entries = try PageEntry.decode(sections[.index], base: 0)
      if isOnlyChecksum {
        try sections.meta { $0.checksum.toggle(page: 1, crc: 1) }
      } else {
        try sections.page(try #require(entries.last).page) { $0[$0.count - 1] ^= 1 }
        sections[.meta] = meta
      }
    }
    try log.write(store.environment)
    let found = try verify(store).damages
    // Each time once, however the history goes on.
    let batch = TxID(number + 2)
    #expect(found.count == 1 && found[0].lost == batch...batch, "\(found)")
    #expect(
      found.first?.what.contains("the pages in the log give the database the checksum") == true)
  }

  /// The frame's checksums are right; readers go by it.
  @Test("A merged index that says something else")
  func otherIndex() throws {
    let store = try worked()
    var log = try ForgedLog(store.layout, store.environment)
    try log.changeMergedIndex { $0[0].crc ^= 1 }
    try log.write(store.environment)
    let found = try verify(store).damages
    #expect(found.count == 1, "\(found)")
    #expect(found.first?.what.contains("merged index does not say") == true, "\(found)")
  }

  @Test(
    "What a last frame says of its segment is held to its header and its start frame",
    arguments: [SectionID.segmentHeader, .start])
  func otherCopies(_ id: SectionID) throws {
    let store = try worked()
    var log = try ForgedLog(store.layout, store.environment)
    try log.changeLastFrame { sections in
      // The holder's name, and that of the architecture.
      sections[id][sections[id].count - 1] ^= 1
    }
    try log.write(store.environment)
    let found = try verify(store).damages
    #expect(found.count == 1, "\(found)")
    #expect(found.first?.what.contains("last frame of a finished segment") == true, "\(found)")
  }

  @Test("Commits before the first checkpoint that is there are counted")
  func unchecked() throws {
    let store = try worked()
    for name in [StoreLayout.checkpointName(.zero), StoreLayout.sidecarName(.zero)] {
      try store.environment.fileSystem.unlink("\(store.layout.checkpoints)/\(name)")
    }
    let (found, summary) = try verify(store)
    #expect(found == [] && summary.uncheckedCommits == 2)
  }
}
