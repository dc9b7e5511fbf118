import SluiceApplier
import SluiceJournal
import SluiceReader
import SluiceShared

/// What there still is of the past, how much of it the applier keeps, and what goes next.
struct KeptStatus {
  /// The oldest state that can be read: as of this batch, and of the time of its commit. No state can be read
  /// where it is nil, and a state without commits has no time.
  var oldest: (txid: TxID, time_ms: Int64?)?
  var checkpoints = 0
  /// Of checkpoints and log, what waits in `log/old/` to be deleted included.
  var bytes: Int64 = 0
  /// As the last applier said.
  var settings: StatedRetention
  /// When what is kept will begin later, unless more bytes than are allowed make it earlier, and with which
  /// batch's state; nil where that hangs on a checkpoint that is still to be made.
  var next: (txid: TxID, at_ms: Int64)?
  /// What goes then takes so many bytes, of the log and of the checkpoint before it.
  var nextBytes: Int64 = 0
  /// Where bytes are limited: with which batch's state it will begin when that is reached, and how many more
  /// bytes there is room for.
  var nextByBytes: (txid: TxID, left: Int64)?
  /// Checkpoints that go because there are more than are kept. Each state can be read as before, from an earlier
  /// one.
  var thinned: [TxID] = []
  /// These take so many.
  var thinnedBytes: Int64 = 0

  /// `log` is what `log/` holds: the bytes used in each segment, and its first batch.
  init(
    of store: StoreHandle, _ settings: StatedRetention, log: (bytes: [UInt64: Int64], oldest: TxID)
  ) throws(StoreError) {
    self.settings = settings
    bytes = log.bytes.values.reduce(0, +)
    let (layout, fileSystem) = (store.layout, store.fileSystem)
    var made: [RetentionPlan.Checkpoint] = []
    for txid in try CheckpointListing(of: store).whole {
      let sidecar = layout.sidecar(of: txid)
      do throws(StoreError) {
        let status = try fileSystem.status(layout.database(of: txid))
        let size = status.size + (try fileSystem.status(sidecar).size)
        bytes += size
        checkpoints += 1
        // One that was made late has no log behind it.
        guard txid.next >= log.oldest else { continue }
        made.append(
          RetentionPlan.Checkpoint(txid: txid, made_ms: status.modified_ms, bytes: size))
        if oldest == nil {
          let header = try CheckpointSidecar(path: sidecar, store: store.id, fileSystem: fileSystem)
            .header
          oldest = (txid, header.extent.time_ms > 0 ? header.extent.time_ms : nil)
        }
      } catch {
        // It is being removed, or is damaged: a state that cannot be read.
        guard error.isRemoval || [.damaged, .foreign, .unsupported].contains(error.code) else {
          throw error
        }
      }
    }
    if let base = tellNext(made) {
      nextBytes += try Self.bytes(before: base, of: log.bytes, in: store)
    }
    bytes += try Self.waiting(in: store)
  }

  /// `made`: the checkpoints with the log behind them, ascending. Returns the one with which what is kept will begin.
  private mutating func tellNext(_ made: [RetentionPlan.Checkpoint]) -> TxID? {
    guard settings.checkpoints > 0 else { return nil }
    let kept = RetentionPlan.kept(of: made, atMost: Int(settings.checkpoints))
    let surplus = made.filter { one in !kept.contains { $0.txid == one.txid } }
    (thinned, thinnedBytes) = (surplus.map(\.txid), surplus.reduce(0) { $0 + $1.bytes })
    guard kept.count > RetentionSettings.leastCheckpoints else { return nil }
    // What is thinned out is gone by then.
    let base = kept[1]
    guard settings.keep_ms > 0 || settings.bytes > 0 else { return nil }
    nextBytes = kept[0].bytes
    if settings.keep_ms > 0 {
      next = (base.txid, base.made_ms + Int64(clamping: settings.keep_ms))
    }
    if settings.bytes > 0 {
      nextByBytes = (base.txid, max(0, Int64(clamping: settings.bytes) - bytes))
    }
    return base.txid
  }

  /// Bytes used in the segments below the one that holds what is behind `base`.
  private static func bytes(
    before base: TxID, of segments: [UInt64: Int64], in store: StoreHandle
  ) throws(StoreError) -> Int64 {
    guard let newest = segments.keys.max() else { return 0 }
    do throws(StoreError) {
      let needed = try LogPlaces(of: store, upTo: newest).holding(base) ?? 0
      return segments.reduce(0) { $0 + ($1.key < needed ? $1.value : 0) }
    } catch {
      // Some of them are just going.
      guard error.isRemoval else { throw error }
      return 0
    }
  }

  /// Bytes used in segments that are to be deleted.
  private static func waiting(in store: StoreHandle) throws(StoreError) -> Int64 {
    var bytes: Int64 = 0
    for name in try store.fileSystem.listed(ifThere: store.layout.oldLog)
    where StoreLayout.logNumber(name) != nil {
      // Whatever else it is, or gone by now: it is not of what can be said here.
      let segment = try? LogSegment(
        path: "\(store.layout.oldLog)/\(name)", store: store.id, environment: store.environment)
      bytes += (try? segment?.control().beacon)?.position.end ?? Block.firstLogFrame
    }
    return bytes
  }

  private var keep: String? {
    guard settings.checkpoints > 0 else { return nil }
    return settings.keep_ms == 0
      ? KeepDuration.forever : KeepDuration(milliseconds: settings.keep_ms).description
  }

  var json: JSONObject {
    var kept = JSONObject()
    if let oldest {
      kept.add("txid", oldest.txid.rawValue)
      if let time_ms = oldest.time_ms { kept.add("time", timestamp(time_ms)) }
    }
    kept.add("bytes", bytes)
    kept.add("checkpoints", checkpoints)
    if let keep {
      kept.add("keep", keep)
      if settings.bytes > 0 { kept.add("keepBytes", settings.bytes) }
      kept.add("keepCheckpoints", UInt64(settings.checkpoints))
    }
    if let txid = (next?.txid ?? nextByBytes?.txid) {
      var object = JSONObject()
      object.add("txid", txid.rawValue)
      if let next { object.add("at", timestamp(next.at_ms)) }
      if let nextByBytes { object.add("afterBytes", nextByBytes.left) }
      object.add("bytes", nextBytes)
      kept.add("next", object)
    }
    if !thinned.isEmpty {
      kept.add("thinned", thinned.map { "\($0)" })
      kept.add("thinnedBytes", thinnedBytes)
    }
    return kept
  }

  var text: String {
    var text = "nothing"
    if let oldest {
      text =
        oldest.txid == .zero ? "all from the beginning on" : "from batch \(oldest.txid) on"
      if let time_ms = oldest.time_ms { text += ", of \(timestamp(time_ms))" }
    }
    text += ", \(bytes) bytes, \(checkpoints) checkpoint\(checkpoints == 1 ? "" : "s")"
    if let keep {
      text += "; the applier keeps "
      text += keep == KeepDuration.forever ? "all" : keep
      if settings.bytes > 0 { text += ", \(settings.bytes) bytes" }
      text += ", \(settings.checkpoints) checkpoints at most"
    }
    if let next {
      text += "; from batch \(next.txid) on at \(timestamp(next.at_ms))"
    }
    if let nextByBytes {
      text +=
        next == nil
        ? "; from batch \(nextByBytes.txid) on after \(nextByBytes.left) more bytes"
        : ", or after \(nextByBytes.left) more bytes"
    }
    if next != nil || nextByBytes != nil { text += ", which frees \(nextBytes) bytes" }
    if let first = thinned.first {
      text += "; checkpoint \(first)"
      if thinned.count > 1 { text += " and \(thinned.count - 1) more" }
      text += thinned.count > 1 ? " go, being too many" : " goes, being one too many"
      text += ", \(thinnedBytes) bytes"
    }
    return text
  }
}
