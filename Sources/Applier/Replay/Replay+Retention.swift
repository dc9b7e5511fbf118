public import SluiceJournal
public import SluiceShared

extension Replay {
  /// As `compare`, of a store whose applier removes what is old meanwhile. Where it overtakes the replay,
  /// that begins anew with what is the oldest checkpoint then, and `note` is told what was passed over.
  ///
  /// nil where it was overtaken each time: nothing was found that is not as recorded. Throws
  /// `.snapshotExpired` where nothing was removed, and no checkpoint has the log behind it all the same.
  public static func compare(
    store path: String, _ environment: Environment = .posix(),
    note: @escaping (String) -> Void = { _ in },
    onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Summary? {
    try overtaking(path, environment, note) { (history) throws(StoreError) in
      try compare(history, note: note, onProgress: onProgress)
    }
  }

  /// As `run`, of a store whose applier removes what is old meanwhile: where it overtakes the replay, that begins
  /// anew with what is kept then, and `note` is told.
  public static func run(
    store path: String, into file: String, from first: TxID? = nil, to point: HistoryPoint? = nil,
    _ environment: Environment = .posix(), note: @escaping (String) -> Void = { _ in },
    onProgress: @escaping (_ done: Int64, _ total: Int64) -> Void = { _, _ in }
  ) throws(StoreError) -> Summary {
    let summary = try overtaking(path, environment, note) { (history) throws(StoreError) in
      try run(history, into: file, from: first, to: point, note: note, onProgress: onProgress)
    }
    guard let summary else {
      throw StoreError(
        .snapshotExpired,
        "the replay was overtaken again and again by what is removed; begin with a later checkpoint (`--from`), or keep more (`--keep`)",
        path: path)
    }
    return summary
  }

  private static func overtaking(
    _ path: String, _ environment: Environment, _ note: (String) -> Void,
    _ replay: (RecordedHistory) throws(StoreError) -> Summary
  ) throws(StoreError) -> Summary? {
    _ = try StoreDescription.read(StoreLayout(path), environment.fileSystem)
    for _ in 0..<Self.beginnings {
      // First, so that what is removed later shows.
      let kept = try Kept(path, environment)
      do throws(StoreError) {
        return try replay(RecordedHistory(store: path, environment))
      } catch {
        guard error.isRemoval, try kept.lost(Kept(path, environment)) else { throw error }
        note(
          "what the replay was reading is not kept any more and is passed over; it begins anew with what is kept now"
        )
      }
    }
    note("the replay was overtaken \(Self.beginnings) times by what is removed, and is passed over")
    return nil
  }

  private static let beginnings = 5

  /// What a replay reads.
  private struct Kept {
    let log: Set<UInt64>
    let old: Set<UInt64>
    let checkpoints: Set<TxID>

    init(_ path: String, _ environment: Environment) throws(StoreError) {
      let layout = StoreLayout(path)
      let fileSystem = environment.fileSystem
      log = Set(try fileSystem.list(layout.log).compactMap(StoreLayout.logNumber))
      old = Set(try fileSystem.listed(ifThere: layout.oldLog).compactMap(StoreLayout.logNumber))
      checkpoints = Set(CheckpointListing(try fileSystem.list(layout.checkpoints)).databases)
    }

    /// Whether something of it was moved or removed until `now`.
    func lost(_ now: Kept) -> Bool {
      !log.isSubset(of: now.log) || !old.isSubset(of: now.old)
        || !checkpoints.isSubset(of: now.checkpoints)
    }
  }
}
