public import SluiceShared

/// `store.json`: what a store is. Written by `init`; everybody who opens the store reads it first.
public struct StoreDescription: Hashable, Sendable {
  public var id: StoreID
  /// Bytes of a database page: a power of two from 512 to 65536.
  public var pageSize: Int
  /// Who elects the applier; recorded so that two kinds never fight.
  public var lease: LeaseKind
  public var foreignKeys: Bool

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

  public init(id: StoreID, pageSize: Int, lease: LeaseKind, foreignKeys: Bool) {
    self.id = id
    self.pageSize = pageSize
    self.lease = lease
    self.foreignKeys = foreignKeys
  }

  public var json: String {
    var lease = ""
    JSON.append(quoting: self.lease.description, to: &lease)
    return """
      {"sluice": \(formatVersion), "id": "\(id)", "pageSize": \(pageSize), "lease": \(lease), \
      "foreignKeys": \(foreignKeys)}

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
    self.init(id: id, pageSize: Int(pageSize), lease: lease, foreignKeys: foreignKeys)
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
