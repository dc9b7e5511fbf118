package import SluiceShared

/// Which rejected batches somebody has seen to, and how: a file in the store for each, and a second one where one
/// that was discarded was resubmitted after all.
///
///     resubmitted KEY  crc32c 1a2b3c4d
///
/// The checksum is that of the text before the two spaces. Without it a changed bit could make a batch that was
/// resubmitted one that was not, and it would be executed under another key again.
///
/// A file gets its name when it is whole (`link`), and never changes. So of several who do something at once one
/// is first, and the others read what it did.
///
/// The rejection itself stays where it is, in the database and in the log. Only who owns the store makes these.
package struct HandledBatches {
  package enum Deed: Hashable, Sendable {
    case discarded
    /// Under this key.
    case resubmitted(String)

    private static let prefix = "resubmitted "
    private static let label = "  crc32c "
    private static let endBytes = label.utf8.count + 8 + 1

    private var text: String {
      switch self {
      case .discarded: "discarded"
      case .resubmitted(let key): "\(Self.prefix)\(key)"
      }
    }

    /// What a file of it holds.
    var bytes: [UInt8] {
      let text = text
      return Array(
        "\(text)\(Self.label)\(hexadecimal(crc32c(Array(text.utf8)), width: 8))\n".utf8)
    }

    /// nil where a file with `bytes` is not as it was written.
    init?(_ bytes: [UInt8]) {
      let text = String(decoding: bytes.dropLast(Self.endBytes), as: UTF8.self)
      if text == Deed.discarded.text {
        self = .discarded
      } else if text.hasPrefix(Self.prefix) {
        self = .resubmitted(String(text.dropFirst(Self.prefix.count)))
      } else {
        return nil
      }
      guard self.bytes == bytes else { return nil }
    }
  }

  private let layout: StoreLayout
  private let fileSystem: any FileSystem

  package init(_ layout: StoreLayout, _ fileSystem: any FileSystem) {
    self.layout = layout
    self.fileSystem = fileSystem
  }

  /// Where it is recorded what was done, and what was done after it was discarded.
  private func paths(_ txid: TxID) -> (first: String, after: String) {
    let first = "\(layout.handled)/\(padded(txid.rawValue, width: 16))"
    return (first, "\(first).after")
  }

  package func all() throws(StoreError) -> Set<TxID> {
    Set(
      try fileSystem.listed(ifThere: layout.handled).filter { $0.utf8.count == 16 }.compactMap {
        UInt64($0).map { TxID($0) }
      })
  }

  /// nil where nobody has. Throws `.damaged` where what is written there is not as it was.
  package func deed(_ txid: TxID) throws(StoreError) -> Deed? {
    let names = Set(try fileSystem.listed(ifThere: layout.handled))
    let paths = paths(txid)
    for path in [paths.after, paths.first]
    where names.contains(where: { path == "\(layout.handled)/\($0)" }) {
      if let deed = try read(path, txid) { return deed }
    }
    return nil
  }

  private func read(_ path: String, _ txid: TxID) throws(StoreError) -> Deed? {
    let bytes = try fileSystem.open(path, .shared).read(Limits.handledBatchBytes, at: 0)
    // As versions before made it, who died before they wrote, and so before they submitted anything.
    if bytes.isEmpty { return nil }
    guard let deed = Deed(bytes) else {
      throw StoreError(
        .damaged,
        "what is recorded of the rejected batch \(txid) is damaged: see in `sluice log` whether its statements were submitted again, and remove this file; if they were, `sluice discard` records the batch as done",
        path: path)
    }
    return deed
  }

  /// Reads them all; `onDamage` is told of each that is damaged.
  package func verify(onDamage: (StoreError) -> Void) throws(StoreError) {
    for txid in try all().sorted() {
      let paths = paths(txid)
      for path in [paths.first, paths.after] {
        do throws(StoreError) { _ = try read(path, txid) } catch {
          // There is none, or a person has removed it meanwhile.
          if error.isNoSuchFile { continue }
          guard error.code == .damaged else { throw error }
          onDamage(error)
        }
      }
    }
  }

  /// Records it, durably, and returns what holds: what was recorded before stays, but what was discarded may be
  /// resubmitted, once. `nonce` is of this call alone.
  package func record(_ deed: Deed, of txid: TxID, nonce: UInt64) throws(StoreError) -> Deed {
    _ = try fileSystem.makeOwnedDirectory(layout.handled, mode: 0o755)
    let paths = paths(txid)
    let temporary = StoreLayout.temporaryName(paths.first, nonce)
    let file = try fileSystem.create(temporary, mode: 0o644)
    defer { try? fileSystem.unlink(temporary) }
    try file.write(deed.bytes, at: 0)
    try file.sync()
    var holds = try link(temporary, to: paths.first, deed, txid)
    if deed != .discarded, holds == nil || holds == .discarded {
      holds = try link(temporary, to: paths.after, deed, txid)
    }
    try fileSystem.syncDirectory(layout.handled)
    try fileSystem.syncDirectory(layout.root)
    return holds ?? deed
  }

  /// What `path` says then.
  private func link(_ temporary: String, to path: String, _ deed: Deed, _ txid: TxID)
    throws(StoreError) -> Deed?
  {
    do throws(StoreError) { try fileSystem.link(temporary, to: path) } catch {
      if error.isNoSuchFile {
        throw StoreError(
          .io, "nothing was recorded, as it took more than a minute; do it again", path: path,
          errno: error.errno)
      }
      guard error.isExistingFile else { throw error }
      return try read(path, txid)
    }
    return deed
  }
}
