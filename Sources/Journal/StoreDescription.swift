public import SluiceShared

/// `store.json`: what a store is. Written by `init`; everybody who opens the store reads it first.
public struct StoreDescription: Hashable, Sendable {
  public var id: StoreID
  /// Bytes of a database page: a power of two from 512 to 65536.
  public var pageSize: Int
  /// Who elects the applier; recorded so that two kinds never fight.
  public var lease: LeaseKind
  public var foreignKeys: Bool
  /// What each applier loads into its SQLite, in this order.
  public var extensions: [Extension] = []

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

  public init(
    id: StoreID, pageSize: Int, lease: LeaseKind, foreignKeys: Bool, extensions: [Extension] = []
  ) {
    self.id = id
    self.pageSize = pageSize
    self.lease = lease
    self.foreignKeys = foreignKeys
    self.extensions = extensions
  }

  public var json: String {
    var lease = ""
    JSON.append(quoting: self.lease.description, to: &lease)
    var loaded = extensions.isEmpty ? "" : ", \"extensions\": ["
    for (i, one) in extensions.enumerated() {
      loaded += i == 0 ? "{\"name\": " : ", {\"name\": "
      JSON.append(quoting: one.name, to: &loaded)
      loaded += ", \"sha256\": \"\(one.sha256)\"}"
    }
    if !extensions.isEmpty { loaded += "]" }
    return """
      {"sluice": \(formatVersion), "id": "\(id)", "pageSize": \(pageSize), "lease": \(lease), \
      "foreignKeys": \(foreignKeys)\(loaded)}

      """
  }

  /// Decodes `store.json`; names of members that this version does not know are ignored.
  public init(decoding bytes: UnsafeRawBufferPointer) throws(StoreError) {
    let json: JSON
    do throws(DecodingError) { json = try JSON.parse(bytes) } catch {
      throw StoreError(.damaged, "store.json is not JSON: \(error)")
    }
    guard let version = json["sluice"]?.integer else {
      throw StoreError(.foreign, "this store.json is not Sluice's")
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
  }

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
  public static func read(_ layout: StoreLayout, _ fileSystem: any FileSystem) throws(StoreError)
    -> StoreDescription
  {
    let bytes: [UInt8]
    do throws(StoreError) {
      bytes = try fileSystem.open(layout.description, .fixed).read(64 << 10, at: 0)
    } catch {
      guard error.isNoSuchFile else { throw error }
      throw StoreError(
        .noSuchStore, "no store here; `sluice init` makes one", path: layout.root, errno: 2)
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
