import SluiceShared

@testable import SluiceJournal

extension FuzzTarget {
  static let checkpointSidecar = FuzzTarget(
    name: "checkpoint-sidecar", mostBytes: 9000,
    seeds: { golden in
      let file = try golden.file("checkpoint")
      let packed = PackedBlocks.pack(file, sealed: [0, 4096, 8192])
      let header = PackedBlocks.pack(Array(file[0..<Block.size]), sealed: [0])
      return FuzzMode.combinations.flatMap { [[$0.rawValue] + packed, [$0.rawValue] + header] }
    },
    run: { input in
      guard let (mode, file) = blocks(input) else { return }
      attackSidecar(Repair.sidecar(file, mode))
    })

  private static func attackSidecar(_ file: [UInt8]) {
    var store = StoreID(high: 1, low: 1)
    if file.count >= 32 {
      file.withUnsafeBytes { raw in
        var reader = ByteReader(raw)
        _ = try? reader.take(16)
        if let id = try? reader.identifier() { store = id }
      }
    }
    let files = FixedFiles(["/x.pages": file])
    refusable {
      let sidecar = try CheckpointSidecar(path: "/x.pages", store: store, fileSystem: files)
      let header = sidecar.header
      let again = must("opening a header that was encoded") {
        try CheckpointSidecar(
          path: "/y.pages", store: store, fileSystem: FixedFiles(["/y.pages": header.encoded()]))
      }
      demand(again.header == header, "a checkpoint's header is decoded as another")
      guard header.pageCount > 0 else { return }
      for page in [1, 2, 1023, 1024, header.pageCount / 2, header.pageCount] {
        guard page >= 1, page <= header.pageCount else { continue }
        refusable {
          let crc = try sidecar.crc(ofPage: page)
          demand(try sidecar.crc(ofPage: page) == crc, "a page's checksum changes")
        }
      }
    }
  }

  static let storeDescription = FuzzTarget(
    name: "store-json", mostBytes: 1024,
    seeds: { golden in
      let json = try golden.file("store")
      let other =
        #"{"sluice":1,"id":"01900000-0000-7111-8000-000000000222","pageSize":4096,"#
        + #""lease":"dynamodb:t\u0001\u00e9","foreignKeys":false,"more":[1,2.5,{}]}"#
      return [json, Array(other.utf8)]
    },
    run: { input in
      refusable {
        let store = try StoreDescription(decoding: input)
        demand(
          (512...65536).contains(store.pageSize) && store.pageSize.nonzeroBitCount == 1,
          "a page size that is none")
        let json = Array(store.json.utf8)
        let again = must("decoding what was encoded") {
          try json.withUnsafeBytes { try StoreDescription(decoding: $0) }
        }
        demand(again == store, "a store is described as another")
      }
    })
}
