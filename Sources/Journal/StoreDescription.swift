public import SluiceShared

/// `store.json`: what a store is. Written by `init`; everybody who opens the store reads it first.
public struct StoreDescription: Hashable, Sendable {
  public var id: StoreID
  /// Bytes of a database page: a power of two from 512 to 65536.
  /// That the database began with; each state has its own.
  public var pageSize: Int
  /// Who elects the applier; recorded so that two kinds never fight.
  public var lease: LeaseKind
  public var foreignKeys: Bool
  /// Who may commit interactive transactions.
  public var transactions = TransactionRight.all
  /// What each applier loads into its SQLite, in this order.
  public var extensions: [Extension] = []
  /// Members that this version does not know: who replaces `store.json` keeps them.
  package var others: [String: JSON] = [:]
  /// Batches that were lost, and that a repair gave up: no snapshot holds them, whatever its TxID. Ascending.
  package var lost: [ClosedRange<TxID>] = []

  /// A loadable extension of SQLite: its file lies in `extensions/`, named by its content.
  public struct Extension: Hashable, Sendable {
    /// What people call it: the file's name without directory and suffix.
    public var name: String
    /// SHA-256 of the file, 64 hexadecimal digits in lower case.
    public var sha256: String

    /// nil where one of the two cannot be meant.
    public init?(name: String, sha256: String) {
      let isName = (1...100).contains(name.utf8.count) && !name.contains("/")
      let isHash =
        sha256.utf8.count == 64
        && sha256.utf8.allSatisfy { (48...57).contains($0) || (97...102).contains($0) }
      guard isName, isHash else { return nil }
      self.name = name
      self.sha256 = sha256
    }
  }

  public enum LeaseKind: Hashable, Sendable, CustomStringConvertible {
    case file
    case dynamodb(table: String)

    public var description: String {
      switch self {
      case .file: "file"
      case .dynamodb(let table): "dynamodb:\(table)"
      }
    }

    public init?(_ text: String) {
      if text == "file" {
        self = .file
      } else if text.hasPrefix("dynamodb:"), text.count > 9 {
        self = .dynamodb(table: String(text.dropFirst(9)))
      } else {
        return nil
      }
    }
  }

  package init(
    id: StoreID, pageSize: Int, lease: LeaseKind, foreignKeys: Bool, extensions: [Extension] = []
  ) {
    self.id = id
    self.pageSize = pageSize
    self.lease = lease
    self.foreignKeys = foreignKeys
    self.extensions = extensions
  }

  /// From the copy that a checkpoint has of `store.json`; nil where it has none.
  package init?(copied text: String) {
    let copy = Array(text.utf8).withUnsafeBytes { try? StoreDescription(decoding: $0) }
    guard let copy else { return nil }
    self = copy
  }

  /// Whether `bytes` are what this version, or one before it, writes.
  package func isWritten(as bytes: [UInt8]) -> Bool {
    bytes == Array(json.utf8) || bytes == Array("\(content)}\n".utf8)
  }

  /// Whether `bytes`, from which this was read, may be what a newer version writes: with members that this
  /// one does not know, and a checksum over them.
  package func mayBeNewer(_ bytes: [UInt8]) -> Bool {
    String(decoding: bytes, as: UTF8.self).contains(Self.checksumLabel)
  }

  /// Whether this, read from `bytes`, says what an earlier `copy` of it said, but for the lease and the right to
  /// transactions, which `sluice config` changes. Under a checksum a newer version may have added members.
  package func agrees(with copy: StoreDescription, readFrom bytes: [UInt8]) -> Bool {
    var copy = copy
    copy.lease = lease
    copy.transactions = transactions
    if mayBeNewer(bytes) { copy.others = others }
    return copy == self
  }

  package var json: String {
    let checksum = hexadecimal(crc32c(Array(content.utf8)), width: 8)
    return "\(content)\(Self.checksumLabel)\(checksum)\"}\n"
  }

  /// All but the checksum.
  private var content: String {
    var lease = ""
    JSON.append(quoting: self.lease.description, to: &lease)
    var loaded = extensions.isEmpty ? "" : ", \"extensions\": ["
    for (i, one) in extensions.enumerated() {
      loaded += i == 0 ? "{\"name\": " : ", {\"name\": "
      JSON.append(quoting: one.name, to: &loaded)
      loaded += ", \"sha256\": \"\(one.sha256)\"}"
    }
    if !extensions.isEmpty { loaded += "]" }
    if transactions != .all { loaded += ", \"transactions\": \"\(transactions)\"" }
    if !lost.isEmpty {
      let ranges = lost.map { "[\($0.lowerBound), \($0.upperBound)]" }.joined(separator: ", ")
      loaded += ", \"lost\": [\(ranges)]"
    }
    for (name, value) in others.sorted(by: { $0.key < $1.key }) {
      loaded += ", "
      JSON.append(quoting: name, to: &loaded)
      loaded += ": \(value.text)"
    }
    return
      "{\"sluice\": \(formatVersion), \"id\": \"\(id)\", \"pageSize\": \(pageSize), \"lease\": \(lease), \"foreignKeys\": \(foreignKeys)\(loaded)"
  }

  /// The last member: the CRC-32C of all that stands before it, 8 hexadecimal digits.
  private static let checksumLabel = ", \"checksum\": \""

  /// False where there is a checksum, and the text before it has another one. Earlier versions wrote none.
  private static func agrees(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let text = String(decoding: bytes, as: UTF8.self)
    // Its own name damaged, it is a member that nobody knows, and what it covers is right.
    guard let label = text.ranges(of: checksumLabel).last else { return true }
    let content = Array(text[..<label.lowerBound].utf8)
    return text[label.upperBound...].prefix(8) == hexadecimal(crc32c(content), width: 8)
  }

  private static func checksum(beforeLastMemberOf bytes: UnsafeRawBufferPointer) -> String? {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let last = text.ranges(of: ", \"").last else { return nil }
    return hexadecimal(crc32c(Array(text[..<last.lowerBound].utf8)), width: 8)
  }

  private static let members: Set = [
    "sluice", "id", "pageSize", "lease", "foreignKeys", "extensions", "transactions",
    "lost", "checksum",
  ]

  /// Decodes `store.json`; members that this version does not know are kept and mean nothing.
  package init(decoding bytes: UnsafeRawBufferPointer) throws(StoreError) {
    let json: JSON
    do throws(DecodingError) { json = try JSON.parse(bytes) } catch {
      throw StoreError(.damaged, "store.json is not JSON: \(error)")
    }
    guard let version = json["sluice"]?.integer else {
      throw StoreError(.foreign, "this store.json is not Sluice's")
    }
    guard Self.agrees(bytes) else {
      throw StoreError(
        .damaged,
        "store.json has another checksum than it says; restore it from a backup, or see `sluice repair`"
      )
    }
    guard version == Int64(formatVersion) else {
      throw StoreError(
        .unsupported,
        "the store has format \(version), this Sluice knows \(formatVersion); upgrade Sluice")
    }
    guard let id = json["id"]?.string.flatMap({ StoreID($0) }),
      let pageSize = json["pageSize"]?.integer, (512...65536).contains(pageSize),
      pageSize & (pageSize - 1) == 0,
      let lease = json["lease"]?.string.flatMap(LeaseKind.init),
      let foreignKeys = json["foreignKeys"]?.bool
    else {
      throw StoreError(
        .damaged, "store.json lacks id, pageSize, lease or foreignKeys; restore it from a backup")
    }
    self.init(
      id: id, pageSize: Int(pageSize), lease: lease, foreignKeys: foreignKeys,
      extensions: try StoreDescription.extensions(json["extensions"]))
    if case .object(let all) = json {
      // The checksum under a damaged name is no member of a newer version.
      let checksum = Self.checksum(beforeLastMemberOf: bytes)
      others = all.filter {
        !StoreDescription.members.contains($0.key) && $0.value.string != checksum
      }
    }
    lost = try StoreDescription.lost(json["lost"])
    if let right = json["transactions"] {
      // Nobody's, where it cannot be meant: who has it may write anything.
      transactions = right.string.flatMap(TransactionRight.init) ?? .none
    }
  }

  private static func lost(_ json: JSON?) throws(StoreError) -> [ClosedRange<TxID>] {
    guard let json else { return [] }
    var ranges: [ClosedRange<TxID>] = []
    if case .array(let elements) = json {
      for element in elements {
        guard case .array(let pair) = element, pair.count == 2, let first = pair[0].integer,
          let last = pair[1].integer, first > 0, last >= first
        else { break }
        ranges.append(TxID(UInt64(first))...TxID(UInt64(last)))
      }
      if ranges.count == elements.count { return ranges }
    }
    throw StoreError(
      .damaged, "store.json has lost batches that cannot be meant; restore it from a backup")
  }

  /// The batches that were lost together with `txid`; nil where it was not.
  package func lost(with txid: TxID) -> ClosedRange<TxID>? { lost.last { $0.contains(txid) } }

  /// A member that is missing means none; one that cannot be read would have an applier go without.
  private static func extensions(_ json: JSON?) throws(StoreError) -> [Extension] {
    guard let json else { return [] }
    let damage = StoreError(
      .damaged, "store.json has extensions that cannot be meant; restore it from a backup")
    guard case .array(let elements) = json else { throw damage }
    var extensions: [Extension] = []
    for element in elements {
      guard let name = element["name"]?.string, let sha256 = element["sha256"]?.string,
        let one = Extension(name: name, sha256: sha256)
      else { throw damage }
      extensions.append(one)
    }
    return extensions
  }

  /// Reads the description of the store at `layout`; throws `.noSuchStore` where there is none.
  package static func read(_ layout: StoreLayout, _ fileSystem: any FileSystem) throws(StoreError)
    -> StoreDescription
  {
    let bytes: [UInt8]
    do throws(StoreError) {
      bytes = try fileSystem.open(layout.description, .fixed).read(64 << 10, at: 0)
    } catch {
      guard error.isNoSuchFile else { throw error }
      throw layout.lacksDescription(fileSystem)
    }
    var result: Result<StoreDescription, StoreError> = .failure(StoreError(.damaged, ""))
    bytes.withUnsafeBytes { raw in
      do throws(StoreError) { result = .success(try StoreDescription(decoding: raw)) } catch {
        var error = error
        error.path = layout.description
        result = .failure(error)
      }
    }
    return try result.get()
  }
}
