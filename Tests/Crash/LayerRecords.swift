import BenchmarkSupport
import SluiceShared

/// One record of the layer (`lossy.c` has the bytes).
struct LayerRecord {
  enum Kind: UInt32 {
    case write = 1
    case resize, sync, create, link, unlink, symlink, rename, makeDirectory
    case done = 100
    case failed
  }

  var kind: Kind
  var id: UInt64
  /// Of the file, or of the directory that the name is in.
  var inode: UInt64
  var offset: Int64
  var length: Int64
  var oldSize: Int64
  var name: String
  var other: String
  var payload: [UInt8]
  /// Only of what is kept although it is.
  var isSynced = false
  /// The place of the record that says it was done; nil where none does.
  var done: Int?

  var isName: Bool {
    switch kind {
    case .create, .link, .unlink, .symlink, .rename, .makeDirectory: true
    case .write, .resize, .sync, .done, .failed: false
    }
  }
}

/// The layer's records, in the order in which they were appended by all processes.
struct LayerRecords {
  private var records: [LayerRecord] = []

  private static let magic: UInt64 = 0x7a3c_5e91_51fd_20b7
  private static let headerBytes = 64

  /// Reads the file; a record that was cut off when its process died is passed over.
  init(_ path: String) throws {
    let bytes = try readAll(path)
    bytes.withUnsafeBytes { raw in
      var place = 0
      while place + Self.headerBytes <= raw.count {
        func integer<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
          T(littleEndian: raw.loadUnaligned(fromByteOffset: place + offset, as: T.self))
        }
        let payload = Int(integer(12, as: UInt32.self))
        let name = Int(integer(56, as: UInt32.self))
        let other = Int(integer(60, as: UInt32.self))
        let end = place + Self.headerBytes + name + other + payload
        guard integer(0, as: UInt64.self) == Self.magic,
          let kind = LayerRecord.Kind(rawValue: integer(8, as: UInt32.self)), end <= raw.count,
          end == raw.count
            || (end + 8 <= raw.count
              && raw.loadUnaligned(fromByteOffset: end, as: UInt64.self) == Self.magic)
        else {
          place += 1
          continue
        }
        let texts = place + Self.headerBytes
        records.append(
          LayerRecord(
            kind: kind, id: integer(16, as: UInt64.self), inode: integer(24, as: UInt64.self),
            offset: integer(32, as: Int64.self), length: integer(40, as: Int64.self),
            oldSize: integer(48, as: Int64.self),
            name: String(decoding: raw[texts..<texts + name], as: UTF8.self),
            other: String(decoding: raw[texts + name..<texts + name + other], as: UTF8.self),
            payload: Array(raw[texts + name + other..<end])))
        place = end
      }
    }
  }

  /// What no sync that was done covers: by inode, in order; names in the order in which they changed.
  /// `keepingLengths`: also which lengths were set, though a sync covers them.
  func unsynced(keepingLengths: Bool) -> (
    files: [UInt64: [LayerRecord]], directories: [UInt64: [LayerRecord]]
  ) {
    var open: [UInt64: [LayerRecord]] = [:]
    var places: [UInt64: Int] = [:]
    for (place, record) in records.enumerated() {
      switch record.kind {
      case .sync: places[record.id] = place
      case .done, .failed:
        guard let began = places[record.id] else { break }
        finish(records[began], began: began, at: place, record.kind, keepingLengths, &open)
      default:
        places[record.id] = place
        open[record.inode, default: []].append(record)
      }
    }
    var files: [UInt64: [LayerRecord]] = [:]
    var directories: [UInt64: [LayerRecord]] = [:]
    for (inode, changes) in open where !changes.isEmpty {
      let names = changes.filter(\.isName)
      if !names.isEmpty {
        directories[inode] = names.sorted { ($0.done ?? .max) < ($1.done ?? .max) }
      }
      if names.count < changes.count { files[inode] = changes.filter { !$0.isName } }
    }
    return (files, directories)
  }

  private func finish(
    _ change: LayerRecord, began: Int, at place: Int, _ how: LayerRecord.Kind,
    _ keepingLengths: Bool, _ open: inout [UInt64: [LayerRecord]]
  ) {
    switch (change.kind, how) {
    case (.sync, .done):
      let kept = open[change.inode]?.compactMap { (earlier) -> LayerRecord? in
        guard (earlier.done ?? .max) < began else { return earlier }
        guard keepingLengths, earlier.kind == .resize else { return nil }
        var earlier = earlier
        earlier.isSynced = true
        return earlier
      }
      open[change.inode] = kept
    case (.sync, _): break
    case (_, .failed): open[change.inode]?.removeAll { $0.id == change.id }
    default:
      if let i = open[change.inode]?.lastIndex(where: { $0.id == change.id }) {
        open[change.inode]?[i].done = place
      }
    }
  }
}
