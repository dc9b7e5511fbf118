package import SluiceShared

// Blocks 2 and 3 of a log segment, used in turn, each sealed with a CRC-32C that begins with the
// segment's nonce:
//
//   0  8  "SLBEACON"
//   8  8  counter, from 1; the slot is counter mod 2
//  16  1  state: 1 active, 2 released
//  17  7  zero
//  24  8  published: last TxID
//  32  8  published: number of commits since the store was made
//  40  8  published: offset behind the last frame
//  48  8  published: offset of the last frame
//  56  4  published: checksum of the last frame
//  60  4  zero
//  64  8  offset of the segment's start frame
//  72  8  time of the last commit, Unix milliseconds
//  80  8  time of this beacon, Unix milliseconds
//  88  8  newest checkpoint's TxID
//  96  8  backlog: batches
// 104  8  backlog: bytes
// 112  8  backlog: age of the oldest batch, milliseconds
// 120  8  batches applied in the last second
// 128  8  batches rejected since the store was made
// 136  4  segments in quarantine
// 140  4  writers with live segments
// 144  4  terms that ended without release since all that waited was executed
// 148  1  attempts that follow: 16 writer, 8 sequence number of the first batch, 4 batches in a row,
//         4 terms that ended while they executed them, 1 executing now
// 3072  8  the turn that is out: its number; 0: none
// 3080 16  … and its holder
// 3960  1  where the holder takes hints: 4 at an IPv4 address, 6 at an IPv6 address; 0: nowhere
// 3961  1  zero
// 3962  2  the port
// 3964 16  the address, as it goes over the wire; of an IPv4 address the first four bytes
// 3980 16  the token that hints are sealed with
// 3996  8  what a loopback address leads to; 0 of any other address
// 4004  8  hints received
// 4012  8  looks for their sake that found something
// 4020  8  hints sent
// 4028  4  within so many milliseconds the next beacon comes; 0: within a second or two, as it is not said
// 4032 12  zero
// 4044  8  what is kept of the past, milliseconds; 0: all, or it is not said
// 4052  8  … and bytes of log and checkpoints at most; 0: however many
// 4060  4  … and checkpoints at most; 0: it is not said what is kept
// 4064 12  zero
// 4076  8  files in the journal that are not read
// 4084  8  batches found missing between others of their writer

/// Where a published history ends, as the holder's beacon states it.
package struct LogPosition: Hashable, Sendable {
  package var segment: UInt64
  package var nonce: UInt64
  /// Behind the last frame.
  package var end: Int64
  /// Where the last frame begins, so that a merged index is found at once.
  package var lastFrame: Int64
  /// The last frame's checksum, through which the chain runs.
  package var checksum: UInt32
  /// Where the segment's start frame is.
  package var startFrame: Int64

  package init(
    segment: UInt64, nonce: UInt64, end: Int64, lastFrame: Int64, checksum: UInt32,
    startFrame: Int64
  ) {
    self.segment = segment
    self.nonce = nonce
    self.end = end
    self.lastFrame = lastFrame
    self.checksum = checksum
    self.startFrame = startFrame
  }

  func encode(to writer: inout ByteWriter) {
    writer.append(segment)
    writer.append(nonce)
    writer.append(end)
    writer.append(lastFrame)
    writer.append(checksum)
    writer.append(startFrame)
  }

  /// Its places can be where it says, and be counted on from.
  var isSound: Bool {
    Block.firstLogFrame <= startFrame && startFrame <= lastFrame && lastFrame < end
      && end < Int64.max / 4 && segment < UInt64(Int64.max)
  }

  init(from reader: inout ByteReader) throws(DecodingError) {
    self.init(
      segment: try reader.integer(), nonce: try reader.integer(), end: try reader.integer(),
      lastFrame: try reader.integer(), checksum: try reader.integer(),
      startFrame: try reader.integer())
  }
}

/// How far a history goes: its last batch, its commits, the time of the last one.
package struct LogExtent: Hashable, Sendable {
  package var txid: TxID
  package var commits: UInt64
  package var time_ms: Int64

  package init(txid: TxID, commits: UInt64, time_ms: Int64) {
    self.txid = txid
    self.commits = commits
    self.time_ms = time_ms
  }

  package static let empty = LogExtent(txid: .zero, commits: 0, time_ms: 0)

  /// Its numbers can be counted on from, and be stored by SQLite.
  var isSound: Bool {
    txid.rawValue < UInt64(Int64.max) && commits < UInt64(Int64.max)
      && time_ms.magnitude < 1 << 60
  }
}

/// Batches in a row of one writer that are being executed, or were when terms ended.
package struct Attempt: Hashable, Sendable {
  /// The first of them.
  package var batch: BatchID
  /// How many; at least one.
  package var length: UInt32
  /// Terms that ended without release while they executed these.
  package var ends: UInt32
  package var isExecuting: Bool

  package init(batch: BatchID, length: UInt32 = 1, ends: UInt32, isExecuting: Bool) {
    self.batch = batch
    self.length = length
    self.ends = ends
    self.isExecuting = isExecuting
  }

  package var last: SequenceNumber { batch.sequence.advanced(by: UInt64(length) - 1) }

  package func contains(_ id: BatchID) -> Bool {
    id.writer == batch.writer && batch.sequence <= id.sequence && id.sequence <= last
  }

  /// Its numbers can be counted on from.
  var isSound: Bool { length > 0 && batch.sequence.rawValue < UInt64(Int64.max) }
}

/// What the holder of a log segment publishes; everybody else believes nothing but this.
package struct Beacon: Hashable, Sendable {
  package enum State: UInt8, Sendable {
    case active = 1
    case released = 2
  }

  package var counter: UInt64 = 0
  package var state: State
  package var position: LogPosition
  package var extent: LogExtent
  package var time_ms: Int64
  package var status = ApplierStatus()

  package init(state: State, position: LogPosition, extent: LogExtent, time_ms: Int64) {
    self.state = state
    self.position = position
    self.extent = extent
    self.time_ms = time_ms
  }

  static let magic: UInt64 = 0x4E4F_4341_4542_4C53  // "SLBEACON"

  var slot: Int64 { counter % 2 == 0 ? Block.beacons.0 : Block.beacons.1 }

  func encoded() -> [UInt8] {
    var writer = ByteWriter(reserving: Block.size)
    writer.append(Self.magic)
    writer.append(counter)
    writer.append(state.rawValue)
    writer.append(raw: [0, 0, 0, 0, 0, 0, 0])
    writer.append(extent.txid.rawValue)
    writer.append(extent.commits)
    writer.append(position.end)
    writer.append(position.lastFrame)
    writer.append(position.checksum)
    writer.append(UInt32(0))
    writer.append(position.startFrame)
    writer.append(extent.time_ms)
    writer.append(time_ms)
    status.encode(to: &writer)
    return SealedBlock.seal(writer, seed: position.nonce)
  }

  /// The beacon in one slot of the segment `number` with `nonce`; nil where it is not whole.
  static func decode(_ block: UnsafeRawBufferPointer, segment number: UInt64, nonce: UInt64)
    -> Beacon?
  {
    guard let content = SealedBlock.open(block, seed: nonce) else { return nil }
    var reader = ByteReader(content)
    do throws(DecodingError) {
      guard try reader.integer(UInt64.self) == magic else { return nil }
      let counter = try reader.integer(UInt64.self)
      guard let state = State(rawValue: try reader.integer()) else { return nil }
      _ = try reader.take(7)
      let txid = TxID(try reader.integer())
      let commits = try reader.integer(UInt64.self)
      let end = try reader.integer(Int64.self)
      let lastFrame = try reader.integer(Int64.self)
      let checksum = try reader.integer(UInt32.self)
      _ = try reader.take(4)
      let startFrame = try reader.integer(Int64.self)
      let commitTime = try reader.integer(Int64.self)
      let time = try reader.integer(Int64.self)
      var beacon = Beacon(
        state: state,
        position: LogPosition(
          segment: number, nonce: nonce, end: end, lastFrame: lastFrame, checksum: checksum,
          startFrame: startFrame),
        extent: LogExtent(txid: txid, commits: commits, time_ms: commitTime), time_ms: time)
      guard beacon.position.isSound, beacon.extent.isSound, counter < .max else { return nil }
      beacon.counter = counter
      beacon.status = try ApplierStatus(from: &reader)
      return beacon
    } catch {
      return nil
    }
  }
}

/// A turn that is out, as a beacon states it.
package struct StatedTurn: Hashable, Sendable {
  /// The state that it begins on.
  package var number: TxID
  package var holder: WriterID

  package init(number: TxID, holder: WriterID) {
    self.number = number
    self.holder = holder
  }
}

/// What an applier tells of itself in each beacon: for `status`, for other appliers, for nobody's
/// safety.
package struct ApplierStatus: Hashable, Sendable {
  package var checkpoint = TxID.zero
  package var backlogBatches: UInt64 = 0
  package var backlogBytes: UInt64 = 0
  package var oldest_ms: UInt64 = 0
  package var batchesPerSecond: UInt64 = 0
  package var rejected: UInt64 = 0
  package var quarantined: UInt32 = 0
  package var writers: UInt32 = 0
  /// Terms that ended without release since a term had executed all that waited: with any, a batch may
  /// be what ended them.
  package var uncleanTerms: UInt32 = 0
  /// What is being executed since then, and what was when terms ended.
  package var attempts: [Attempt] = []
  /// Files in the journal that are not read, and writers whose batches wait for the right to read one, or for room
  /// on the applier's scratch disk.
  package var ignored: UInt64 = 0
  /// Batches that were found missing between others of their writer since the store was made.
  package var missing: UInt64 = 0
  /// How much of the past this applier keeps.
  package var retention = StatedRetention()
  /// Where it takes hints, and how many there were.
  package var hints = StatedHints()
  /// The turn that is out.
  package var turn: StatedTurn?
  /// Within so many milliseconds the next beacon comes, unless the applier is gone; 0: it does not say.
  package var nextBeat_ms: UInt32 = 0

  package init() {}

  /// An applier whose beat is older is silent: ten beats of one that works, and two and a half of one that rests.
  package var longestSilence_ms: Int64 { max(Limits.silentApplier_ms, Int64(nextBeat_ms) * 5 / 2) }

  /// Where the turn is.
  private static let turnPlace = 3072

  /// Where `retention` is, behind all that grows, and where `ignored` and `missing` are.
  private static let retentionPlace = 4044
  private static let hintsPlace = 3960
  private static let tail = 4076

  func encode(to writer: inout ByteWriter) {
    writer.append(checkpoint.rawValue)
    writer.append(backlogBatches)
    writer.append(backlogBytes)
    writer.append(oldest_ms)
    writer.append(batchesPerSecond)
    writer.append(rejected)
    writer.append(quarantined)
    writer.append(writers)
    writer.append(uncleanTerms)
    let kept = attempts.suffix(Limits.attemptsInBeacon)
    writer.append(UInt8(kept.count))
    for attempt in kept {
      writer.append(attempt.batch.writer)
      writer.append(attempt.batch.sequence.rawValue)
      writer.append(attempt.length)
      writer.append(attempt.ends)
      writer.append(UInt8(attempt.isExecuting ? 1 : 0))
    }
    writer.append(raw: [UInt8](repeating: 0, count: Self.turnPlace - writer.count))
    writer.append(turn?.number.rawValue ?? 0)
    writer.append(turn?.holder ?? WriterID(high: 0, low: 0))
    writer.append(raw: [UInt8](repeating: 0, count: Self.hintsPlace - writer.count))
    hints.encode(to: &writer)
    writer.append(nextBeat_ms)
    writer.append(raw: [UInt8](repeating: 0, count: Self.retentionPlace - writer.count))
    retention.encode(to: &writer)
    writer.append(raw: [UInt8](repeating: 0, count: Self.tail - writer.count))
    writer.append(ignored)
    writer.append(missing)
  }

  init(from reader: inout ByteReader) throws(DecodingError) {
    checkpoint = TxID(try reader.integer())
    backlogBatches = try reader.integer()
    backlogBytes = try reader.integer()
    oldest_ms = try reader.integer()
    batchesPerSecond = try reader.integer()
    rejected = try reader.integer()
    quarantined = try reader.integer()
    writers = try reader.integer()
    uncleanTerms = try reader.integer()
    let attemptCount = Int(try reader.integer(UInt8.self))
    guard attemptCount <= Limits.attemptsInBeacon else {
      throw DecodingError("\(attemptCount) attempts, at most \(Limits.attemptsInBeacon) are kept")
    }
    for _ in 0..<attemptCount {
      let writer = try reader.identifier()
      let sequence = SequenceNumber(try reader.integer())
      let length: UInt32 = try reader.integer()
      let ends: UInt32 = try reader.integer()
      let attempt = Attempt(
        batch: BatchID(writer: writer, sequence: sequence), length: length, ends: ends,
        isExecuting: try reader.integer(UInt8.self) != 0)
      guard attempt.isSound else { throw DecodingError("an attempt at batches that none can be") }
      attempts.append(attempt)
    }
    _ = try reader.take(Self.turnPlace - reader.position)
    let number = TxID(try reader.integer())
    let holder = try reader.identifier()
    turn = number == .zero ? nil : StatedTurn(number: number, holder: holder)
    _ = try reader.take(Self.hintsPlace - reader.position)
    hints = try StatedHints(from: &reader)
    nextBeat_ms = try reader.integer()
    _ = try reader.take(Self.retentionPlace - reader.position)
    retention = try StatedRetention(from: &reader)
    _ = try reader.take(Self.tail - reader.position)
    ignored = try reader.integer()
    missing = try reader.integer()
  }
}
