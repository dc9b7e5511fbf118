import SluiceShared

@testable import SluiceJournal

extension FuzzTarget {
  /// What an interactive transaction commits, over a base whose pages are known.
  static let pageBatch = FuzzTarget(
    name: "page-batch", mostBytes: 2048,
    seeds: { golden in
      try golden.pageBatches().flatMap { pages in
        FuzzMode.combinations.map { [$0.rawValue] + pages }
      }
    },
    run: { input in
      guard let (mode, content) = takeMode(input) else { return }
      refusable { try attackPages(content, checksSum: !mode.contains(.repairsChecksums)) }
    })

  private static func attackPages(_ content: UnsafeRawBufferPointer, checksSum: Bool) throws {
    let batch = try EncodedPageBatch(content)
    let numbers = batch.numbers
    demand(numbers.count == batch.changed, "it has not as many pages as it says")
    demand(numbers.first == 1 && zip(numbers, numbers.dropFirst()).allSatisfy(<), "out of order")
    demand(numbers.allSatisfy { $0 <= batch.pageCount }, "a page behind the database's end")
    demand(
      Int64(batch.changed * batch.pageSize) <= Limits.transactionBytes, "more pages than allowed")
    try compareCopy(of: batch)
    guard let pages = pages(of: batch, checksSum: checksSum) else { return }
    demand(pages.map(\.number) == numbers, "other pages than it says")
    // A page that is what the base has is left out when it is encoded again.
    let kept = pages.filter { $0.number == 1 || $0.bytes != base($0.number, batch.pageSize) }
    let again = must("encoding pages") { try encoded(batch, pages) }
    let second = must("decoding what was encoded") {
      try again.withUnsafeBytes { try EncodedPageBatch($0).pagesOverBase }
    }
    demand(second == kept, "pages are decoded as others")
  }

  /// The same in parts: the batch's field behind its length, and the parts behind one another.
  static let pageParts = FuzzTarget(
    name: "page-parts", mostBytes: 4096,
    seeds: { golden in
      let seed = try golden.pageParts()
      return FuzzMode.combinations.map { [$0.rawValue] + seed }
    },
    run: { input in
      guard let (mode, content) = takeMode(input) else { return }
      refusable { try attackParts(content, checksSum: !mode.contains(.repairsChecksums)) }
    })

  private static func attackParts(_ content: UnsafeRawBufferPointer, checksSum: Bool) throws {
    var reader = ByteReader(content)
    let batch = try EncodedPageBatch(try reader.counted(), inParts: true)
    demand(batch.numbers.isEmpty && batch.parts.count <= Limits.partsPerTransaction, "its parts")
    try compareCopy(of: batch)
    var parts: [[UInt8]] = []
    while !reader.isAtEnd, parts.count <= batch.parts.count {
      let named = parts.count < batch.parts.count ? batch.parts[parts.count].bytes : 1
      parts.append(Array(try reader.take(min(named, reader.remaining))))
    }
    guard let pages = pages(of: batch, checksSum: checksSum, parts) else { return }
    let numbers = pages.map(\.number)
    demand(!checksSum || numbers.count == batch.changed, "it has not as many pages as it says")
    demand(
      numbers.allSatisfy { $0 > 0 && $0 <= batch.pageCount }
        && zip(numbers, numbers.dropFirst()).allSatisfy(<), "out of order")
    demand(!checksSum || parts.count == batch.parts.count, "it took another number of parts")
  }

  /// As a client has it in memory. It need not be the same bytes: numbers can be written longer than need be.
  private static func compareCopy(of batch: EncodedPageBatch) throws {
    var field = ByteWriter()
    batch.copied.encode(to: &field)
    try field.bytes.withUnsafeBytes { bytes in
      var reader = ByteReader(bytes)
      let isInParts = try reader.varint() == BatchField.parts
      let copy = try EncodedPageBatch(try reader.counted(), inParts: isInParts)
      demand(copy.parts == batch.parts, "a copy has other parts")
      demand(copy.base == batch.base && copy.turn == batch.turn, "a copy is of another state")
      demand(copy.numbers == batch.numbers, "a copy has other pages")
    }
  }
}

private struct FuzzedPage: Equatable {
  var number: UInt32
  var bytes: [UInt8]
}

private func base(_ number: UInt32, _ pageSize: Int) -> [UInt8] {
  [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: pageSize)
}

/// Nil where they cannot be had.
private func pages(
  of batch: EncodedPageBatch, checksSum: Bool, _ parts: [[UInt8]] = []
) -> [FuzzedPage]? {
  var pages: [FuzzedPage] = []
  do {
    try batch.forEachPage(
      checksSum: checksSum, checksParts: checksSum,
      part: { parts.indices.contains($0) ? parts[$0] : nil }
    ) { (number, page) throws(StoreError) in
      page.copyBytes(from: base(number, batch.pageSize))
    } _: { (number, page) throws(StoreError) in
      pages.append(FuzzedPage(number: number, bytes: Array(page)))
    }
  } catch {
    return nil
  }
  return pages
}

extension EncodedPageBatch {
  /// Nil where they cannot be had.
  fileprivate var pagesOverBase: [FuzzedPage]? { pages(of: self, checksSum: true) }
}

/// The same pages as a client encodes them.
private func encoded(_ batch: EncodedPageBatch, _ pages: [FuzzedPage]) throws -> [UInt8] {
  var encoder = PageBatchEncoder(
    base: batch.base, turn: batch.turn, pageSize: batch.pageSize, pageCount: batch.pageCount)
  for page in pages {
    let before = base(page.number, batch.pageSize)
    try page.bytes.withUnsafeBytes { bytes in
      try before.withUnsafeBytes { try encoder.add(page.number, bytes, over: $0) }
    }
  }
  var field = ByteWriter()
  try encoder.finish().encode(to: &field)
  return try field.bytes.withUnsafeBytes { bytes in
    var reader = ByteReader(bytes)
    _ = try reader.varint()
    return Array(try reader.counted())
  }
}
