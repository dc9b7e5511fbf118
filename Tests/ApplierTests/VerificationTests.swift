import SluiceApplier
import SluiceFakes
import SluiceJournal
import SluiceReader
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@Suite("Whatever is not as it was written is named, and nothing else")
struct VerificationTests {
  /// Five terms, with checkpoints in between; the last term left no commit.
  func worked() throws -> TestStore {
    let store = try TestStore()
    // What a test makes of it the test verifies.
    store.isDamagedOnPurpose = true
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

  func checkpoint(_ store: TestStore) throws {
    let pages = try PageStore(path: store.path, environment: store.environment)
    try Checkpoint(of: pages.handle).make(of: pages.published())
  }

  func verify(_ store: TestStore) throws -> (
    damages: [Verification.Damage], summary: Verification.Summary
  ) {
    var damages: [Verification.Damage] = []
    let summary = try Verification(store: store.path, store.environment) { damages.append($0) }
      .run()
    #expect(summary.damages == damages.count && summary.remarks == 0)
    return (damages, summary)
  }

  func flip(_ path: String, _ offset: Int64, _ mask: UInt8 = 1) throws {
    let file = try PosixFileSystem().open(path, .write)
    var byte = try file.read(1, at: offset)
    byte[0] ^= mask
    try file.write(byte, at: offset)
  }

  func damages(_ store: TestStore, flipping path: String, _ offset: Int64) throws
    -> [Verification.Damage]
  {
    try flipping(store, path, offset).damages
  }

  private func flipping(_ store: TestStore, _ path: String, _ offset: Int64) throws -> (
    damages: [Verification.Damage], remarks: [Verification.Damage]
  ) {
    try PosixFileSystem().setPermissions(path, mode: 0o644)
    try flip(path, offset)
    defer { try? flip(path, offset) }
    var damages: [Verification.Damage] = []
    var remarks: [Verification.Damage] = []
    let summary = try Verification(
      store: store.path, store.environment, onRemark: { remarks.append($0) },
      onDamage: { damages.append($0) }
    ).run()
    #expect(summary.damages == damages.count && summary.remarks == remarks.count)
    return (damages, remarks)
  }

  func segments(_ store: TestStore) throws -> [String] {
    try store.names(store.layout.log).filter { StoreLayout.logNumber($0) != nil }.sorted()
      .map { "\(store.layout.log)/\($0)" }
  }

  /// Frames of a segment as far as they are published, as places and sections.
  func frames(_ store: TestStore, _ path: String) throws -> [FrameHeader] {
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
        let (damages, remarks) = try flipping(store, path, offset)
        // Nobody reads a beacon of a segment that has a successor.
        let isRemark =
          path != paths.last && (Block.beacons.0..<Block.firstLogFrame).contains(offset)
        #expect(isRemark ? damages == [] : remarks == [], "byte \(offset) of \(path)")
        let found = isRemark ? remarks : damages
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

  /// Whoever reads what is published goes by it until then.
  @Test("While no later segment has a beacon, one that a crash tore is damage")
  func beaconBeforeTheSuccessors() throws {
    let store = try worked()
    store.isDamagedOnPurpose = true
    store.environment.clock = ManualClock(wall_ms: SystemClock().wallTime_ms())
    let paths = try segments(store)
    let (torn, newest) = (paths[paths.count - 2], paths[paths.count - 1])
    let file = try PosixFileSystem().open(newest, .write)
    for slot in [Block.beacons.0, Block.beacons.1] {
      try file.write([UInt8](repeating: 0, count: Int(Block.size)), at: slot)
    }
    let (damages, remarks) = try flipping(store, torn, Block.beacons.0 + 30)
    #expect(remarks == [])
    #expect(damages.contains { $0.path == torn && $0.offset == Block.beacons.0 }, "\(damages)")
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
