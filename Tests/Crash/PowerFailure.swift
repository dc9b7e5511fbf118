import BenchmarkSupport
import Glibc
import SluiceFakes
import SluiceShared

/// Takes back, at random, what the layer's records say was not synced when everything ended.
///
/// Of a file each unsynced block of 4 KiB by itself, to what it held at its last sync or at any
/// write since, and its size; of a directory the last so many changes of its names. Files and
/// directories are independent of each other. Syncs that were not done when the process died count
/// for nothing.
struct PowerFailure {
  private(set) var blocksLost = 0
  private(set) var namesLost = 0
  private let store: String
  private let grave: String
  private var random: SeededRandom
  /// How likely what may be lost is lost: everything, or some.
  private let likelihood: Double
  /// Blocks go in pieces of 512 bytes.
  private let tears: Bool
  private var paths: [UInt64: String] = [:]

  /// Plays one, and forgets the records.
  init(store: String, layer: String, seed: UInt64) throws {
    self.store = store
    grave = "\(layer)/grave"
    random = SeededRandom(seed: seed)
    likelihood = [1, 0.9, 0.5, 0.5, 0.2][random.below(5)]
    tears = random.below(5) == 0
    let unsynced = try LayerRecords("\(layer)/records").unsynced()
    find(store)
    find(grave)
    for (inode, changes) in unsynced.files.sorted(by: { $0.key < $1.key }) {
      undo(changes, inode)
    }
    for (inode, changes) in unsynced.directories.sorted(by: { $0.key < $1.key }) {
      guard let path = paths[inode] else { continue }
      let kept = random.chance(likelihood * likelihood) ? 0 : random.below(changes.count + 1)
      for change in changes[kept...].reversed() {
        undo(change, in: path)
        namesLost += 1
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

  private mutating func undo(_ changes: [LayerRecord], _ inode: UInt64) {
    guard let path = paths[inode] else { return }
    let descriptor = open(path, O_RDWR)
    guard descriptor >= 0 else { return }
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
      blocksLost += 1
      for piece in stride(from: 0, to: 4096, by: tears ? 512 : 4096)
      where !tears || random.below(2) == 0 {
        // Not beyond the end of the file.
        let count = min(tears ? 512 : 4096, Int(status.st_size) - Int(offset) - piece)
        guard count > 0 else { break }
        _ = version.withUnsafeBytes { raw in
          pwrite(descriptor, raw.baseAddress! + piece, count, off_t(offset) + piece)
        }
      }
    }
    restoreSize(descriptor, Int64(status.st_size), sizes)
  }

  private mutating func restoreSize(_ descriptor: Int32, _ size: Int64, _ sizes: [Int64]) {
    guard let first = sizes.first, random.chance(likelihood) else { return }
    let old = random.below(3) == 0 ? sizes[random.below(sizes.count)] : first
    if old < size { ftruncate(descriptor, off_t(old)) }
  }

  // MARK: names

  private func undo(_ change: LayerRecord, in directory: String) {
    let path = "\(directory)/\(change.name)"
    var status = stat()
    let exists = lstat(path, &status) == 0
    // A process may have died before the change itself.
    let isSure = change.done != nil
    let subject = UInt64(bitPattern: change.offset)
    switch change.kind {
    case .create, .symlink: if exists { unlink(path) }
    case .link:
      if exists, change.length == 0, isSure || UInt64(status.st_ino) == subject { unlink(path) }
    case .unlink: if !exists { link("\(grave)/\(change.other)", path) }
    case .makeDirectory: WorkDirectory.remove(path)
    case .rename:
      let target = "\(directory)/\(change.other)"
      guard lstat(target, &status) == 0, isSure || UInt64(status.st_ino) == subject,
        let text = try? PosixFileSystem().readSymbolicLink(target)
      else { return }
      unlink(target)
      symlink(text, path)
      if change.length == 1 { symlink(String(decoding: change.payload, as: UTF8.self), target) }
    case .write, .resize, .sync, .done, .failed: break
    }
  }
}
