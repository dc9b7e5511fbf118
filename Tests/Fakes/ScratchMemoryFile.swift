internal import SluiceShared

/// A file without a name on the machine's local disk: no hook is called, nobody else sees it.
final class ScratchMemoryFile: File {
  let path = "(scratch)"
  private let owner: UInt32
  private let content = Monitor(FileContent())

  init(owner: UInt32) { self.owner = owner }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) -> Int
  {
    content.withLock { $0.read(into: buffer, at: offset) }
  }

  func read(
    into first: UnsafeMutableRawBufferPointer, at offset: Int64,
    and second: UnsafeMutableRawBufferPointer, at secondOffset: Int64
  ) throws(StoreError) -> (Int, Int) {
    (try read(into: first, at: offset), try read(into: second, at: secondOffset))
  }

  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(StoreError) {
    content.withLock { content in
      for span in BlockSpans(at: offset, count: bytes.count) {
        content.write(
          Array(bytes[span.start..<span.start + span.count]), to: span.number, from: span.from)
      }
      content.becomeStable()
    }
  }

  func beginWriteback(_ count: Int, at offset: Int64) {}
  func sync() throws(StoreError) {}

  func resize(to size: Int64) throws(StoreError) {
    content.withLock { content in
      content.resize(to: size)
      content.becomeStable()
    }
  }

  func nextData(from offset: Int64) throws(StoreError) -> Int64? { offset }

  func status() throws(StoreError) -> FileStatus {
    FileStatus(
      kind: .regular, size: content.withLock { $0.size }, modified_ms: 0, owner: owner, links: 0,
      permissions: 0o600, inode: 0)
  }

  func freshStatus() throws(StoreError) -> FileStatus { try status() }
}
