import SluiceFakes
import SluiceShared
import Testing

/// A file server with two client machines, and a process on each.
struct Network {
  static let directory = "/s"
  static let path = "/s/file"

  let disk: MemoryDisk
  let clock = ManualClock()
  let hosts: [MemoryHost]
  let mine: MemoryFileSystem
  let theirs: MemoryFileSystem

  init(
    seed: UInt64 = 1, kind: MemoryHost.Kind = .network, disk: MemoryDisk = MemoryDisk(),
    hook: FileHook? = nil
  ) {
    self.disk = disk
    let clock = clock
    hosts = (0..<2).map {
      MemoryHost(disk, clock: clock, random: SeededRandom(seed: seed * 2 + $0), kind: kind)
    }
    mine = MemoryFileSystem(disk, clock: clock, client: 1, host: hosts[0], hook: hook)
    theirs = MemoryFileSystem(disk, clock: clock, client: 2, host: hosts[1])
    mine.makeDirectories([Network.directory])
  }

  /// Another process on the first machine.
  func neighbour(client: UInt64 = 3, isReadOnly: Bool = false) -> MemoryFileSystem {
    MemoryFileSystem(disk, clock: clock, client: client, host: hosts[0], isReadOnly: isReadOnly)
  }

  /// Seconds until `condition` holds, in steps of a tenth; nil: not within `limit`.
  func seconds(atMost limit: Int, until condition: () throws -> Bool) rethrows -> Double? {
    for tenth in 0...limit * 10 {
      if try condition() { return Double(tenth) / 10 }
      clock.advance(by: .milliseconds(100))
    }
    return nil
  }

  /// How long it took with each of many seeds.
  static func seconds(
    atMost limit: Int = 100, _ body: (Network) throws -> () throws -> Bool
  ) throws -> [Double] {
    try (1...40 as ClosedRange<UInt64>).map { seed in
      let network = Network(seed: seed)
      let condition = try body(network)
      return try #require(try network.seconds(atMost: limit, until: condition))
    }
  }
}

extension FileSystem {
  /// Makes a file durable.
  func put(_ content: [UInt8], at path: String = Network.path) throws {
    let file = try create(path, mode: 0o644)
    try file.write(content, at: 0)
    try file.sync()
  }

  /// Rewrites a file durably, from its beginning.
  func change(_ content: [UInt8], at path: String = Network.path) throws {
    let file = try open(path, .write)
    try file.write(content, at: 0)
    try file.sync()
  }

  func content(_ access: FileAccess, at path: String = Network.path) throws -> [UInt8] {
    try open(path, access).read(1 << 20, at: 0)
  }

  func has(_ path: String) -> Bool { (try? status(path)) != nil }
}

func errno(_ body: () throws -> Void) -> Int32? {
  do {
    try body()
    return nil
  } catch {
    return (error as? StoreError)?.errno
  }
}

func block(_ byte: UInt8) -> [UInt8] { [UInt8](repeating: byte, count: 4096) }

/// Content as text: each byte with how often it follows itself.
func runs(_ bytes: [UInt8]?) -> String {
  guard let bytes else { return "none" }
  var runs: [(byte: UInt8, count: Int)] = []
  for byte in bytes {
    if runs.last?.byte == byte { runs[runs.count - 1].count += 1 } else { runs.append((byte, 1)) }
  }
  return runs.map { "\($0.byte)×\($0.count)" }.joined(separator: " ")
}

/// Content of whole blocks, as text.
func blocks(_ bytes: UInt8...) -> String { runs(bytes.flatMap { block($0) }) }
