internal import SluiceJournal
internal import SluiceShared

/// A checkpoint: what a page holds that the log behind it does not change.
final class CheckpointPages: Sendable {
  let header: CheckpointSidecar.Header
  /// Batches that a repair gave up, as `store.json` said when the checkpoint was made.
  let lost: [ClosedRange<TxID>]
  private let emptyPageCRC: UInt32
  let files: StoreFiles
  private let sidecar: CheckpointSidecar
  private let file: any File
  private let name: String

  var txid: TxID { header.extent.txid }

  /// Opens the checkpoint as of `txid`; throws with ENOENT where it was removed (list again).
  init(_ txid: TxID, _ files: StoreFiles) throws(StoreError) {
    let (layout, fileSystem) = (files.layout, files.environment.fileSystem)
    let sidecar = try CheckpointSidecar(
      path: layout.sidecar(of: txid), store: files.store.id,
      fileSystem: fileSystem)
    guard sidecar.header.extent.txid == txid else {
      throw StoreError(
        .damaged,
        "a checkpoint's page checksums are those of batch \(sidecar.header.extent.txid); remove this checkpoint if there is another",
        path: sidecar.path, offset: 32)
    }
    name = StoreLayout.checkpointName(txid)
    file = try fileSystem.open(layout.database(of: txid), .fixed)
    header = sidecar.header
    lost = StoreDescription(copied: header.description)?.lost ?? []
    emptyPageCRC = crc32c([UInt8](repeating: 0, count: Int(header.pageSize)))
    self.sidecar = sidecar
    self.files = files
  }

  /// Fills `page`. Throws `.damaged` with file and offset, or `.snapshotExpired`.
  func read(_ number: UInt32, into page: UnsafeMutableRawBufferPointer) throws(StoreError) {
    let place = StoredPage(
      offset: Int64(number - 1) * Int64(page.count), stored: page.count,
      crc: files.checksPages ? try crc(ofPage: number) : 0)
    if (try? place.read(from: file, into: page, checked: files.checksPages)) == true { return }
    let fresh = try files.reopen(name, in: [files.layout.checkpoints])
    do throws(StoreError) {
      if try place.read(from: fresh, into: page, checked: files.checksPages) { return }
    } catch {
      guard error.isStaleHandle else { throw error }
      throw files.expired(fresh.path)
    }
    throw StoreError(
      .damaged,
      "page \(number) of a checkpoint is damaged; remove this checkpoint and its page checksums if there is another, or restore the file from a backup",
      path: fresh.path, offset: place.offset)
  }

  /// The CRC-32C of so many zeros.
  func emptyPageCRC(pageSize: Int) -> UInt32 {
    guard pageSize != Int(header.pageSize) else { return emptyPageCRC }
    return crc32c([UInt8](repeating: 0, count: pageSize))
  }

  /// The pages from `first` on as they are, which nothing is believed of; how many bytes there are, none where they
  /// cannot be read.
  func readUnchecked(_ first: UInt32, into pages: UnsafeMutableRawBufferPointer) -> Int {
    (try? file.read(into: pages, at: Int64(first - 1) * Int64(header.pageSize))) ?? 0
  }

  func crc(ofPage page: UInt32) throws(StoreError) -> UInt32 {
    do throws(StoreError) { return try sidecar.crc(ofPage: page) } catch {
      guard error.isGoneOrLost else { throw error }
      throw files.expired(sidecar.path)
    }
  }
}

extension CheckpointPages {
  /// The newest checkpoint that can be read and is newer neither than `txid` nor than `point`, and none of
  /// `damaged`.
  static func newest(
    upTo txid: TxID, asOf point: HistoryPoint? = nil, except damaged: Set<TxID> = [],
    _ files: StoreFiles
  ) throws(StoreError) -> CheckpointPages {
    var failure: StoreError?
    var later: TxID?
    let candidates = try named(files)
    for candidate in candidates where candidate <= txid && !damaged.contains(candidate) {
      // Of one that is named later nothing need be read.
      if case .txid(let last)? = point, candidate > last {
        later = candidate
        continue
      }
      do throws(StoreError) {
        let checkpoint = try CheckpointPages(candidate, files)
        guard let point, !point.includes(checkpoint.header.extent) else { return checkpoint }
        later = candidate
      } catch {
        failure = failure ?? error
      }
    }
    if failure == nil, let point, let later {
      let time_ms = try? CheckpointPages(later, files).header.extent.time_ms
      let since = time_ms.map { ", since \(timestamp($0))" } ?? ""
      throw StoreError(
        .snapshotExpired,
        "the database as of \(point) is not kept any more; what is kept begins with the state as of batch \(later)\(since)",
        path: files.layout.checkpoints)
    }
    if let failure { throw failure }
    guard candidates.isEmpty else {
      throw StoreError(
        .snapshotExpired,
        "all checkpoints up to batch \(txid) were removed by retention; open the database anew",
        path: files.layout.checkpoints)
    }
    throw StoreError(
      .damaged, "the store has no checkpoint; restore it from a backup",
      path: files.layout.checkpoints)
  }

  /// Newest first. A listing that took very long can miss those that went and those that came.
  private static func named(_ files: StoreFiles) throws(StoreError) -> [TxID] {
    for _ in 0..<2 {
      let found = try CheckpointListing(of: files.store).databases
      if !found.isEmpty { return found.reversed() }
    }
    return []
  }
}
