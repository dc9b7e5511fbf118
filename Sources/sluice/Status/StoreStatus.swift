import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

/// How a store is doing, as `status` prints it.
struct StoreStatus {
  enum ApplierState: String {
    case active, released, silent, none
  }

  var store: String
  var lease: StoreDescription.LeaseKind
  var txid: TxID
  var holder: String
  var term: UInt64
  var state: ApplierState
  var beatAge_ms: Int64
  var backlog: Backlog
  var checkpoint: (txid: TxID, bytes: Int64, age_s: Int64)
  /// Bytes by the segment.
  var log: (segments: Int, bytes: [UInt64: Int64], oldest: TxID)
  var logBytes: Int64 { log.bytes.values.reduce(0, +) }
  var kept: KeptStatus
  var writers: Int
  var rejected: UInt64
  var quarantined: Int
  /// Batches that appliers found missing between others of their writer.
  var missing: UInt64
  /// As the newest beacon has it; of nobody where no applier is active.
  var hints: StatedHints

  /// What the newest beacon says of who leads.
  struct Applier {
    var state: ApplierState
    var beatAge_ms: Int64

    init(_ present: Log.Present, _ clock: any Clock) {
      beatAge_ms = max(0, clock.wallTime_ms() - present.beacon.time_ms)
      state =
        switch present.beacon.state {
        // Segment 1 is `init`'s.
        case .released: present.segment.header.number == 1 ? .none : .released
        case .active: beatAge_ms > present.beacon.status.longestSilence_ms ? .silent : .active
        }
    }
  }

  /// Reads it from the log's beacons, the directories and, where no applier counts for us, the
  /// journal. Needs the right to read the store.
  static func read(_ path: String, _ environment: Environment) throws(StoreError) -> StoreStatus {
    let store = try PageStore(path: path, environment: environment)
    let layout = store.layout
    let log = Log(of: store.handle)
    let present = try log.present()
    let beacon = present.beacon
    let header = present.segment.header
    let now_ms = environment.clock.wallTime_ms()
    let applier = Applier(present, environment.clock)
    let (state, beatAge_ms) = (applier.state, applier.beatAge_ms)
    let journal = try environment.fileSystem.list(layout.journal)
      .compactMap(StoreLayout.journalSegment)
    let isActive = state == .active
    let extent = try extent(of: log)
    return StoreStatus(
      store: layout.root, lease: store.description.lease, txid: beacon.extent.txid,
      holder: state == .none ? "" : header.holder,
      term: header.term, state: state, beatAge_ms: beatAge_ms,
      backlog: isActive
        ? Backlog(beacon.status)
        : try Backlog(counting: journal, in: store, environment, otherwise: beacon.status),
      checkpoint: try checkpoint(of: store.handle, now_ms),
      log: extent,
      kept: try KeptStatus(
        of: store.handle, beacon.status.retention, log: (extent.bytes, extent.oldest)),
      writers: isActive ? Int(beacon.status.writers) : Set(journal.map(\.writer)).count,
      rejected: beacon.status.rejected,
      quarantined: try environment.fileSystem.list(layout.quarantine)
        .compactMap(StoreLayout.journalSegment).count,
      missing: beacon.status.missing,
      hints: isActive ? beacon.status.hints : StatedHints())
  }

  private static func checkpoint(
    of store: StoreHandle, _ now_ms: Int64
  ) throws(StoreError) -> (txid: TxID, bytes: Int64, age_s: Int64) {
    guard let newest = try CheckpointListing(of: store).whole.last else {
      throw StoreError(
        .damaged, "the store has no checkpoint; restore one from a backup",
        path: store.layout.checkpoints)
    }
    let file = try store.fileSystem.status(store.layout.database(of: newest))
    return (newest, file.size, max(0, now_ms - file.modified_ms) / 1000)
  }

  /// What `log/` holds: segments, bytes used in them (they are preallocated), the first batch.
  private static func extent(of log: Log) throws(StoreError)
    -> (segments: Int, bytes: [UInt64: Int64], oldest: TxID)
  {
    let numbers = try log.listed()
    var bytes: [UInt64: Int64] = [:]
    var begun: [(segment: LogSegment, startFrame: Int64)] = []
    for number in numbers {
      do throws(StoreError) {
        // One without a beacon was never in the history; one that is gone was just moved to `old/`.
        guard let segment = try log.open(number), let beacon = try segment.control().beacon else {
          continue
        }
        bytes[number] = beacon.position.end
        begun.append((segment, beacon.position.startFrame))
      } catch {
        guard error.isRemoval else { throw error }
      }
    }
    for one in begun.reversed() {
      do throws(StoreError) {
        let start = try one.segment.startRecord(at: one.startFrame)
        return (numbers.count, bytes, start.inherited.txid.next)
      } catch {
        guard error.isRemoval else { throw error }
      }
    }
    return (numbers.count, bytes, .zero)
  }
}

extension StoreStatus {
  var json: String {
    var applier = JSONObject()
    applier.add("holder", holder)
    applier.add("term", term)
    applier.add("state", state.rawValue)
    applier.add("beatAge_ms", beatAge_ms)
    var backlog = JSONObject()
    backlog.add("batches", self.backlog.batches)
    backlog.add("bytes", self.backlog.bytes)
    backlog.add("oldest_ms", self.backlog.oldest_ms)
    backlog.add("isEstimate", self.backlog.isEstimate)
    var checkpoint = JSONObject()
    checkpoint.add("txid", self.checkpoint.txid.rawValue)
    checkpoint.add("bytes", self.checkpoint.bytes)
    checkpoint.add("age_s", self.checkpoint.age_s)
    var log = JSONObject()
    log.add("segments", self.log.segments)
    log.add("bytes", logBytes)
    log.add("oldestTxid", self.log.oldest.rawValue)
    var line = JSONObject()
    line.add("store", store)
    line.add("lease", lease.description)
    line.add("txid", txid.rawValue)
    line.add("applier", applier)
    line.add("backlog", backlog)
    line.add("checkpoint", checkpoint)
    line.add("log", log)
    line.add("kept", kept.json)
    line.add("writers", writers)
    line.add("rejected", rejected)
    line.add("quarantined", quarantined)
    line.add("ignored", self.backlog.ignored)
    line.add("missing", missing)
    line.add("hints", hints.json)
    return line.text
  }

  var text: String {
    var applier = state.rawValue
    if state != .none {
      applier += ": \(holder.printable), term \(term), beat \(beatAge_ms) ms ago"
    }
    var waiting = "\(backlog.batches) batches, \(backlog.bytes) bytes"
    if backlog.isEstimate { waiting = "about \(waiting)" }
    if backlog.batches > 0 { waiting += ", the oldest waits for \(backlog.oldest_ms) ms" }
    return """
      store        \(store.printable)
      lease        \(lease)
      txid         \(txid)
      applier      \(applier)
      backlog      \(waiting)
      checkpoint   \(checkpoint.txid), \(checkpoint.bytes) bytes, \(checkpoint.age_s) s old
      log          \(log.segments) segments, \(logBytes) bytes, from batch \(log.oldest) on
      kept         \(kept.text)
      writers      \(writers)
      rejected     \(rejected)
      quarantined  \(quarantined)
      ignored      \(self.backlog.ignored)
      missing      \(missing)
      hints        \(hints.text)

      """
  }
}

extension StatedHints {
  fileprivate var json: JSONObject {
    var hints = JSONObject()
    if let endpoint { hints.add("address", endpoint.address.description) }
    hints.add("received", received)
    hints.add("useful", useful)
    hints.add("sent", sent)
    return hints
  }

  fileprivate var text: String {
    guard let endpoint else { return "none are taken" }
    return "\(received) received, \(useful) useful, \(sent) sent, at \(endpoint.address)"
  }
}
