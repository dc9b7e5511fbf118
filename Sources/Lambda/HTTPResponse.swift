internal import SluiceShared

/// A response of HTTP/1.1: as long as it says, in chunks, or to the connection's end.
struct HTTPResponse {
  var status: Int
  /// By names in small letters; of several with one name the last.
  var headers: [String: String]
  var body: [UInt8]

  /// Reads one. `receive` fills a buffer and returns how many bytes came; 0 at the end.
  init(
    _ receive: (UnsafeMutableRawBufferPointer) throws(StoreError) -> Int
  ) throws(StoreError) {
    var input = Input()
    let lines = try input.head(receive)
    let words = lines[0].split(separator: " ")
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), let status = Int(words[1]) else {
      throw HTTPResponse.malformed
    }
    self.status = status
    headers = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { throw HTTPResponse.malformed }
      let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
      headers[line[..<colon].lowercased()] = String(value)
    }
    if headers["transfer-encoding"]?.lowercased() == "chunked" {
      body = []
      while true {
        let line = try input.line(receive)
        // What follows a semicolon nobody here knows.
        guard let size = Int(line.prefix { $0 != ";" && $0 != " " }, radix: 16), size >= 0 else {
          throw HTTPResponse.malformed
        }
        guard size > 0 else { break }
        body += try input.bytes(size, receive)
        guard try input.line(receive).isEmpty else { throw HTTPResponse.malformed }
      }
    } else if let length = headers["content-length"] {
      guard let count = Int(length), count >= 0 else { throw HTTPResponse.malformed }
      body = try input.bytes(count, receive)
    } else {
      body = try input.all(receive)
    }
  }

  private static let malformed = StoreError(
    .io, "Lambda's API answers with what is no HTTP; end this environment")

  /// What came and is not taken yet.
  private struct Input {
    private var bytes: [UInt8] = []

    /// Receives more; false at the end.
    private mutating func grow(
      _ receive: (UnsafeMutableRawBufferPointer) throws(StoreError) -> Int
    ) throws(StoreError) -> Bool {
      var part = [UInt8](repeating: 0, count: 64 << 10)
      var received: Result<Int, StoreError> = .success(0)
      part.withUnsafeMutableBytes { buffer in
        do throws(StoreError) { received = .success(try receive(buffer)) } catch {
          received = .failure(error)
        }
      }
      let count = try received.get()
      bytes += part[..<count]
      guard bytes.count <= Limits.functionEventBytes + part.count else {
        throw StoreError(
          .limit, "the event has more than \(Limits.functionEventBytes) bytes; send less at a time")
      }
      return count > 0
    }

    mutating func head(
      _ receive: (UnsafeMutableRawBufferPointer) throws(StoreError) -> Int
    ) throws(StoreError) -> [String] {
      var lines: [String] = []
      while true {
        let line = try line(receive)
        if line.isEmpty, !lines.isEmpty { return lines }
        lines.append(line)
      }
    }

    mutating func line(
      _ receive: (UnsafeMutableRawBufferPointer) throws(StoreError) -> Int
    ) throws(StoreError) -> String {
      while true {
        if let end = bytes.firstIndex(of: UInt8(ascii: "\n")) {
          var line = bytes[..<end]
          if line.last == UInt8(ascii: "\r") { line.removeLast() }
          bytes.removeFirst(end + 1)
          return String(decoding: line, as: UTF8.self)
        }
        guard try grow(receive) else { throw HTTPResponse.malformed }
      }
    }

    mutating func bytes(
      _ count: Int, _ receive: (UnsafeMutableRawBufferPointer) throws(StoreError) -> Int
    ) throws(StoreError) -> [UInt8] {
      while bytes.count < count {
        guard try grow(receive) else { throw HTTPResponse.malformed }
      }
      defer { bytes.removeFirst(count) }
      return Array(bytes.prefix(count))
    }

    mutating func all(
      _ receive: (UnsafeMutableRawBufferPointer) throws(StoreError) -> Int
    ) throws(StoreError) -> [UInt8] {
      while try grow(receive) {}
      return bytes
    }
  }
}
