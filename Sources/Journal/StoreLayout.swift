package import SluiceShared

/// The names in a store's directory. Numbers are padded with zeros; a name that does not match
/// exactly is nobody's business and is ignored.
package struct StoreLayout: Sendable {
  package let root: String
  /// Where log segments and checkpoints lie that are no store's; nil: in the store.
  private var archive: (log: String, checkpoints: String)?

  package init(_ root: String) { self.root = Self.trimmed(root) }

  /// Log segments that were copied elsewhere, with checkpoints in that directory or in another one.
  package init(archive directory: String, checkpoints: String? = nil) {
    root = Self.trimmed(directory)
    archive = (root, checkpoints.map(Self.trimmed) ?? root)
  }

  private static func trimmed(_ path: String) -> String {
    var path = path
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }

  package var description: String { "\(root)/store.json" }
  package var journal: String { "\(root)/journal" }
  package var quarantine: String { "\(root)/journal/quarantine" }
  package var log: String { archive?.log ?? "\(root)/log" }
  package var oldLog: String { archive?.log ?? "\(root)/log/old" }
  package var checkpoints: String { archive?.checkpoints ?? "\(root)/checkpoints" }
  package var extensions: String { "\(root)/extensions" }
  /// What repairs have taken out of the store, a directory for each.
  package var repaired: String { "\(root)/repaired" }
  /// What became of rejected batches, a file for each that somebody has seen to.
  package var handled: String { "\(root)/handled" }
  package var current: String { "\(root)/current.sqlite" }

  /// Where a log segment is, unless retention has moved it.
  package func segment(_ number: UInt64) -> String { "\(log)/\(Self.logName(number))" }
  package func oldSegment(_ number: UInt64) -> String { "\(oldLog)/\(Self.logName(number))" }
  /// The two files of a checkpoint.
  package func database(of txid: TxID) -> String { "\(checkpoints)/\(Self.checkpointName(txid))" }
  package func sidecar(of txid: TxID) -> String { "\(checkpoints)/\(Self.sidecarName(txid))" }

  package static func logName(_ number: UInt64) -> String { padded(number, width: 12) + ".log" }
  package static func logNumber(_ name: String) -> UInt64? {
    number(name, suffix: ".log", digits: 12)
  }

  package static func checkpointName(_ txid: TxID) -> String {
    padded(txid.rawValue, width: 16) + ".sqlite"
  }
  package static func checkpointTxID(_ name: String) -> TxID? {
    number(name, suffix: ".sqlite", digits: 16).map { TxID($0) }
  }
  /// What `current.sqlite` leads to.
  package static func currentTarget(_ txid: TxID) -> String {
    "checkpoints/\(checkpointName(txid))"
  }
  /// The checkpoint that it leads to, there or not; nil where that is no name of one.
  package static func currentTxID(_ target: String) -> TxID? {
    let name = target.split(separator: "/").last.map { "\($0)" } ?? ""
    return checkpointTxID(name).flatMap { currentTarget($0) == target ? $0 : nil }
  }
  package static func sidecarName(_ txid: TxID) -> String {
    padded(txid.rawValue, width: 16) + ".pages"
  }
  package static func sidecarTxID(_ name: String) -> TxID? {
    number(name, suffix: ".pages", digits: 16).map { TxID($0) }
  }

  package static func extensionName(_ one: StoreDescription.Extension) -> String {
    "\(one.sha256).so"
  }

  package static func journalName(_ segment: JournalSegmentID) -> String {
    "\(segment.writer).\(padded(segment.number, width: 8)).seg"
  }
  /// Whether a name looks like a journal segment's. It costs next to nothing to ask.
  package static func mayBeJournalSegment(_ name: String) -> Bool {
    name.utf8.count == 36 + 1 + 8 + 4 && name.utf8.last == UInt8(ascii: "g")
  }
  package static func journalSegment(_ name: String) -> JournalSegmentID? {
    guard mayBeJournalSegment(name), let writer = WriterID(name.prefix(36)),
      let number = number(String(name.dropFirst(37)), suffix: ".seg", digits: 8), number > 0
    else { return nil }
    let id = JournalSegmentID(writer: writer, number: number)
    return journalName(id) == name ? id : nil
  }

  /// The name under which a file is made before `link` gives it `name`; `nonce` keeps two makers
  /// apart.
  package static func temporaryName(_ name: String, _ nonce: UInt64) -> String {
    "\(name).\(hexadecimal(nonce, width: 16)).tmp"
  }
  /// The name that a temporary file was to get; nil for any other name.
  package static func temporaryTarget(_ name: String) -> String? {
    let tail = name.utf8.suffix(21)
    guard name.hasSuffix(".tmp"), tail.count == 21, tail.first == UInt8(ascii: "."),
      tail.dropFirst().prefix(16).allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
    else { return nil }
    return String(name.dropLast(21))
  }

  private static func number(_ name: String, suffix: String, digits: Int) -> UInt64? {
    guard name.hasSuffix(suffix), name.utf8.count == digits + suffix.utf8.count else { return nil }
    let text = name.dropLast(suffix.count)
    guard text.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
    return UInt64(text)
  }
}

/// The n-th segment of one writer's journal, from 1.
package struct JournalSegmentID: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let writer: WriterID
  package let number: UInt64

  package init(writer: WriterID, number: UInt64) {
    self.writer = writer
    self.number = number
  }

  package static func < (a: Self, b: Self) -> Bool { (a.writer, a.number) < (b.writer, b.number) }
  package var description: String { "\(writer).\(number)" }
}
