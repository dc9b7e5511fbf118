internal import Glibc

/// A process that this one asks over a socket. The descriptor of its end is its last argument; it ends when this one's
/// end does.
package final class AnsweringProcess {
  package let descriptor: Int32
  private let child: ChildProcess

  package init(
    _ name: String, _ executable: String, _ arguments: [String], output: String, log: String
  ) throws(RunError) {
    var pair: [Int32] = [0, 0]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &pair) == 0 else {
      throw RunError("no socket for two processes")
    }
    // The child has the other end, and not this one.
    _ = fcntl(pair[0], F_SETFD, FD_CLOEXEC)
    descriptor = pair[0]
    defer { close(pair[1]) }
    child = try ChildProcess(
      name, executable, arguments + ["\(pair[1])"], output: output, log: log)
  }

  package func end(atMost limit: Duration) throws {
    close(descriptor)
    try child.expectSuccess(atMost: limit)
  }
}
