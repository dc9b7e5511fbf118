internal import Glibc
internal import SluiceJournal
internal import SluiceShared

/// The file by which a directory, or the file that it lies beside, is known as a copy of a store:
/// `{"copyOf": "<store id>", "whole": false}`. What has none is nobody's to write to. `whole` is true from when a
/// copy of the whole store has come to its end for the first time; before, what is there may be removed.
///
/// While a copy is written it is locked (`flock`), which ends with the process. Nobody else may read it, since who may
/// could lock it, too.
final class CopyMark {
  private let file: any File
  private let store: StoreID
  /// nil where an earlier version made the mark, which did not say.
  private(set) var isWhole: Bool?

  /// Always of the same length: it is written over itself.
  static func content(_ store: StoreID, isWhole: Bool) -> [UInt8] {
    Array(
      "{\"copyOf\": \"\(store)\", \"whole\": \(isWhole ? "true" : "false")}\(isWhole ? " " : "")\n"
        .utf8)
  }

  /// Makes the mark, durably, unless it is there; throws `.foreign` where it is another store's, and
  /// `.busy` while another process writes to the copy. `isAlone`: nothing is there that it could be the mark
  /// of; else an empty one is nobody's.
  init(_ path: String, of store: StoreID, isAlone: Bool, _ fileSystem: any FileSystem)
    throws(StoreError)
  {
    self.store = store
    do throws(StoreError) { _ = try fileSystem.create(path, mode: 0o600) } catch {
      guard error.isExistingFile else { throw error }
    }
    file = try fileSystem.open(path, .write)
    if let descriptor = file.openDescriptor, flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
      let code = errno
      guard code != EWOULDBLOCK else {
        throw StoreError(
          .busy, "another process is writing to this copy; wait for its end", path: path)
      }
      throw StoreError(
        .io,
        "flock failed: \(String(cString: strerror(code))); put the copy on another file system",
        path: path, errno: code)
    }
    let bytes = try file.read(4096, at: 0)
    // New, or of a process that died before it wrote it: then there is nothing else yet.
    guard bytes.contains(where: { $0 != 0 }) || !isAlone else {
      isWhole = false
      try file.write(Self.content(store, isWhole: false), at: 0)
      try file.sync()
      try fileSystem.syncDirectory(Restoration.parts(path).directory)
      return
    }
    let json = try? JSON.parse(String(decoding: bytes, as: UTF8.self))
    guard let found = json?["copyOf"]?.string.flatMap({ StoreID($0) }) else {
      throw StoreError(
        .foreign,
        "this is not the mark of a store's copy; choose another place, or remove what is here",
        path: path)
    }
    guard found == store else {
      throw StoreError(
        .foreign, "this is a copy of store \(found), and not of \(store); choose another place",
        path: path)
    }
    isWhole = json?["whole"]?.bool
  }

  /// Says, durably, that the copy is not whole.
  func begin() throws(StoreError) {
    guard isWhole == true else { return }
    try file.write(Self.content(store, isWhole: false), at: 0)
    try file.sync()
    isWhole = false
  }

  /// Says, durably, that the copy is whole.
  func finish() throws(StoreError) {
    guard isWhole != true else { return }
    try file.write(Self.content(store, isWhole: true), at: 0)
    try file.sync()
    isWhole = true
  }
}
