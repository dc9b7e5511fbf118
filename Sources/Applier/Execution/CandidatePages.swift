internal import SluiceShared

/// What must hold of the first page, and of the free pages, that an interactive transaction leaves.
///
/// What is wrong there would be in everybody's way: the applier's own bookkeeping takes free pages, and every
/// connection begins with page 1. What is wrong elsewhere damages what the transaction's maker may write anyway.
struct CandidatePages {
  /// Page 1 of the base.
  let base: [UInt8]
  /// Page 1 of the candidate.
  let first: [UInt8]
  let pageCount: UInt32
  /// Bytes of a page that SQLite uses.
  var usable: Int { base.count - Int(base[20]) }

  init(base: [UInt8], first: [UInt8], pageCount: UInt32) {
    self.base = base
    self.first = first
    self.pageCount = pageCount
  }

  // Places in page 1, as SQLite's file format has them.
  private static let size = 28
  private static let counter = 24
  private static let freeTrunk = 32
  private static let freeCount = 36
  private static let cookie = 40
  private static let vacuumedRoot = 52
  private static let incremental = 64
  private static let versionValidFor = 92
  private static let schema = 100

  private func number(_ place: Int) -> UInt32 { first.bigEndian32(at: place) }
  private func isKept(_ places: Range<Int>) -> Bool { first[places] == base[places] }

  /// Whether SQLite's other connections would see that something changed.
  var raisesCounter: Bool { number(Self.counter) > base.bigEndian32(at: Self.counter) }

  var changesCookie: Bool { !isKept(Self.cookie..<Self.cookie + 4) }
  var changesFirstPageOfSchema: Bool { !isKept(Self.schema..<base.count) }

  /// Why page 1 is none that the database can go on with; nil: it is.
  var objection: String? {
    // Magic, page size, how it is written and read (no WAL), reserved bytes, payload fractions.
    guard isKept(0..<Self.counter), first[18] == 1, first[19] == 1 else {
      return "page size, journal mode or reserved bytes are not what they were"
    }
    guard number(Self.size) == pageCount else {
      return "page 1 says \(number(Self.size)) pages, and there are \(pageCount)"
    }
    guard number(Self.versionValidFor) == number(Self.counter) else {
      return "page 1 was not written by this change"
    }
    guard isKept(56..<60), isKept(72..<92), (1...4).contains(number(44)) else {
      return "text encoding, schema format or reserved fields are not what they were"
    }
    guard (number(Self.vacuumedRoot) == 0) == (base.bigEndian32(at: Self.vacuumedRoot) == 0),
      isKept(Self.incremental..<Self.incremental + 4)
    else { return "auto_vacuum is not what it was; a batch with VACUUM changes it" }
    return nil
  }

  /// Why the list of free pages is none that can be taken from; nil: it is. `page` reads one, `isReserved`
  /// says of one that it is in use. `most`: pages of the base, and those that were changed. `seen`: takes the free
  /// pages.
  func objectionToFreePages(
    most: Int,
    _ page: (UInt32) throws(StoreError) -> [UInt8]?, _ seen: inout Set<UInt32>,
    isReserved: (UInt32) -> Bool
  ) throws(StoreError) -> String? {
    let count = number(Self.freeCount)
    var trunk = number(Self.freeTrunk)
    func isFree(_ number: UInt32) -> Bool {
      number > 1 && number <= pageCount && !isMap(number) && !isReserved(number)
        && number != DatabaseChecksum.lockBytePage(pageSize: base.count)
        && seen.insert(number).inserted
    }
    while trunk != 0, seen.count <= count {
      guard isFree(trunk), let bytes = try page(trunk) else {
        return "page \(trunk) cannot be free"
      }
      let leaves = Int(bytes.bigEndian32(at: 4))
      guard leaves <= usable / 4 - 2 else { return "page \(trunk) is no list of free pages" }
      for index in 0..<leaves {
        let leaf = bytes.bigEndian32(at: 8 + 4 * index)
        guard isFree(leaf) else { return "page \(leaf) cannot be free" }
      }
      trunk = bytes.bigEndian32(at: 0)
    }
    guard trunk == 0, seen.count == count else {
      return "page 1 says \(count) free pages, and there are \(seen.count)"
    }
    // What is new and not there was taken and freed again. (The lock-byte page is never there.)
    guard Int(pageCount) <= most + seen.count + 1 else {
      return "there are \(pageCount) pages, and most of the new ones are missing"
    }
    return nil
  }

  /// A page of pointers, where the database has auto_vacuum.
  func isMap(_ number: UInt32) -> Bool {
    guard base.bigEndian32(at: Self.vacuumedRoot) != 0 else { return false }
    return (number - 2) % UInt32(usable / 5 + 1) == 0
  }
}
