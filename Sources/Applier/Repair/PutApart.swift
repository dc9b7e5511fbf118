internal import SluiceJournal
internal import SluiceShared

/// Takes files out of a store and deletes none: each gets a name in `repaired/<time>/` and loses its own.
///
/// That directory is what `sluice replay --log` reads: segments and checkpoints lie in it side by side.
struct PutApart {
  let directory: String
  private let layout: StoreLayout
  private let environment: Environment
  private var isMade = false
  private var kept: [String] = []

  init(_ layout: StoreLayout, _ environment: Environment) {
    self.layout = layout
    self.environment = environment
    let time = timestamp(environment.clock.wallTime_ms()).filter { !"-:.".contains($0) }
    directory = "\(layout.repaired)/\(time)"
  }

  /// Gives a file its second name, durably before `removeNames` takes the first.
  mutating func keep(_ path: String) throws(StoreError) {
    let fileSystem = environment.fileSystem
    if !isMade {
      for one in [layout.repaired, directory] {
        _ = try fileSystem.makeOwnedDirectory(one, mode: 0o755)
      }
      try fileSystem.syncDirectory(layout.repaired)
      try fileSystem.syncDirectory(layout.root)
      isMade = true
    }
    let name = path.split(separator: "/").last.map { "\($0)" } ?? ""
    // Of two files of one name: a number of the log lies in `log/` and in `log/old/`.
    for suffix in ["", ".2", ".3"] {
      do throws(StoreError) {
        try fileSystem.link(path, to: "\(directory)/\(name)\(suffix)")
        kept.append(path)
        return
      } catch {
        // Gone since it was listed.
        if error.isNoSuchFile { return }
        guard error.isExistingFile, suffix != ".3" else { throw error }
      }
    }
  }

  /// Takes their names in the store from all that were kept, in the order in which they were.
  mutating func removeNames() throws(StoreError) {
    guard isMade else { return }
    let fileSystem = environment.fileSystem
    try fileSystem.syncDirectory(directory)
    for path in kept {
      do throws(StoreError) { try fileSystem.unlink(path) } catch {
        guard error.isGone else { throw error }
      }
    }
    kept = []
    for directory in layout.directories where try directory.isThere(fileSystem) {
      try fileSystem.syncDirectory(directory.path)
    }
    try fileSystem.syncDirectory(layout.root)
  }
}

extension PutApart {
  /// Gives a file that is about to be replaced a second name.
  mutating func keepCopy(_ path: String) throws(StoreError) {
    try keep(path)
    kept.removeAll { $0 == path }
    if isMade { try environment.fileSystem.syncDirectory(directory) }
  }
}
