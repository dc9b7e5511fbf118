import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceWriter
import Testing

@Suite("Whatever is not as it was written is named, and nothing else")
struct VerificationTests {
  /// Five terms, with checkpoints in between; the last term left no commit.
  private func worked() throws -> TestStore {
    let store = try TestStore()
    try store.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    try store.apply([
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(hex(randomblob(3000)))")]),
      Batch([Batch.Statement("INSERT INTO nowhere VALUES(1)")]),
      Batch([Batch.Statement("INSERT INTO t(v) VALUES(zeroblob(9000))")], key: "k"),
    ])
    try checkpoint(store)
    try store.apply("INSERT INTO t(v) VALUES(random())")
    try store.apply("DELETE FROM t WHERE id = 2")
    try checkpoint(store)
    try store.apply("UPDATE t SET v = 'x' WHERE id = 3")
    return store
  }

  private func checkpoint(_ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(
      layout: store.layout, store: pages.description.id, environment: store.environment
    ).make(of: pages.published())
  }

  private func verify(_ store: TestStore) throws -> (
    damages: [Verification.Damage], summary: Verification.Summary
  ) {
    var damages: [Verification.Damage] = []
    let summary = try Verification(store: store.path, store.environment) { damages.append($0) }
      .run()
    #expect(summary.damages == damages.count)
    return (damages, summary)
  }

  private func flip(_ path: String, _ offset: Int64, _ mask: UInt8 = 1) throws {
    let file = try PosixFileSystem().open(path, .write)
    var byte = try file.read(1, at: offset)
    byte[0] ^= mask
    try file.write(byte, at: offset)
  }

  private func damages(_ store: TestStore, flipping path: String, _ offset: Int64) throws
    -> [Verification.Damage]
  {
    try PosixFileSystem().setPermissions(path, mode: 0o644)
    try flip(path, offset)
    defer { try? flip(path, offset) }
    return try verify(store).damages
  }

  private func segments(_ store: TestStore) throws -> [String] {
    try store.names(store.layout.log).filter { StoreLayout.logNumber($0) != nil }.sorted()
      .map { "\(store.layout.log)/\($0)" }
  }

  /// Frames of a segment as far as they are published, as places and sections.
  private func frames(_ store: TestStore, _ path: String) throws -> [FrameHeader] {
    let id = try StoreDescription.read(store.layout, store.environment.fileSystem).id
    let segment = try LogSegment(path: path, store: id, environment: store.environment)
    let end = try #require(segment.control().beacon).position.end
    var chain = segment.frames()
    var frames: [FrameHeader] = []
    while chain.offset < end, let frame = try chain.ahead() {
      frames.append(frame)
      chain.pass(frame)
    }
    return frames
  }

  @Test("Of a whole store nothing is said")
  func whole() throws {
    let store = try worked()
    let (damages, summary) = try verify(store)
    #expect(damages == [])
    #expect(summary.segments == 6 && summary.commits == 5 && summary.uncheckedCommits == 0)
    #expect(summary.first == TxID(1) && summary.last == TxID(7))
    #expect(summary.checkpoints == [.zero, TxID(4), TxID(6)])
    #expect(summary.pages > 0 && summary.bytes > 0)
  }

  // MARK: single bytes

  /// Where a changed byte means nothing: a mark that is set already or of a segment that has a successor,
  /// what lies between a frame's end and the next, and behind what is published.
  private func isHarmless(_ offset: Int64, _ frames: [FrameHeader], isNewest: Bool) -> Bool {
    if offset < Block.header { return !isNewest }
    guard offset >= Block.firstLogFrame else { return false }
    guard let frame = frames.last(where: { $0.offset <= offset }) else { return false }
    return offset >= frame.offset + frame.length
  }

  @Test("Any byte of a log segment is named, or means nothing")
  func anyByteOfTheLog() throws {
    let store = try worked()
    // A beacon that may just be written is waited for.
    store.environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    var random = SeededRandom(seed: 1)
    let content = try restored(store)
    let paths = try segments(store)
    for path in paths {
      let frames = try frames(store, path)
      let end = try #require(frames.last).end
      var offsets: Set<Int64> = []
      // Each structure at its beginning, somewhere, and at its end.
      for block in stride(from: Int64(0), to: end, by: Block.size) {
        offsets.formUnion([block + Int64(random.below(4096))])
        if block < Block.firstLogFrame { offsets.formUnion([block, block + 4095]) }
      }
      for frame in frames {
        offsets.formUnion(
          (0..<Int64(frame.headerBytes)).filter { $0 % 29 == 0 }.map { frame.offset + $0 })
        for section in frame.sections where section.storedBytes > 0 {
          let start = frame.offset + section.offset
          offsets.formUnion([
            start, start + section.storedBytes / 2, start + section.storedBytes - 1,
          ])
        }
      }
      for offset in offsets.sorted() {
        let found = try damages(store, flipping: path, offset)
        guard isHarmless(offset, frames, isNewest: path == paths.last) else {
          let named = found.contains {
            $0.path == path && abs(($0.offset ?? .max) - offset) < 16384
          }
          #expect(named, "byte \(offset) of \(path): \(found)")
          continue
        }
        #expect(found == [], "byte \(offset) of \(path) means nothing")
        guard offset % 3 == 0 else { continue }
        try flip(path, offset)
        #expect(try restored(store) == content)
        try flip(path, offset)
      }
    }
    #expect(try verify(store).damages == [])
  }

  private func restored(_ store: TestStore) throws -> [UInt8] {
    let path = "\(store.path)/restored-\(store.environment.random())"
    let snapshot = try PageStore(path: store.path, environment: store.environment).snapshot()
    try Restoration.write(snapshot, to: path, store.environment)
    let file = try store.environment.fileSystem.open(path, .fixed)
    return try file.read(Int(file.status().size), at: 0)
  }

  @Test("Any byte of a checkpoint is named")
  func anyByteOfACheckpoint() throws {
    let store = try worked()
    var random = SeededRandom(seed: 2)
    for name in try store.names(store.layout.checkpoints) {
      let path = "\(store.layout.checkpoints)/\(name)"
      let size = try store.environment.fileSystem.status(path).size
      for block in stride(from: Int64(0), to: size, by: Block.size) {
        for offset in [block, block + Int64(random.below(4096)), block + 4095] {
          let found = try damages(store, flipping: path, offset)
          let named = found.contains {
            $0.path == path && ($0.offset ?? .max) / 4096 == block / 4096
          }
          // One header names what the other says.
          #expect(named, "byte \(offset) of \(path): \(found)")
        }
      }
    }
    #expect(try verify(store).damages == [])
  }

  @Test("Any byte of store.json is named")
  func anyByteOfTheDescription() throws {
    let store = try worked()
    let path = store.layout.description
    let size = try store.environment.fileSystem.status(path).size
    for offset in 0..<size {
      let found = try damages(store, flipping: path, offset)
      #expect(found.contains { $0.path == path }, "byte \(offset): \(found)")
      // What it says is taken from what else says it: nothing else is wrong then.
      #expect(found.allSatisfy { $0.path == path }, "byte \(offset): \(found)")
    }
  }

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

  @Test("Commits before the first checkpoint that is there are counted")
  func unchecked() throws {
    let store = try worked()
    for name in [StoreLayout.checkpointName(.zero), StoreLayout.sidecarName(.zero)] {
      try store.environment.fileSystem.unlink("\(store.layout.checkpoints)/\(name)")
    }
    let (found, summary) = try verify(store)
    #expect(found == [] && summary.uncheckedCommits == 2)
  }

  @Test("While segments are moved and removed nothing is said", arguments: [true, false])
  func whileRetained(_ isMovedOnly: Bool) throws {
    let store = try worked()
    let fileSystem = store.environment.fileSystem
    let paths = try segments(store)
    var done = false
    var damages: [Verification.Damage] = []
    let summary = try Verification(
      store: store.path, store.environment, onDamage: { damages.append($0) },
      onProgress: { _, _ in
        // They were listed, and are not open yet.
        guard !done else { return }
        done = true
        for path in paths.prefix(3) {
          let old = path.replacing("/log/", with: "/log/old/")
          if isMovedOnly { try? fileSystem.link(path, to: old) }
          try? fileSystem.unlink(path)
        }
      }
    ).run()
    #expect(done && damages == [], "\(damages)")
    #expect(summary.segments == (isMovedOnly ? 6 : 3))
    #expect(summary.first == (isMovedOnly ? TxID(1) : TxID(5)) && summary.last == TxID(7))
  }

  @Test("While an applier works nothing is said")
  func whileWorking() throws {
    let store = try worked()
    let writer = try store.writer()
    var passes = 0
    var found: [Verification.Damage] = []
    try Applier(path: store.path, options: store.options, environment: store.environment)
      .run(shouldStop: {
        passes += 1
        _ = try? writer.submitBlocking(Batch([Batch.Statement("INSERT INTO t(v) VALUES(1)")]))
        if passes % 10 == 0, let damages = try? verify(store).damages { found += damages }
        return passes >= 60
      })
    #expect(found == [])
  }
}
