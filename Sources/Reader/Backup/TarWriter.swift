internal import SluiceShared

/// Writes a tar archive (POSIX ustar, IEEE Std 1003.1), entry by entry, as it is read from a pipe.
///
/// A size of 8 GiB and more stands in base 256, as GNU tar, bsdtar and busybox read it. Each entry, by its
/// 512-byte header:
///
///     0 100  name                        156   1  type: 0 file, 2 symbolic link, 5 directory
///   100   8  mode                        157 100  where a link leads
///   108   8  owner                       257   8  "ustar\0" "00"
///   116   8  group                       265  64  names of owner and group: empty
///   124  12  size                        329  16  device: zero
///   136  12  time, seconds since 1970    345 167  zero
///   148   8  sum of the header's bytes, these eight as blanks
///
/// Numbers are octal digits and a zero byte.
struct TarWriter {
  static let blockBytes = 512
  /// An archive is padded to this, as tar writes it.
  private static let recordBytes = 10240

  enum Kind: UInt8 {
    case file = 0x30
    case symbolicLink = 0x32
    case directory = 0x35
  }

  private let owner: UInt32
  private let group: UInt32
  private let time_s: Int64
  private let output: ([UInt8]) throws(StoreError) -> Void
  private(set) var written: Int64 = 0
  /// Bytes that the entry begun last still lacks.
  private var missing: Int64 = 0

  init(
    owner: UInt32, group: UInt32, time_s: Int64,
    _ output: @escaping ([UInt8]) throws(StoreError) -> Void
  ) {
    self.owner = owner
    self.group = group
    self.time_s = time_s
    self.output = output
  }

  mutating func directory(_ name: String, mode: UInt32) throws(StoreError) {
    try emit(header(name + "/", .directory, mode: mode, size: 0, target: ""))
  }

  mutating func symbolicLink(_ name: String, to target: String) throws(StoreError) {
    try emit(header(name, .symbolicLink, mode: 0o777, size: 0, target: target))
  }

  mutating func file(_ name: String, mode: UInt32, _ bytes: [UInt8]) throws(StoreError) {
    try begin(name, mode: mode, size: Int64(bytes.count))
    try append(bytes)
    try end()
  }

  /// Begins a file of `size` bytes, which `append` brings and `end` ends.
  mutating func begin(_ name: String, mode: UInt32, size: Int64) throws(StoreError) {
    precondition(missing == 0, "the entry before it has ended")
    try emit(header(name, .file, mode: mode, size: size, target: ""))
    missing = size
  }

  mutating func append(_ bytes: [UInt8]) throws(StoreError) {
    precondition(Int64(bytes.count) <= missing, "no more than the entry's size")
    try emit(bytes)
    missing -= Int64(bytes.count)
  }

  mutating func end() throws(StoreError) {
    precondition(missing == 0, "the entry has the size that it said")
    try pad(to: Self.blockBytes)
  }

  /// Ends the archive: two blocks of zeros, and more to a whole record.
  mutating func finish() throws(StoreError) {
    try emit([UInt8](repeating: 0, count: 2 * Self.blockBytes))
    try pad(to: Self.recordBytes)
  }

  private mutating func pad(to alignment: Int) throws(StoreError) {
    let rest = Int(written % Int64(alignment))
    if rest > 0 { try emit([UInt8](repeating: 0, count: alignment - rest)) }
  }

  private mutating func emit(_ bytes: [UInt8]) throws(StoreError) {
    try output(bytes)
    written += Int64(bytes.count)
  }

  private func header(_ name: String, _ kind: Kind, mode: UInt32, size: Int64, target: String)
    throws(StoreError) -> [UInt8]
  {
    guard name.utf8.count <= 100, target.utf8.count <= 100 else {
      throw StoreError(.limit, "a name in a tar archive has at most 100 bytes", path: name)
    }
    var block = [UInt8](repeating: 0, count: Self.blockBytes)
    func put(_ bytes: some Sequence<UInt8>, at offset: Int) {
      for (i, byte) in bytes.enumerated() { block[offset + i] = byte }
    }
    put(name.utf8, at: 0)
    put(Self.number(Int64(mode), digits: 7), at: 100)
    put(Self.number(Int64(owner), digits: 7), at: 108)
    put(Self.number(Int64(group), digits: 7), at: 116)
    put(Self.number(size, digits: 11), at: 124)
    put(Self.number(time_s, digits: 11), at: 136)
    put([UInt8](repeating: 0x20, count: 8), at: 148)
    block[156] = kind.rawValue
    put(target.utf8, at: 157)
    put("ustar\u{0}00".utf8, at: 257)
    let sum = block.reduce(0) { $0 + Int64($1) }
    put(Self.number(sum, digits: 6), at: 148)
    return block
  }

  /// Octal, with a zero byte behind; what is too large for that in base 256, the first bit set.
  private static func number(_ value: Int64, digits: Int) -> [UInt8] {
    if value >= 0, value < 1 << Int64(3 * digits) {
      let text = String(value, radix: 8)
      let zeros = [UInt8](repeating: 0x30, count: digits - text.utf8.count)
      return zeros + Array(text.utf8) + [0]
    }
    var bytes = [UInt8](repeating: 0, count: digits + 1)
    for i in 0..<min(8, digits + 1) {
      bytes[digits - i] = UInt8(truncatingIfNeeded: value >> Int64(8 * i))
    }
    bytes[0] = 0x80
    return bytes
  }
}
