internal import SluiceJournal
internal import SluiceShared

/// A database's file in pieces of 4 MiB, of which so many are worked on at a time.
final class SnapshotPieces: Sendable {
  /// One of them, and room for it, which one thread at a time has.
  struct Piece: @unchecked Sendable {
    // Sendable: its room is one thread's at a time.
    /// Its first page, and how many it has.
    let first: UInt32
    let count: Int
    let pageSize: Int
    let bytes: UnsafeMutableRawBufferPointer
    let neighbours: NeighbouringPages

    /// Where it lies in the file.
    var offset: Int64 { Int64(first - 1) * Int64(pageSize) }

    func page(_ i: Int) -> UnsafeRawBufferPointer {
      UnsafeRawBufferPointer(rebasing: bytes[i * pageSize..<(i + 1) * pageSize])
    }
  }

  private final class Room: @unchecked Sendable {
    // Sendable: one thread at a time has it.
    let bytes = UnsafeMutableRawBufferPointer.allocate(
      byteCount: SnapshotPieces.bytes, alignment: Block.size)
    let neighbours: NeighbouringPages

    init(_ snapshot: Snapshot) { neighbours = NeighbouringPages(snapshot) }

    deinit { bytes.deallocate() }
  }

  private static let bytes = 4 << 20
  private let snapshot: Snapshot
  private let executor: any Executor
  private let rooms: [Room]

  init(_ snapshot: Snapshot, _ environment: Environment, width: Int) {
    self.snapshot = snapshot
    executor = environment.executor
    rooms = (0..<width).map { _ in Room(snapshot) }
  }

  private var perPiece: Int { Self.bytes / snapshot.pageSize }
  private var count: Int { (Int(snapshot.pageCount) + perPiece - 1) / perPiece }

  /// Does `read` for each piece in order and then `write`, which goes on while the next piece is read where there is
  /// room for two. `onProgress` is told how many bytes of the file are done. Throws what either throws, when nothing
  /// runs any more.
  func inOrder(
    _ onProgress: (Int64) throws(StoreError) -> Void,
    read: (Piece) throws(StoreError) -> Void,
    write: @escaping @Sendable (Piece) throws(StoreError) -> Void
  ) throws(StoreError) {
    let failure = Monitor<StoreError?>(nil)
    var writing: (any StartedWork)?
    defer { writing?.wait() }
    func finish(_ pieces: Int) throws(StoreError) {
      writing?.wait()
      writing = nil
      if let failure = failure.withLock({ $0 }) { throw failure }
      try onProgress(bytes(pieces))
    }
    for number in 0..<count {
      let piece = piece(number, rooms[number % rooms.count])
      try read(piece)
      try finish(number)
      guard rooms.count > 1 else {
        try write(piece)
        continue
      }
      writing = executor.start {
        do throws(StoreError) { try write(piece) } catch { failure.withLock { $0 = error } }
      }
    }
    try finish(count)
  }

  /// Does `work` for each piece, for several at a time; `onProgress` is told, by the caller's thread, how many bytes
  /// of the file are done. Throws what either throws, when nothing runs any more.
  func forEach(
    _ onProgress: (Int64) throws(StoreError) -> Void,
    work: @Sendable (Piece) throws(StoreError) -> Void
  ) throws(StoreError) {
    let failure = Monitor<StoreError?>(nil)
    for start in stride(from: 0, to: count, by: rooms.count) {
      let end = min(start + rooms.count, count)
      executor.concurrently(end - start) { i in
        do throws(StoreError) {
          try work(piece(start + i, rooms[i]))
        } catch {
          failure.withLock { $0 = $0 ?? error }
        }
      }
      if let failure = failure.withLock({ $0 }) { throw failure }
      try onProgress(bytes(end))
    }
  }

  /// Of the file, up to the end of so many pieces.
  private func bytes(_ pieces: Int) -> Int64 {
    Int64(min(pieces * perPiece, Int(snapshot.pageCount))) * Int64(snapshot.pageSize)
  }

  private func piece(_ number: Int, _ room: Room) -> Piece {
    let first = number * perPiece
    let count = min(perPiece, Int(snapshot.pageCount) - first)
    return Piece(
      first: UInt32(first) + 1, count: count, pageSize: snapshot.pageSize,
      bytes: UnsafeMutableRawBufferPointer(rebasing: room.bytes[..<(count * snapshot.pageSize)]),
      neighbours: room.neighbours)
  }
}
