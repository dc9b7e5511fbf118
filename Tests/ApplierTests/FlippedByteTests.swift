import Foundation
import SluiceApplier
import SluiceFakes
import SluiceQuery
import SluiceReader
import SluiceSQLite
import SluiceShared
import SluiceTeardown
import SluiceWriter
import Testing

@testable import SluiceJournal

/// One byte of one file is another one: of every kind of file, of small ones each byte.
///
/// What is asked is the right answer or an error that names the file, whoever asks; and where what was lost
/// is written elsewhere too, the right answer after a repair.
@Suite("A changed byte never makes a wrong answer")
struct FlippedByteTests {
  /// What readers and a feed say, or why they do not.
  private struct Answers: Equatable {
    var rows: [TxID: [[SQLValue]]] = [:]
    var outcomes: [TxID: BatchOutcome] = [:]
    /// Of those that were asked for and not given.
    var errors: [StoreError] = []

    static func == (a: Answers, b: Answers) -> Bool {
      a.rows == b.rows && a.outcomes == b.outcomes
    }
  }

  private static let last = 7 as UInt64

  private func ask(_ store: WorkedStore) -> Answers {
    var answers = Answers()
    for i in 0...Self.last {
      do {
        let pages = try PageStore(path: store.path, environment: store.unhurried)
        let database = Database(pages, executor: store.store.environment.executor)
        // Batches 2 to 4 were committed together.
        let txid = i == 2 || i == 3 ? TxID(1) : TxID(i)
        let sql =
          i == 0
          ? "SELECT count(*) FROM sqlite_schema" : "SELECT id, v FROM t ORDER BY id"
        answers.rows[TxID(i)] = try database.read(
          i == Self.last ? .latest : .asOf(.txid(txid))
        ) { try $0.query(sql) }
      } catch let error as StoreError { answers.errors.append(error) } catch {
        Issue.record("\(error)")
      }
    }
    do {
      let feed = try ChangeFeed(path: store.path, from: TxID(1), environment: store.unhurried)
      try feed.advance { answers.outcomes[$0.txid] = $0.outcome }
    } catch let error as StoreError { answers.errors.append(error) } catch {
      Issue.record("\(error)")
    }
    return answers
  }

  /// Nothing that is said is wrong, and whatever is not said is an error that names the file.
  private func compare(_ found: Answers, _ right: Answers, _ path: String, _ offset: Int64) {
    for (txid, rows) in found.rows {
      #expect(rows == right.rows[txid], "byte \(offset) of \(path): batch \(txid)")
    }
    for (txid, outcome) in found.outcomes {
      #expect(outcome == right.outcomes[txid], "byte \(offset) of \(path): batch \(txid)")
    }
    for error in found.errors {
      let names = error.path == path || error.path.map(path.hasPrefix) ?? false
      #expect(
        [.damaged, .foreign, .unsupported].contains(error.code) && names,
        "byte \(offset) of \(path): \(error)")
    }
  }

  /// Bytes of a file: each of `dense`, and one of each `step` behind.
  private func offsets(
    _ size: Int64, dense: Range<Int64>, step: Int64, _ random: inout SeededRandom
  )
    -> [Int64]
  {
    var offsets = Array(dense.clamped(to: 0..<size))
    for start in stride(from: dense.upperBound, to: size, by: Int64.Stride(step)) {
      offsets.append(start + Int64(random.below(Int(min(step, size - start)))))
    }
    return offsets
  }

  private func used(_ path: String, _ store: WorkedStore) throws -> Int64 {
    let id = try StoreDescription.read(store.layout, store.store.environment.fileSystem).id
    let segment = try LogSegment(path: path, store: id, environment: store.store.environment)
    let end = try #require(segment.control().beacon).position.end
    // A block of what was never written, too.
    return end + Int64(Block.size)
  }

  @Test(
    "Of the log and the checkpoints, for whoever reads; where segments lie in log/old/, too",
    arguments: [false, true])
  func reading(isOld: Bool) throws {
    let store = try WorkedStore()
    if isOld { try store.retireSegments() }
    let right = ask(store)
    #expect(right.errors.isEmpty && right.rows.count == 8 && right.outcomes.count == 7)
    var random = SeededRandom(seed: 3)
    var errors = 0
    var total = 0
    let old = try store.oldSegments()
    #expect(isOld == (old.count > 3))
    for path in try old + store.segments() + (isOld ? [] : store.checkpointFiles()) {
      let isLog = path.hasSuffix(".log")
      let size =
        isLog ? try used(path, store) : try store.store.environment.fileSystem.status(path).size
      for offset in offsets(size, dense: 0..<0, step: isLog ? 701 : 1501, &random) {
        total += 1
        try store.flip(path, offset)
        let found = ask(store)
        compare(found, right, path, offset)
        if !found.errors.isEmpty { errors += 1 }
        try store.flip(path, offset)
      }
    }
    #expect(errors > 20 && errors < total, "\(errors) of \(total)")
    #expect(ask(store) == right)
  }

  private enum Work: CaseIterable { case restore, replay, rows, backup }

  /// What comes of it: nil where it fails with `error`.
  private func done(_ work: Work, _ store: WorkedStore, _ place: String) throws(StoreError)
    -> [String]
  {
    let environment = store.unhurried
    func rows(_ path: String) -> [String] {
      let rows = try? Connection(path: path, flags: [.readOnly])
        .query("SELECT id, v FROM t ORDER BY id")
      return (rows ?? []).map { "\($0)" }
    }
    switch work {
    case .restore:
      let pages = try PageStore(path: store.path, environment: environment)
      try Restoration.write(.latest, of: pages, to: place, environment)
      return rows(place)
    case .replay:
      _ = try Replay.run(store: store.path, into: place, environment)
      return rows(place)
    case .rows:
      let feed = try RowFeed(path: store.path, from: TxID(1), environment: environment)
      var told: [String] = []
      do {
        try feed.advance { told.append("\($0.batch.txid): \(String(describing: $0.changes))") }
      } catch let error as StoreError { throw error } catch { told.append("\(error)") }
      return told
    case .backup:
      _ = try Backup(store: store.path, environment).write(into: place)
      let pages = try PageStore(path: place, environment: environment)
      try Restoration.write(.latest, of: pages, to: "\(place).sqlite", environment)
      let damages = Monitor(0)
      _ = try Verification(store: place, environment) { _ in damages.withLock { $0 += 1 } }.run()
      return rows("\(place).sqlite") + (damages.withLock { $0 } == 0 ? [] : ["damaged"])
    }
  }

  @Test("Of the log and the checkpoints, for who restores, replays, follows rows or makes a backup")
  func working() throws {
    let store = try WorkedStore()
    let place = "\(store.path)-made"
    try PosixFileSystem().makeDirectory(place, mode: 0o755)
    defer { removeTree(place) }
    var right: [Work: [String]] = [:]
    for work in Work.allCases { right[work] = try done(work, store, "\(place)/right-\(work)") }
    #expect(right[.restore]?.count == 2 && right[.restore] == right[.replay])
    #expect(right[.restore] == right[.backup] && right[.rows]?.count == 7)
    var random = SeededRandom(seed: 6)
    var counts: [Work: (right: Int, errors: Int)] = [:]
    for path in try store.segments() + store.checkpointFiles() {
      let isLog = path.hasSuffix(".log")
      let size =
        isLog ? try used(path, store) : try store.store.environment.fileSystem.status(path).size
      for offset in offsets(size, dense: 0..<0, step: isLog ? 2903 : 6007, &random) {
        try store.flip(path, offset)
        for work in Work.allCases {
          let made = "\(place)/\(path.split(separator: "/").last ?? "")-\(offset)-\(work)"
          do throws(StoreError) {
            let found = try done(work, store, made)
            #expect(found == right[work], "byte \(offset) of \(path): \(work)")
            counts[work, default: (0, 0)].right += 1
          } catch {
            let names = error.path.map { path.hasPrefix($0) || $0 == path } ?? false
            #expect(
              [.damaged, .foreign, .unsupported].contains(error.code) && names,
              "byte \(offset) of \(path): \(work): \(error)")
            counts[work, default: (0, 0)].errors += 1
          }
          removeTree(made)
          removeTree("\(made).sqlite")
        }
        try store.flip(path, offset)
      }
    }
    for work in Work.allCases {
      let count = counts[work] ?? (0, 0)
      #expect(count.right > 5 && count.errors > 0, "\(work): \(count)")
    }
  }

  @Test("Of store.json, each byte")
  func description() throws {
    let store = try WorkedStore()
    let right = ask(store)
    let path = store.layout.description
    let size = try store.store.environment.fileSystem.status(path).size
    for offset in 0..<size {
      try store.flip(path, offset)
      compare(ask(store), right, path, offset)
      #expect(try store.damages().map(\.path) == [path], "byte \(offset)")
      try store.flip(path, offset)
    }
  }

  @Test("Of a frame's header, a beacon and a mark, each byte")
  func smallStructures() throws {
    let store = try WorkedStore()
    let right = ask(store)
    let newest = try #require(store.segments().last)
    let frame = try store.placeOfFrame(of: TxID(7))
    var ranges: [Range<Int64>] = [frame.offset..<frame.offset + Int64(frame.headerBytes)]
    // Of headers and beacons what is written, and some of the zeros behind.
    for block in [Block.mark, Block.header, Block.beacons.0, Block.beacons.1] {
      ranges += [block..<block + 112, block + 4088..<block + 4096]
    }
    for range in ranges {
      for offset in range {
        try store.flip(newest, offset)
        compare(ask(store), right, newest, offset)
        try store.flip(newest, offset)
      }
    }
  }

  /// What a batch was to do is in the journal only.
  @Test(
    "Of the journal: what was submitted is executed as it was, or not, and then its file is named")
  func journal() throws {
    let whole = try TestStore()
    try whole.apply("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
    let others = try whole.names(whole.layout.journal)
    let journal = try whole.journal()
    for text in ["first", "second"] {
      _ = try journal.flush([
        Batch([Batch.Statement("INSERT INTO t(v) VALUES(?)", [.text(text)])]).encoded()
      ])
    }
    let name = try #require(
      whole.names(whole.layout.journal).first { !others.contains($0) })
    let written = Block.firstJournalFrame + 2 * Int64(Block.size)
    var random = SeededRandom(seed: 4)
    let dense = Array(Block.header..<Block.header + 100) + Array(8192..<8192 + 160)
    let sparse = stride(from: 0 as Int64, to: written + 4096, by: 509).map {
      $0 + Int64(random.below(509))
    }
    var untold = 0
    var told = 0
    for offset in dense.filter({ $0 % 5 == 0 }) + sparse {
      let copy = try whole.copied()
      try copy.flip("\(copy.layout.journal)/\(name)", offset)
      var options = copy.options
      options.drains = true
      options.retireAfter = .milliseconds(20)
      let applier = try Applier(path: copy.path, options: options, environment: copy.environment)
      try applier.run(shouldStop: { false })
      let rows = try copy.query("SELECT v FROM t ORDER BY id").compactMap(\.first)
      let isTold =
        try !copy.names(copy.layout.quarantine).isEmpty || applier.leftBehind != nil
        || !copy.query("SELECT 1 FROM _sluice_rejected").isEmpty
      switch rows {
      case [.text("first"), .text("second")]: untold += 1
      // Damaged in the second one, or in both.
      case [.text("first")], []:
        #expect(isTold, "byte \(offset)")
        told += 1
      default: Issue.record("byte \(offset): \(rows)")
      }
    }
    #expect(untold > 5 && told > 20, "\(untold), \(told)")
  }

  /// The nearest whole state, or all of it, and never something else.
  @Test("What is written twice is there after a repair")
  func repaired() throws {
    let whole = try WorkedStore()
    let right = ask(whole)
    var random = SeededRandom(seed: 5)
    var counts = (same: 0, line: 0)
    let paths = try whole.segments() + whole.checkpointFiles() + [whole.layout.description]
    for path in paths {
      let size =
        path.hasSuffix(".log")
        ? try used(path, whole) : try whole.store.environment.fileSystem.status(path).size
      for offset in offsets(size, dense: 0..<0, step: max(97, size / 6), &random) {
        let copy = try whole.copied()
        try copy.flip(path.replacing(whole.path, with: copy.path), offset)
        let plan = try copy.repair()
        let pages = try PageStore(path: copy.path, environment: copy.unhurried)
        let rows = try copy.rows()
        if pages.current.txid == TxID(7) {
          #expect(rows == right.rows[TxID(7)], "byte \(offset) of \(path)")
          counts.same += 1
        } else {
          // Only what is nowhere else: the last batch's frame, or its segment's header.
          #expect(pages.current.txid == WorkedStore.line, "byte \(offset) of \(path)")
          #expect(path == paths[5] && rows == whole.rowsOfBatch6, "byte \(offset) of \(path)")
          #expect(plan.lost == [TxID(7)...TxID(7)] || plan.losesUnknown)
          counts.line += 1
        }
        #expect(try copy.apply("INSERT INTO t(v) VALUES('next')").isApplied)
      }
    }
    #expect(counts.same > 30, "\(counts)")
  }
}

extension TestStore {
  /// A store of its own with the same files.
  func copied() throws -> TestStore {
    let copy = try TestStore(copying: self)
    copy.options = options
    return copy
  }

  func flip(_ path: String, _ offset: Int64) throws {
    isDamagedOnPurpose = true
    try PosixFileSystem().setPermissions(path, mode: 0o660)
    let file = try PosixFileSystem().open(path, .write)
    var byte = try file.read(1, at: offset)
    if byte.isEmpty { byte = [0] }
    byte[0] ^= 1
    try file.write(byte, at: offset)
  }
}
