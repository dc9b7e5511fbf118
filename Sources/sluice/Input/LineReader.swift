import SluiceShared

/// Reads an input line by line; holds one chunk and one line in memory.
struct LineReader: ~Copyable {
  private var text: InputText
  private let lineBytesLimit: Int
  private var buffer: [UInt8] = []
  /// What lies before it in `buffer` was handed out.
  private var start = 0
  /// The line that `next` returned last, from 1.
  private(set) var lineNumber = 0

  /// A line over `lineBytesLimit` is an error: JSON may write a batch at its limit twice as long.
  init(_ file: consuming InputFile, lineBytesLimit: Int = 2 * Limits.batchBytes) {
    text = InputText(file)
    self.lineBytesLimit = lineBytesLimit
  }

  private static let mostCopied = 1 << 20

  var name: String { text.name }

  /// The next line without its line feed, also the last one without any; nil at the end.
  mutating func next() throws(StoreError) -> [UInt8]? {
    var searched = start
    while true {
      if let end = buffer.firstIndex(of: UInt8(ascii: "\n"), in: searched..<buffer.count) {
        return try take(upTo: end, next: end + 1)
      }
      buffer.removeSubrange(..<start)
      start = 0
      searched = buffer.count
      try checkLimit(buffer.count)
      let chunk = try text.readChunk()
      if chunk.isEmpty {
        return buffer.isEmpty ? nil : try take(upTo: buffer.count, next: buffer.count)
      }
      // What grows by a part of itself takes twice as much for a moment.
      if buffer.count + chunk.count > buffer.capacity, buffer.count > LineReader.mostCopied {
        buffer.reserveCapacity(buffer.count + buffer.count / 4 + chunk.count)
      }
      buffer += chunk
    }
  }

  private mutating func take(upTo end: Int, next: Int) throws(StoreError) -> [UInt8] {
    try checkLimit(end - start)
    lineNumber += 1
    let rest = buffer.count - next
    guard start == 0, end > LineReader.mostCopied, rest < end else {
      defer { start = next }
      return Array(buffer[start..<end])
    }
    // A long line is handed out as it lies, and what is behind it is copied.
    var line = Array(buffer[next...])
    swap(&line, &buffer)
    line.removeLast(line.count - end)
    return line
  }

  private func checkLimit(_ count: Int) throws(StoreError) {
    guard count <= lineBytesLimit else {
      throw StoreError(
        input: name, line: lineNumber + 1,
        "the line is over \(lineBytesLimit) bytes; split the batch, a batch is one line")
    }
  }
}
