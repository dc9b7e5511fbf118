import SluiceShared

/// The text of an input in UTF-8: UTF-16 is converted, and what is no text at all is named, with what
/// to do with it.
struct InputText: ~Copyable {
  private enum Encoding { case utf8, utf16LittleEndian, utf16BigEndian }

  private let file: InputFile
  /// Known when the first bytes were seen.
  private var encoding: Encoding?
  /// Read, and not a whole character yet.
  private var rest: [UInt8] = []
  private var decodedBytes: Int64 = 0
  private var isAtEnd = false

  init(_ file: consuming InputFile) { self.file = file }

  var name: String { file.name }

  /// The next part of the text; empty at the end. Throws `.invalid` for what is no text.
  mutating func readChunk() throws(StoreError) -> [UInt8] {
    while true {
      let chunk = try file.readChunk()
      isAtEnd = chunk.isEmpty
      rest += chunk
      if encoding == nil {
        guard isAtEnd || !isUndecided else { continue }
        encoding = try recognize()
      }
      let text = try takeText()
      if isAtEnd || !text.isEmpty { return text }
    }
  }

  private mutating func takeText() throws(StoreError) -> [UInt8] {
    guard encoding == .utf8 else { return try decodeUTF16() }
    defer { rest = [] }
    return rest
  }

  // MARK: What it is

  private static let utf16Marks: [([UInt8], Encoding)] = [
    ([0xFF, 0xFE], .utf16LittleEndian), ([0xFE, 0xFF], .utf16BigEndian),
  ]
  private static let utf32Marks: [[UInt8]] = [[0xFF, 0xFE, 0, 0], [0, 0, 0xFE, 0xFF]]
  private static let database = Array("SQLite format 3\0".utf8)
  /// Whether the first four bytes are 0 in UTF-16 without a mark, of what begins with ASCII. No text in
  /// UTF-8 has such bytes.
  private static let utf16Zeros: [([Bool], Encoding)] = [
    ([false, true, false, true], .utf16LittleEndian),
    ([true, false, true, false], .utf16BigEndian),
  ]

  /// How compressed files begin, and what unpacks them.
  private static let compressed: [(signature: [UInt8], name: String, unpacking: String)] = [
    ([0x1F, 0x8B], "gzip", "gunzip -c"), (Array("BZh".utf8), "bzip2", "bunzip2 -c"),
    ([0xFD, 0x37, 0x7A, 0x58, 0x5A, 0x00], "xz", "unxz -c"),
    ([0x28, 0xB5, 0x2F, 0xFD], "zstd", "unzstd -c"),
    ([0x50, 0x4B, 0x03, 0x04], "zip", "unzip -p"),
  ]

  /// Too little was read to tell. Nobody who writes line by line waits for more than that.
  private var isUndecided: Bool {
    let signatures =
      InputText.utf16Marks.map(\.0) + InputText.utf32Marks + InputText.compressed.map(\.signature)
      + [InputText.database]
    return signatures.contains { rest.count < $0.count && $0.starts(with: rest) }
      || InputText.utf16Zeros.contains {
        rest.count < $0.0.count && $0.0.starts(with: rest.map { $0 == 0 })
      }
  }

  private func recognize() throws(StoreError) -> Encoding {
    if rest.starts(with: InputText.database) {
      throw error(
        "this is an SQLite database and no text; make a store of it with `sluice init STORE --from "
          + "\(fileName)`, or submit its dump: `sqlite3 \(fileName) .dump | sluice submit STORE --sql -`"
      )
    }
    for (signature, name, unpacking) in InputText.compressed where rest.starts(with: signature) {
      throw error(
        "this is compressed (\(name)); unpack it on the way: `\(unpacking) \(fileName) | sluice "
          + "submit STORE …`, with - in place of the file")
    }
    if InputText.utf32Marks.contains(where: { rest.starts(with: $0) }) {
      throw error("this is UTF-32; convert it: `iconv -f UTF-32 -t UTF-8 \(fileName)`")
    }
    for (mark, encoding) in InputText.utf16Marks where rest.starts(with: mark) { return encoding }
    let zeros = rest.prefix(4).map { $0 == 0 }
    return InputText.utf16Zeros.first { $0.0 == zeros }?.1 ?? .utf8
  }

  private var fileName: String { name == InputFile.standardInput ? "FILE" : name }

  private func error(_ message: String) -> StoreError {
    StoreError(.invalid, "\(name): \(message)")
  }

  // MARK: UTF-16

  private mutating func decodeUTF16() throws(StoreError) -> [UInt8] {
    let high = encoding == .utf16BigEndian ? 0 : 1
    var text: [UInt8] = []
    text.reserveCapacity(rest.count)
    var position = 0
    func unit(at position: Int) -> UInt16? {
      guard position + 1 < rest.count else { return nil }
      return UInt16(rest[position + high]) << 8 | UInt16(rest[position + 1 - high])
    }
    while let first = unit(at: position) {
      var scalar = UInt32(first)
      var length = 2
      if UTF16.isLeadSurrogate(first) {
        guard let second = unit(at: position + 2) else { break }
        guard UTF16.isTrailSurrogate(second) else { throw notUTF16(position) }
        scalar = 0x10000 + (UInt32(first) - 0xD800) << 10 + (UInt32(second) - 0xDC00)
        length = 4
      }
      guard let character = Unicode.Scalar(scalar) else { throw notUTF16(position) }
      text.append(contentsOf: UTF8.encode(character).map { Array($0) } ?? [])
      position += length
    }
    guard !isAtEnd || position == rest.count else { throw notUTF16(position) }
    decodedBytes += Int64(position)
    rest.removeFirst(position)
    return text
  }

  private func notUTF16(_ position: Int) -> StoreError {
    error(
      "this begins as UTF-16, and at byte \(decodedBytes + Int64(position)) it is none; convert it "
        + "to UTF-8, with iconv for example")
  }
}
