internal import CSystem
internal import Glibc
internal import SluiceShared

/// One end of the socket between an applier and the process that executes its batches. Messages go
/// whole, one at a time in either direction.
///
///   u32 kind · u32 parts · u64 length of each part · the parts
///
/// Both ends are of the same program, so nothing of this is a format. The applier bounds what it takes
/// all the same: the other end has executed strangers' SQL.
final class Channel {
  struct Message {
    var kind: UInt32
    var parts: [[UInt8]]
  }

  let descriptor: Int32

  static let mostParts: UInt32 = 4096
  static let mostPartBytes: UInt64 = 1 << 30
  /// Whoever waits is asked this often whether to go on, in milliseconds: as often as hints are taken meanwhile.
  private static let tick = Int32(Limits.hearingPause.wholeMilliseconds)

  /// Takes over a connected socket.
  init(owning descriptor: Int32) {
    self.descriptor = descriptor
    // What is sent at once is taken at once, mostly.
    var bytes = Int32(1 << 20)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL, 0) | O_NONBLOCK)
  }

  deinit { close(descriptor) }

  // MARK: sending

  /// What is this short goes with one call.
  private static let together = 256 << 10

  func send(_ message: Message, _ whileWaiting: () throws(WorkerEnd) -> Void = {})
    throws(WorkerEnd)
  {
    var head = ByteWriter(reserving: 8 + 8 * message.parts.count)
    head.append(message.kind)
    head.append(UInt32(message.parts.count))
    for part in message.parts { head.append(UInt64(part.count)) }
    let length = message.parts.reduce(head.count) { $0 + $1.count }
    if length <= Channel.together {
      for part in message.parts { head.append(raw: part) }
      return try send(head.bytes, whileWaiting)
    }
    try send(head.bytes, whileWaiting)
    for part in message.parts { try send(part, whileWaiting) }
  }

  private func send(_ bytes: [UInt8], _ whileWaiting: () throws(WorkerEnd) -> Void)
    throws(WorkerEnd)
  {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.send(
          descriptor, $0.baseAddress.map { $0 + done }, bytes.count - done,
          Int32(MSG_NOSIGNAL))
      }
      if count >= 0 {
        done += count
      } else if errno == EAGAIN {
        while !waitOnce(for: Int16(POLLOUT)) { try whileWaiting() }
      } else if errno != EINTR {
        throw .ended(.nothing, "cannot be reached: \(String(cString: strerror(errno)))")
      }
    }
  }

  func sendDescriptor(_ descriptor: Int32) -> Bool {
    while true {
      let code = csystem_send_descriptor(self.descriptor, descriptor)
      guard code == -EAGAIN else { return code == 0 }
      waitOnce(for: Int16(POLLOUT))
    }
  }

  // MARK: receiving

  /// What was read from the socket and not yet taken.
  private var buffer: [UInt8] = []
  private var taken = 0

  /// Whether a message has come, or its beginning, or the other end is gone.
  var hasNews: Bool {
    guard taken == buffer.count else { return true }
    var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&entry, 1, 0) > 0
  }

  /// A message of more bytes is announced before memory is taken for it.
  static let large: UInt64 = 16 << 20

  /// The next message; throws where the other end is gone.
  func receive(
    beforeLarge: () -> Void = {}, _ whileWaiting: () throws(WorkerEnd) -> Void = {}
  ) throws(WorkerEnd) -> Message {
    let head = try receive(8, whileWaiting)
    let (kind, count) = head.withUnsafeBytes {
      ($0.loadUnaligned(as: UInt32.self), $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
    }
    guard count <= Channel.mostParts else { throw .ended(.nothing, "sent no message") }
    let lengths = try receive(8 * Int(count), whileWaiting)
    let each = lengths.withUnsafeBytes { raw in
      (0..<Int(count)).map { raw.loadUnaligned(fromByteOffset: 8 * $0, as: UInt64.self) }
    }
    guard each.allSatisfy({ $0 <= Channel.mostPartBytes }) else {
      throw .ended(.nothing, "sent no message")
    }
    if each.reduce(0, +) > Channel.large { beforeLarge() }
    var parts: [[UInt8]] = []
    for length in each {
      parts.append(try receive(Int(length), whileWaiting))
    }
    return Message(kind: kind, parts: parts)
  }

  private func receive(_ count: Int, _ whileWaiting: () throws(WorkerEnd) -> Void)
    throws(WorkerEnd) -> [UInt8]
  {
    if buffer.count - taken < count, count < Channel.together {
      buffer.removeFirst(taken)
      taken = 0
      while buffer.count < count {
        let more = try received(Channel.together, whileWaiting)
        buffer.append(contentsOf: more)
      }
    }
    let ready = min(count, buffer.count - taken)
    var bytes = Array(buffer[taken..<taken + ready])
    taken += ready
    bytes.reserveCapacity(count)
    while bytes.count < count {
      bytes.append(contentsOf: try received(min(count - bytes.count, 1 << 20), whileWaiting))
    }
    return bytes
  }

  /// What has come, at least one byte and at most `count`.
  private func received(_ count: Int, _ whileWaiting: () throws(WorkerEnd) -> Void)
    throws(WorkerEnd) -> [UInt8]
  {
    while true {
      var code: Int32 = 0
      let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        let part = recv(descriptor, buffer.baseAddress, count, 0)
        code = part < 0 ? errno : 0
        filled = max(0, part)
      }
      if !bytes.isEmpty { return bytes }
      switch code {
      case 0: throw .ended(.nothing, "closed its end")
      case EAGAIN: while !waitOnce(for: Int16(POLLIN)) { try whileWaiting() }
      case EINTR: continue
      default: throw .ended(.nothing, "cannot be reached: \(String(cString: strerror(code)))")
      }
    }
  }

  /// The descriptor that was passed; nil where none was.
  func receiveDescriptor(_ whileWaiting: () throws(WorkerEnd) -> Void) throws(WorkerEnd) -> Int32? {
    while true {
      let code = csystem_receive_descriptor(descriptor)
      guard code == -EAGAIN else { return code >= 0 ? code : nil }
      while !waitOnce(for: Int16(POLLIN)) { try whileWaiting() }
    }
  }

  /// False where nothing happened for a tick.
  @discardableResult
  private func waitOnce(for events: Int16) -> Bool {
    var entry = pollfd(fd: descriptor, events: events, revents: 0)
    return poll(&entry, 1, Channel.tick) > 0
  }
}
