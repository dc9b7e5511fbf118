import BenchmarkSupport
import Glibc
import SluiceFakes
import SluiceShared

/// Takes back, at random, what the layer's records say was not synced when everything ended.
///
/// Of a file each unsynced block of 4 KiB by itself, to what it held at its last sync or at any
/// write since, and its size. Of a directory the last so many changes of its names, as on a file
/// system with a journal; or of each name by itself, since POSIX promises no order between names,
/// so that a later one stays where an earlier one is lost. Files and directories are independent of
/// each other. Syncs that were not done when the process died count for nothing.
struct PowerFailure {
  /// Blocks by what they are of, names by directory, as `StorePlace` names them; lengths as `size(of:)`.
  private(set) var lost: [String: Int] = [:]
  private let store: String
  private let grave: String
  private var random: SeededRandom
  /// How likely what may be lost is lost: everything, or some.
  private let likelihood: Double
  /// Blocks go in pieces of 512 bytes.
  private let tears: Bool
  private var paths: [UInt64: String] = [:]

  /// What a file's lost length is counted as.
  static func size(of kind: String) -> String { "size:\(kind)" }

  /// Plays one, and forgets the records. `sabotage` may take back what was synced.
  init(store: String, layer: String, seed: UInt64, sabotage: Sabotage? = nil) throws {
    self.store = store
    grave = "\(layer)/grave"
    random = SeededRandom(seed: seed)
    likelihood = [1, 0.9, 0.5, 0.5, 0.2][random.below(5)]
    tears = random.below(5) == 0
    let unsynced = try LayerRecords("\(layer)/records")
      .unsynced(keepingLengths: sabotage == .noLengthSync)
    // A file that is still in the store is called by its name there.
    find(grave)
    find(store)
    for (inode, changes) in unsynced.files.sorted(by: { $0.key < $1.key }) {
      let isKept = paths[inode].map { StorePlace.kind(of: $0) == "journal" } ?? false
      let changes = isKept ? changes : changes.filter { !$0.isSynced }
      if !changes.isEmpty { try undo(changes, inode) }
    }
    for (inode, changes) in unsynced.directories.sorted(by: { $0.key < $1.key }) {
      guard let path = paths[inode] else {
        throw RunError("a directory of which \(changes.count) names changed is nowhere")
      }
      let isOrdered = random.below(2) == 0
      for group in isOrdered ? [changes] : Self.independent(changes) {
        let kept = random.chance(likelihood * likelihood) ? 0 : random.below(group.count + 1)
        for change in group[kept...].reversed() where undo(change, in: path) {
          lost[path == store ? "disk/" : StorePlace.kind(of: path), default: 0] += 1
        }
      }
    }
    for name in try PosixFileSystem().list(grave) { unlink("\(grave)/\(name)") }
    truncate("\(layer)/records", 0)
  }

  /// Where each inode is.
  private mutating func find(_ path: String) {
    guard let status = try? PosixFileSystem().status(path) else { return }
    paths[status.inode] = path
    guard status.kind == .directory else { return }
    for name in (try? PosixFileSystem().list(path)) ?? [] { find("\(path)/\(name)") }
  }

  // MARK: content

  private mutating func undo(_ changes: [LayerRecord], _ inode: UInt64) throws {
    guard let path = paths[inode] else {
      throw RunError("a file with \(changes.count) unsynced changes is nowhere")
    }
    let descriptor = try Self.writable(path)
    defer { close(descriptor) }
    var status = stat()
    fstat(descriptor, &status)
    var versions: [Int64: [[UInt8]]] = [:]
    var sizes: [Int64] = []
    for change in changes {
      sizes.append(change.oldSize)
      guard change.kind == .write else { continue }
      for start in stride(from: 0, to: Int(change.length), by: 4096) {
        var block = [UInt8](repeating: 0, count: 4096)
        let known = change.payload.dropFirst(start).prefix(4096)
        block.replaceSubrange(0..<known.count, with: known)
        versions[change.offset + Int64(start), default: []].append(block)
      }
    }
    for (offset, versions) in versions.sorted(by: { $0.key < $1.key })
    where random.chance(likelihood) {
      let version = random.below(4) == 0 ? versions[random.below(versions.count)] : versions[0]
      var isChanged = false
      for piece in stride(from: 0, to: 4096, by: tears ? 512 : 4096)
      where !tears || random.below(2) == 0 {
        // Not beyond the end of the file.
        let count = min(tears ? 512 : 4096, Int(status.st_size) - Int(offset) - piece)
        guard count > 0 else { break }
        let old = version[piece..<piece + count]
        isChanged = try put(old, descriptor, off_t(offset) + piece, path) || isChanged
      }
      if isChanged { lost[place(path, offset), default: 0] += 1 }
    }
    if restoreSize(descriptor, Int64(status.st_size), sizes), !path.hasPrefix(grave) {
      lost[Self.size(of: StorePlace.kind(of: path)), default: 0] += 1
    }
  }

  private func place(_ path: String, _ offset: Int64) -> String {
    if path.hasPrefix(grave) { return "what was removed" }
    let kind = StorePlace.kind(of: path)
    return StorePlace.part(of: kind, at: offset).map { "\(kind)-\($0)" } ?? kind
  }

  /// Also of a file that nobody may write any more, such as a checkpoint.
  private static func writable(_ path: String) throws -> Int32 {
    var status = stat()
    lstat(path, &status)
    chmod(path, status.st_mode | S_IWUSR)
    defer { chmod(path, status.st_mode) }
    let descriptor = open(path, O_RDWR | O_NOFOLLOW)
    guard descriptor >= 0 else {
      throw RunError("\(path) cannot be taken back: \(String(cString: strerror(errno)))")
    }
    return descriptor
  }

  /// Returns whether anything else was there.
  private func put(_ old: ArraySlice<UInt8>, _ descriptor: Int32, _ offset: off_t, _ path: String)
    throws -> Bool
  {
    var present = [UInt8](repeating: 0, count: old.count)
    guard pread(descriptor, &present, old.count, offset) == old.count else {
      throw RunError("\(path) cannot be read")
    }
    guard !present.elementsEqual(old) else { return false }
    let count = old.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, offset) }
    guard count == old.count else { throw RunError("\(path) cannot be taken back") }
    return true
  }

  /// Returns whether the file was longer.
  private mutating func restoreSize(_ descriptor: Int32, _ size: Int64, _ sizes: [Int64]) -> Bool {
    guard let first = sizes.first, random.chance(likelihood) else { return false }
    let old = random.below(3) == 0 ? sizes[random.below(sizes.count)] : first
    return old < size && ftruncate(descriptor, off_t(old)) == 0
  }

  // MARK: names

  /// The changes by name; a rename binds its two.
  private static func independent(_ changes: [LayerRecord]) -> [[LayerRecord]] {
    var groups: [(places: [Int], names: Set<String>)] = []
    for (place, change) in changes.enumerated() {
      var group = (places: [place], names: Set([change.name]))
      if change.kind == .rename { group.names.insert(change.other) }
      for bound in groups where !bound.names.isDisjoint(with: group.names) {
        group.places += bound.places
        group.names.formUnion(bound.names)
      }
      groups.removeAll { !$0.names.isDisjoint(with: group.names) }
      groups.append(group)
    }
    return groups.map { $0.places.sorted().map { changes[$0] } }
  }

  /// Returns whether there was something to take back.
  private func undo(_ change: LayerRecord, in directory: String) -> Bool {
    let path = "\(directory)/\(change.name)"
    var status = stat()
    let exists = lstat(path, &status) == 0
    // A process may have died before the change itself.
    let isSure = change.done != nil
    let subject = UInt64(bitPattern: change.offset)
    switch change.kind {
    case .create, .symlink: return exists && unlink(path) == 0
    case .link:
      guard exists, change.length == 0, isSure || UInt64(status.st_ino) == subject else {
        return false
      }
      return unlink(path) == 0
    case .unlink: return !exists && link("\(grave)/\(change.other)", path) == 0
    case .makeDirectory:
      WorkDirectory.remove(path)
      return exists
    case .rename:
      let target = "\(directory)/\(change.other)"
      guard lstat(target, &status) == 0, isSure || UInt64(status.st_ino) == subject,
        let text = try? PosixFileSystem().readSymbolicLink(target)
      else { return false }
      unlink(target)
      symlink(text, path)
      if change.length == 1 { symlink(String(decoding: change.payload, as: UTF8.self), target) }
      return true
    case .write, .resize, .sync, .done, .failed: return false
    }
  }
}
