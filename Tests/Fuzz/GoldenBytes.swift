import Glibc
import SluiceShared

@testable import SluiceJournal

/// The seeds' source: the golden files of the formats' tests, taken apart.
struct GoldenBytes {
  let directory: String

  func file(_ name: String) throws -> [UInt8] { try readFile("\(directory)/\(name).bin") }

  /// Each frame of a segment, as far as its bytes go.
  func frames(_ name: String) throws -> [[UInt8]] {
    try headers(name).map { header, file in
      Array(file[Int(header.offset)..<Int(header.offset + header.length)])
    }
  }

  private func headers(_ name: String) throws -> [(FrameHeader, [UInt8])] {
    let file = try file(name)
    let isJournal = name.hasPrefix("journal")
    let nonceOffset = Block.size + (isJournal ? 56 : 40)
    let nonce = file.withUnsafeBytes {
      UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: nonceOffset, as: UInt64.self))
    }
    var scanner = FrameScanner(FixedFile(file, path: name), nonce: nonce)
    var offset = isJournal ? Block.firstJournalFrame : Block.firstLogFrame
    var headers: [(FrameHeader, [UInt8])] = []
    while let header = try scanner.header(at: offset) {
      headers.append((header, file))
      offset = header.end
    }
    return headers
  }

  func batches() throws -> [[UInt8]] {
    var batches: [[UInt8]] = []
    for (header, file) in try [
      "journal", "journal-one-shot", "journal-pages", "journal-parts",
    ].flatMap(headers) {
      guard let section = header.section(.batches), section.codec == .raw else { continue }
      let start = Int(header.offset + section.offset)
      let bytes = Array(file[start..<start + Int(section.storedBytes)])
      for range in try BatchList.ranges(bytes, count: Int(header.count)) {
        batches.append(Array(bytes[range]))
      }
    }
    return batches
  }

  /// What interactive transactions commit, out of these batches.
  func pageBatches() throws -> [[UInt8]] {
    try batches().compactMap { bytes in
      guard let pages = try step(bytes), pages.parts == nil else { return nil }
      return try content(pages)
    }
  }

  private func step(_ bytes: [UInt8]) throws -> PageBatch? {
    guard case .commit(let pages)? = try bytes.withUnsafeBytes({ try Batch(decoding: $0) }).step
    else { return nil }
    return pages
  }

  private func content(_ pages: PageBatch) throws -> [UInt8] {
    var writer = ByteWriter()
    pages.encode(to: &writer)
    return try writer.bytes.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      _ = try reader.varint()
      return Array(try reader.counted())
    }
  }

  /// What one commits whose pages come in parts: its field with its length, and the parts.
  func pageParts() throws -> [UInt8] {
    var seed = ByteWriter()
    for bytes in try batches() {
      if let pages = try step(bytes), pages.parts != nil {
        seed.append(counted: try content(pages))
      }
    }
    for (header, file) in try headers("journal-parts") {
      guard let section = header.section(.part) else { continue }
      let start = Int(header.offset + section.offset)
      seed.append(raw: Array(file[start..<start + Int(section.storedBytes)]))
    }
    return seed.bytes
  }

  /// Each section of the log's frames, behind the byte that chooses its decoder.
  func sections() throws -> [[UInt8]] {
    var sections: [[UInt8]] = []
    for name in ["log-1", "log-2", "log-3"] {
      for (header, file) in try headers(name) {
        for section in header.sections where section.codec == .raw {
          let start = Int(header.offset + section.offset)
          let choice = UInt8(truncatingIfNeeded: section.id) | UInt8(min(header.count, 15)) << 4
          sections.append([choice] + file[start..<start + Int(section.storedBytes)])
        }
      }
    }
    let outcome = Outcome.duplicate(
      of: TxID(3), original: .applied(.init(changes: 2, lastRowID: -1, rows: [[1, "a"], []])))
    return sections + [[0] + outcome.encoded]
  }

  /// Beacons without the zeros behind them.
  func beacons() throws -> [[UInt8]] {
    try ["log-1", "log-2", "log-3"].flatMap { name in
      let file = try file(name)
      return [Int(Block.beacons.0), Int(Block.beacons.1)].map { Array(file[$0..<$0 + 200]) }
    }
  }
}

func readFile(_ path: String) throws -> [UInt8] {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { throw StoreError(.io, "cannot read", path: path, errno: errno) }
  defer { close(descriptor) }
  return [UInt8](unsafeUninitializedCapacity: 1 << 20) { buffer, filled in
    filled = max(0, read(descriptor, buffer.baseAddress, buffer.count))
  }
}

func writeFile(_ path: String, _ bytes: [UInt8]) throws {
  let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
  guard descriptor >= 0, write(descriptor, bytes, bytes.count) == bytes.count else {
    throw StoreError(.io, "cannot write", path: path, errno: errno)
  }
  close(descriptor)
}
