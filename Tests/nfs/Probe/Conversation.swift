import BenchmarkSupport
import Glibc
import SluiceShared

/// A connection between two hosts: one asks, with a byte, and the other answers.
final class Conversation {
  /// As it is sent, in the order of bytes that both hosts have.
  struct Answer {
    var took_us: UInt64
    var snapshot: UInt64
  }

  private let descriptor: Int32

  /// Connects to `address`, such as 10.0.0.1:7500, where somebody listens within ten seconds.
  init(to address: String) throws {
    let deadline = SystemClock().elapsed() + .seconds(10)
    while true {
      let descriptor = try Conversation.socket()
      let connected = try Conversation.withAddress(address) { connect(descriptor, $0, $1) }
      if connected == 0 {
        self.descriptor = descriptor
        return
      }
      close(descriptor)
      guard SystemClock().elapsed() < deadline else {
        throw RunError("nobody answers at \(address)")
      }
      SystemClock().sleep(.milliseconds(50))
    }
  }

  /// Waits at `address` for one who connects.
  init(at address: String) throws {
    let listening = try Conversation.socket()
    defer { close(listening) }
    let bound = try Conversation.withAddress(address) { bind(listening, $0, $1) }
    guard bound == 0, listen(listening, 1) == 0 else {
      throw RunError("\(address) cannot be listened at: \(String(cString: strerror(errno)))")
    }
    descriptor = accept(listening, nil, nil)
    guard descriptor >= 0 else { throw RunError("nobody came to \(address)") }
  }

  deinit { close(descriptor) }

  func ask() throws -> Answer {
    var byte: UInt8 = 1
    var answer = Answer(took_us: 0, snapshot: 0)
    let size = MemoryLayout<Answer>.size
    guard write(descriptor, &byte, 1) == 1,
      recv(descriptor, &answer, size, Int32(MSG_WAITALL)) == size
    else { throw RunError("the host that reads is gone") }
    return answer
  }

  /// Until the other one is gone.
  func answer(_ body: () throws -> Answer) throws {
    var byte: UInt8 = 0
    while read(descriptor, &byte, 1) == 1 {
      var answer = try body()
      let size = MemoryLayout<Answer>.size
      guard write(descriptor, &answer, size) == size else { return }
    }
  }

  private static func socket() throws -> Int32 {
    let descriptor = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw RunError("no socket") }
    var on: Int32 = 1
    // A byte is not to wait for more of them.
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, 4)
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, 4)
    return descriptor
  }

  private static func withAddress(
    _ text: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws -> Int32 {
    let parts = text.split(separator: ":").map(String.init)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    guard parts.count == 2, let port = UInt16(parts[1]),
      inet_pton(AF_INET, parts[0], &address.sin_addr) == 1
    else { throw RunError("\(text) is no address like 10.0.0.1:7500") }
    address.sin_port = port.bigEndian
    let size = socklen_t(MemoryLayout<sockaddr_in>.size)
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
    }
  }
}
