/// What a page of SQLite's refers to, read from its bytes alone.
///
/// The bytes may be anything: what lies outside of the page, or can be no number of a page, is passed over.
struct BTreePage {
  struct Link: Hashable {
    var page: UInt32
    /// It goes on with a value that did not fit, and is no page of the tree.
    var isOverflow: Bool
  }

  let bytes: [UInt8]
  /// Bytes of it that SQLite uses.
  private let usable: Int
  /// Page 1 has the database's header before its own.
  let start: Int

  init(_ bytes: [UInt8], number: UInt32, usable: Int) {
    self.bytes = bytes
    self.usable = usable
    start = number == 1 ? 100 : 0
  }

  /// The pages that a page of a tree refers to.
  var links: [Link] {
    guard let kind else { return [] }
    let pointers = start + (kind.isInterior ? 12 : 8)
    var links: [Link] = []
    for cell in 0..<integer16(start + 3) {
      let place = integer16(pointers + 2 * cell)
      if kind.isInterior { links.append(Link(page: integer32(place), isOverflow: false)) }
      if kind != .tableInterior, let page = overflow(of: place, kind) {
        links.append(Link(page: page, isOverflow: true))
      }
    }
    if kind.isInterior { links.append(Link(page: integer32(start + 8), isOverflow: false)) }
    return links.filter { $0.page > 0 }
  }

  /// Whether it looks like a page of a tree. (The first byte of a page of overflow is that of a page's number, which
  /// is as large in databases of 2²⁵ pages and more only.)
  var isOfTree: Bool { kind != nil }

  /// nil: it is no page of a tree.
  var kind: Kind? { Kind(rawValue: bytes[start]) }

  /// The page behind this one of a value's overflow.
  var overflowLinks: [Link] {
    let next = integer32(0)
    return next > 0 ? [Link(page: next, isOverflow: true)] : []
  }

  enum Kind: UInt8 {
    case indexInterior = 2
    case tableInterior = 5
    case indexLeaf = 10
    case tableLeaf = 13

    var isInterior: Bool { self == .indexInterior || self == .tableInterior }
    var isOfTable: Bool { self == .tableInterior || self == .tableLeaf }
  }

  /// The first overflow page of the cell at `place`; nil where all of it is here.
  func overflow(of place: Int, _ kind: Kind) -> UInt32? {
    var place = place + (kind.isInterior ? 4 : 0)
    guard let payload = varint(&place) else { return nil }
    if kind == .tableLeaf, varint(&place) == nil { return nil }
    let most = kind == .tableLeaf ? usable - 35 : (usable - 12) * 64 / 255 - 23
    guard payload > most else { return nil }
    let least = (usable - 12) * 32 / 255 - 23
    let fitting = least + (payload - least) % (usable - 4)
    return integer32(place + (fitting <= most ? fitting : least))
  }

  func integer16(_ place: Int) -> Int {
    guard place >= 0, place + 2 <= bytes.count else { return 0 }
    return Int(bytes[place]) << 8 | Int(bytes[place + 1])
  }

  func integer32(_ place: Int) -> UInt32 {
    guard place >= 0, place + 4 <= bytes.count else { return 0 }
    return bytes.bigEndian32(at: place)
  }

  /// As `number`, of what is no rowid: over 2³¹ only the lower bits.
  private func varint(_ place: inout Int) -> Int? {
    number(&place).map { Int(truncatingIfNeeded: $0 & 0x7FFF_FFFF) }
  }

  /// SQLite's own: big-endian, seven bits a byte, nine bytes at most. nil: outside of the page.
  func number(_ place: inout Int) -> UInt64? {
    var value: UInt64 = 0
    for index in 0..<9 {
      guard place >= 0, place < bytes.count else { return nil }
      let byte = UInt64(bytes[place])
      place += 1
      if index == 8 { return value << 8 | byte }
      value = value << 7 | byte & 0x7F
      if byte < 0x80 { break }
    }
    return value
  }
}

extension [UInt8] {
  func bigEndian32(at place: Int) -> UInt32 {
    UInt32(self[place]) << 24 | UInt32(self[place + 1]) << 16 | UInt32(self[place + 2]) << 8
      | UInt32(self[place + 3])
  }
}
