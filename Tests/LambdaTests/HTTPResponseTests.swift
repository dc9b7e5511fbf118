import SluiceShared
import Testing

@testable import SluiceLambda

@Suite("A response of Lambda's API is read as it was sent, however it is cut")
struct HTTPResponseTests {
  private static let event = #"{"statements": [["SELECT 1"]]}"#

  private static let forms: [String: String] = [
    "its length":
      "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id:  7\r\nContent-Length: 30\r\n\r\n\(event)",
    "chunks":
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nLAMBDA-RUNTIME-AWS-REQUEST-ID: 7\r\n\r\n"
      + "a;x=1\r\n\(event.prefix(10))\r\n14 \r\n\(event.dropFirst(10))\r\n0\r\n\r\n",
    "the connection's end": "HTTP/1.0 200 OK\nlambda-runtime-aws-request-id: 7\n\n\(event)",
  ]

  /// The bytes, so many at a time, then the end.
  private func read(_ bytes: some Sequence<UInt8>, by size: Int) throws(StoreError) -> HTTPResponse
  {
    var rest = Array(bytes)[...]
    return try HTTPResponse { (buffer) throws(StoreError) in
      let part = rest.prefix(min(size, buffer.count))
      buffer.copyBytes(from: part)
      rest = rest.dropFirst(part.count)
      return part.count
    }
  }

  @Test(arguments: forms.keys.sorted())
  func inParts(form: String) throws {
    let text = try #require(Self.forms[form])
    for size in 1...text.utf8.count {
      let response = try read(text.utf8, by: size)
      #expect(response.status == 200)
      #expect(response.headers["lambda-runtime-aws-request-id"] == "7")
      #expect(String(decoding: response.body, as: UTF8.self) == Self.event, "\(size) at a time")
    }
  }

  @Test("What is cut off is no event", arguments: ["its length", "chunks"])
  func cutOff(form: String) throws {
    let text = try #require(Self.forms[form])
    // Of chunks the last one says that all is there; the line behind it says nothing more.
    let whole = form == "chunks" ? text.utf8.count - 2 : text.utf8.count
    for length in 0..<whole {
      #expect(throws: StoreError.self, "\(length) bytes") {
        try read(text.utf8.prefix(length), by: 1 << 20)
      }
    }
  }

  @Test(
    "What is no HTTP is refused",
    arguments: [
      "", "\r\n\r\n", "HTTP/1.1\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
      "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
    ])
  func malformed(text: String) {
    #expect(throws: StoreError.self) { try read(text.utf8, by: 7) }
  }

  @Test("More than an event may have is refused while it comes")
  func tooLarge() {
    var sent = 0
    let error = #expect(throws: StoreError.self) {
      try HTTPResponse { (buffer) throws(StoreError) in
        sent += buffer.count
        let head = sent == buffer.count ? "HTTP/1.1 200 OK\r\n\r\n" : ""
        buffer.copyBytes(
          from: Array(head.utf8) + [UInt8](repeating: 32, count: buffer.count - head.utf8.count))
        return buffer.count
      }
    }
    #expect(error?.code == .limit)
    #expect(sent <= Limits.functionEventBytes + (1 << 20))
  }

  @Test("The API's address", arguments: ["", "localhost", ":9001", "a:b", "a:1:2", "a:70000"])
  func address(text: String) {
    let error = #expect(throws: StoreError.self) { try RuntimeAPI(address: text) }
    #expect(error?.message.contains("AWS_LAMBDA_RUNTIME_API") == true)
  }
}
