import SluiceFakes
import SluiceReader
import SluiceShared

@testable import SluiceApplier
@testable import SluiceJournal

extension FuzzTarget {
  /// A segment of the log, through everything that reads one.
  static let logSegment = FuzzTarget(
    name: "log-segment", mostBytes: 8192,
    seeds: { golden in
      try ["log-1", "log-2", "log-3"].flatMap { name in
        var file = try golden.file(name)
        // A mark stands in the way of everything behind it.
        if name != "log-3" { file.replaceSubrange(0..<Block.size, with: zeros) }
        let packed = PackedBlocks.pack(
          file, sealed: [Block.mark, Block.header, Block.beacons.0, Block.beacons.1])
        return FuzzMode.combinations.flatMap {
          [[$0.rawValue] + packed, [$0.union(.isClaimed).rawValue] + packed]
        }
      }
    },
    run: { input in
      guard let (mode, file) = blocks(input) else { return }
      let repaired = Repair.log(file, mode)
      let (store, number) = identity(repaired)
      if mode.contains(.isClaimed) {
        attackClaim(repaired, store, number)
      } else {
        attackLog(repaired, store, number)
      }
    })

  /// The store and the number that a segment says it has: what a foreign one is refused for.
  private static func identity(_ file: [UInt8]) -> (StoreID, UInt64) {
    file.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      guard (try? reader.take(Block.size + 16)) != nil, let store = try? reader.identifier(),
        let number = try? reader.integer(UInt64.self)
      else { return (StoreID(high: 1, low: 1), 1) }
      return (store, min(max(number, 1), 999_999_999_998))
    }
  }

  private static let zeros = [UInt8](repeating: 0, count: Block.size)

  private static func attackLog(_ file: [UInt8], _ store: StoreID, _ number: UInt64) {
    let layout = StoreLayout("/s")
    let path = layout.segment(number)
    let environment = fixedEnvironment(storeAround(file, path: path, store: store, layout))
    refusable {
      let segment = try LogSegment(path: path, store: store, environment: environment)
      demand(segment.header.holder.utf8.count <= Block.size, "a holder's name is too long")
      try walkFrames(segment, to: Int64(file.count), environment)
      try walkFrames(segment, to: .max, environment)
      guard let beacon = try segment.control().believable else { return }
      attackStart(segment, beacon, environment)
      attackStore(StoreHandle(layout: layout, id: store, environment: environment))
    }
  }

  /// What a reader makes of a store whose log is this segment.
  private static func attackStore(_ store: StoreHandle) {
    refusable {
      let log = Log(of: store)
      let present = try log.present()
      var follower = LogFollower(after: .empty)
      try follower.advance(log, to: present) { commit, cursor throws(StoreError) in
        demand(commit.last >= commit.first, "a commit's last batch comes before its first")
        _ = try cursor.outcomes(of: commit.header)
      }
      demand(follower.extent.txid <= TxID(UInt64(Int64.max)), "SQLite cannot hold a TxID")
    }
    refusable {
      let snapshot = try PageStore(
        path: store.layout.root, environment: store.environment
      ).snapshot(.latest)
      var page = [UInt8](repeating: 0, count: snapshot.pageSize)
      for number in 1...8 {
        try page.withUnsafeMutableBytes { try snapshot.read(page: UInt32(number), into: $0) }
      }
    }
  }

  private static func walkFrames(_ segment: LogSegment, to end: Int64, _ environment: Environment)
    throws
  {
    var cursor = LogCursor(segment, to: end, environment: environment)
    refusable {
      while let header = try cursor.next() {
        guard header.kind == .commit else { continue }
        refusable {
          let commit = try cursor.commit(header)
          demand(commit.last >= commit.first, "a commit's last batch comes before its first")
          demand(commit.extent.txid == commit.last, "a commit's extent is another")
        }
        refusable { _ = try cursor.pages(of: header) }
        refusable { _ = try cursor.outcomes(of: header) }
        for id in [SectionID.batches, .consumed, .pages, .pruned] {
          refusable { _ = try cursor.section(id, of: header) }
        }
      }
    }
  }

  private static func attackStart(
    _ segment: LogSegment, _ beacon: Beacon, _ environment: Environment
  ) {
    refusable {
      let record = try segment.startRecord(at: beacon.position.startFrame)
      demand(try StartRecord(decoding: record.encoded()) == record, "a start record changes")
    }
  }

  /// A store of 512-byte pages, with an empty checkpoint 0, around one log segment.
  private static func storeAround(
    _ file: [UInt8], path: String, store: StoreID, _ layout: StoreLayout
  ) -> [String: [UInt8]] {
    let description = StoreDescription(id: store, pageSize: 512, lease: .file, foreignKeys: true)
    let header = CheckpointSidecar.Header(
      store: store, extent: .empty, pageSize: 512, pageCount: 0, checksum: DatabaseChecksum(),
      rejected: 0)
    return [
      path: file, layout.description: Array(description.json.utf8),
      layout.sidecar(of: .zero): header.encoded(),
      layout.database(of: .zero): [],
    ]
  }

  /// A claimant takes the segment over. What it makes of it must be a history that can be read.
  private static func attackClaim(_ file: [UInt8], _ store: StoreID, _ number: UInt64) {
    let fileSystem = MemoryFileSystem()
    let layout = StoreLayout("/s")
    fileSystem.makeDirectories([layout.log, layout.oldLog])
    let environment = Environment(
      fileSystem: fileSystem, clock: EagerClock(), executor: InlineExecutor(), random: { 7 })
    must("writing a segment") {
      let path = layout.segment(number)
      try fileSystem.create(path, mode: 0o600).write(file, at: 0)
    }
    let handle = StoreHandle(layout: layout, id: store, environment: environment)
    var claim = LogClaim(
      of: handle, holder: "claimant",
      engine: .init(sourceID: "", compileOptions: "", architecture: ""))
    claim.segmentBytes = 128 << 10
    claim.clockTolerance = nil
    refusable {
      let won = try claim.claim(successorOf: number) { holder, inherited in
        holder.beacon(
          .active, ApplierStatus(after: inherited, survived: [], environment), time_ms: 1)
      }
      guard let won else { return }
      let log = Log(of: handle)
      let present = must("reading what a claimant published") { try log.present() }
      demand(present.segment.number == number + 1, "the present is not the claimant's")
      let start = must("reading a claimant's start frame") {
        try present.segment.startRecord(at: present.beacon.position.startFrame)
      }
      demand(start.carried == won.holder.extent, "a start frame says something else")
      // What was carried over is whole in the new segment, whatever becomes of the old one.
      var cursor = LogCursor(
        present.segment, to: present.beacon.position.end, environment: environment)
      var extent = start.inherited
      while let header = must("walking a claimant's frames", { try cursor.next() }) {
        guard header.kind == .commit else { continue }
        extent = must("reading a carried commit") { try cursor.commit(header).extent }
        _ = must("reading a carried index") { try cursor.pages(of: header) }
      }
      demand(extent == start.carried, "a claimant carried something else over")
    }
  }
}
