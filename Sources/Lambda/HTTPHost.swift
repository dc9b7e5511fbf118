internal import Glibc
internal import SluiceShared

/// A host that is asked by HTTP/1.1, one connection for each request: one that was kept could have died while this
/// process was frozen.
struct HTTPHost: Sendable {
  private let name: String
  private let port: String

  init(_ address: String) throws(StoreError) {
    let parts = address.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty, UInt16(parts[1]) != nil else {
      throw StoreError(
        .invalid, "AWS_LAMBDA_RUNTIME_API is `\(address)`, not HOST:PORT; Lambda sets it")
    }
    name = String(parts[0])
    port = String(parts[1])
  }

  /// Sends a request and waits for the whole response, without end.
  func exchange(
    _ method: String, _ path: String, _ body: [UInt8] = []
  ) throws(StoreError) -> HTTPResponse {
    let connection = try connect()
    defer { close(connection) }
    let head = """
      \(method) \(path) HTTP/1.1\r
      Host: \(name):\(port)\r
      Content-Type: application/json\r
      Content-Length: \(body.count)\r
      Connection: close\r
      \r

      """
    try send(Array(head.utf8) + body, connection)
    return try HTTPResponse { (buffer) throws(StoreError) in
      while true {
        let count = recv(connection, buffer.baseAddress, buffer.count, 0)
        if count >= 0 { return count }
        guard errno == EINTR else { throw failure("receiving") }
      }
    }
  }

  private func connect() throws(StoreError) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var found: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(name, port, &hints, &found) == 0, let address = found else {
      throw StoreError(.io, "the host of Lambda's API, \(name), is not found")
    }
    defer { freeaddrinfo(address) }
    let connection = socket(
      address.pointee.ai_family, hints.ai_socktype | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard connection >= 0 else { throw failure("a socket for") }
    guard Glibc.connect(connection, address.pointee.ai_addr, address.pointee.ai_addrlen) == 0
    else {
      let error = failure("connecting to")
      close(connection)
      throw error
    }
    return connection
  }

  private func send(_ bytes: [UInt8], _ connection: Int32) throws(StoreError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if count > 0 {
        rest = rest.dropFirst(count)
      } else if errno != EINTR {
        throw failure("sending to")
      }
    }
  }

  private func failure(_ what: String) -> StoreError {
    let code = errno
    return StoreError(
      .io, "\(what) Lambda's API at \(name):\(port) failed: \(String(cString: strerror(code)))",
      errno: code)
  }
}
