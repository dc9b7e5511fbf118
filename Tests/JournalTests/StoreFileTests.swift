import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceJournal

@Suite("store.json and checkpoint sidecars: refused unless they are this store's and whole")
struct StoreFileTests {
  private static let description = StoreDescription(
    id: Samples.store, pageSize: 4096, lease: .dynamodb(table: "a\"b"), foreignKeys: false)

  /// Without its checksum, as earlier versions wrote it.
  private func plain(_ json: String) -> String {
    json.replacing(/, "checksum": "[0-9a-f]{8}"/, with: "")
  }

  private func decode(_ text: String) throws -> StoreDescription {
    try Array(text.utf8).withUnsafeBytes { try StoreDescription(decoding: $0) }
  }

  private func code(_ text: String) -> StoreError.Code? {
    do {
      _ = try decode(text)
      return nil
    } catch {
      return (error as? StoreError)?.code
    }
  }

  @Test func description() throws {
    #expect(try decode(Self.description.json) == Self.description)
    let json = plain(Self.description.json)
    #expect(json.hasSuffix("\"foreignKeys\": false}\n"))
    #expect(try decode(json) == Self.description)
    #expect(code(json.replacing("\"sluice\": 1", with: "\"sluice\": 2")) == .unsupported)
    #expect(code(json.replacing("\"sluice\": 1", with: "\"other\": 1")) == .foreign)
    #expect(code(json.replacing("4096", with: "4097")) == .damaged)
    #expect(code(json.replacing("4096", with: "131072")) == .damaged)
    #expect(code(json.replacing("dynamodb:", with: "etcd:")) == .damaged)
    #expect(code("") == .damaged)
    #expect(code(json.replacing("{", with: "{\"later\": [1], ")) == nil)
  }

  @Test("Whatever byte is changed, it is refused, or says the same")
  func changedDescription() throws {
    var described = Self.description
    described.lost = [TxID(3)...TxID(9), TxID(20)...TxID(999_999_999_999)]
    #expect(try decode(described.json) == described)
    let bytes = Array(described.json.utf8)
    var refused = 0
    for i in bytes.indices {
      for mask in [1, 2, 16, 32, 128] as [UInt8] {
        var changed = bytes
        changed[i] ^= mask
        let read = try? changed.withUnsafeBytes { try StoreDescription(decoding: $0) }
        if read == nil { refused += 1 }
        #expect(read == nil || read == described, "byte \(i), mask \(mask)")
        // Who looks closely sees it in any case.
        #expect(!described.isWritten(as: changed))
      }
    }
    #expect(refused > bytes.count * 4)
    for lost in ["[3]", "[[3, 2]]", "[[0, 2]]", "{}", "[[1, 2, 3]]"] {
      let json = plain(Self.description.json).replacing("}", with: ", \"lost\": \(lost)}")
      #expect(code(json) == .damaged, "\(lost)")
    }
  }

  @Test func extensions() throws {
    let hashes = ["0", "f"].map { String(repeating: $0, count: 64) }
    var description = Self.description
    description.extensions = try [("vec0", hashes[0]), ("a\"ö", hashes[1])].map {
      try #require(StoreDescription.Extension(name: $0.0, sha256: $0.1))
    }
    let json = plain(description.json)
    #expect(try decode(description.json) == description)
    #expect(json.contains("\"extensions\": [{\"name\": \"vec0\", \"sha256\": \"\(hashes[0])\"}, {"))
    // An applier must not go without one that it cannot read of.
    #expect(code(json.replacing(hashes[0], with: "../\(hashes[0].dropFirst(3))")) == .damaged)
    #expect(code(json.replacing(hashes[0], with: "\(hashes[0])0")) == .damaged)
    #expect(code(json.replacing("vec0", with: "a/b")) == .damaged)
    #expect(code(json.replacing("\"name\": \"vec0\", ", with: "")) == .damaged)
    #expect(code(json.replacing("[{", with: "{\"a\": {").replacing("}]", with: "}}")) == .damaged)
    #expect(!Self.description.json.contains("extensions"))
  }

  @Test func noStore() {
    let error = #expect(throws: StoreError.self) {
      try StoreDescription.read(StoreLayout("/s"), MemoryFileSystem())
    }
    #expect(error?.code == .noSuchStore)
  }

  // MARK: Sidecars

  private let fileSystem = MemoryFileSystem()
  private static let path = "/1.pages"

  private func write(pages: UInt32) throws -> [UInt32] {
    let header = CheckpointSidecar.Header(
      store: Samples.store, extent: LogExtent(txid: TxID(5), commits: 4, time_ms: 3),
      pageSize: 4096, pageCount: pages, checksum: DatabaseChecksum(9), rejected: 1)
    let file = try fileSystem.create(Self.path, mode: 0o600)
    let checksums = (0..<pages).map { $0 &* 2_654_435_761 }
    try CheckpointSidecar.write(header, checksums: checksums, to: file)
    return checksums
  }

  private func open(_ store: StoreID = Samples.store) throws -> CheckpointSidecar {
    try CheckpointSidecar(path: Self.path, store: store, fileSystem: fileSystem)
  }

  @Test(arguments: [0, 1, 1022, 1023, 1024, 2046, 2047, 300_000] as [UInt32])
  func sidecar(pages: UInt32) throws {
    let checksums = try write(pages: pages)
    let sidecar = try open()
    #expect(sidecar.header.pageCount == pages)
    for page in Set([1, 1022, 1023, 1024, 2047, pages]) where page >= 1 && page <= pages {
      #expect(try sidecar.crc(ofPage: page) == checksums[Int(page) - 1])
    }
  }

  @Test func damageToASidecarIsNamed() throws {
    _ = try write(pages: 1500)
    let disk = fileSystem.disk
    for place in stride(from: Int64(0), to: 3 * 4096, by: 37) {
      disk.damage(Self.path, at: place) { $0 ^= 0x40 }
      let error = #expect(throws: StoreError.self) {
        let sidecar = try open()
        _ = try sidecar.crc(ofPage: 1)
        _ = try sidecar.crc(ofPage: 1024)
      }
      #expect(error?.code == .damaged)
      #expect(error?.offset == place / 4096 * 4096)
      disk.damage(Self.path, at: place) { $0 ^= 0x40 }
    }
  }

  @Test func aSidecarCutShortIsDamaged() throws {
    _ = try write(pages: 1500)
    try fileSystem.open(Self.path, .write).resize(to: 8192)
    let sidecar = try open()
    _ = try sidecar.crc(ofPage: 1)
    #expect(throws: StoreError.self) { try sidecar.crc(ofPage: 1024) }
  }

  @Test func anotherStoresSidecarIsForeign() throws {
    _ = try write(pages: 1)
    let error = #expect(throws: StoreError.self) { try open(StoreID(high: 0, low: 1)) }
    #expect(error?.code == .foreign)
  }
}
