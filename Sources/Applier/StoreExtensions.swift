package import SluiceJournal
public import SluiceSQLite
public import SluiceShared

/// The loadable extensions of a store: files in `extensions/`, named by the SHA-256 of their
/// content, which `store.json` lists. They are made by `init` and never change.
public enum StoreExtensions {
  /// What this process has verified, by hash. An extension of two stores is held once.
  private static let verified = Monitor<[String: LoadableExtension]>([:])

  /// As `Database(path:extensions:)` takes them, of the store at `path`. Throws as the applier does which loads them:
  /// `.damaged` where a file is missing or has another content, `.unsupported` where this host cannot load it.
  public static func open(
    of path: String, environment: Environment = .posix()
  ) throws(StoreError) -> [LoadableExtension] {
    let layout = StoreLayout(path)
    return try open(StoreDescription.read(layout, environment.fileSystem), in: layout, environment)
  }

  /// Reads and verifies a store's extensions; a second call of a process reads nothing. Throws
  /// `.damaged` where a file is missing or has another content, `.unsupported` where this host
  /// cannot load it.
  package static func open(
    _ description: StoreDescription, in layout: StoreLayout,
    _ environment: Environment = .posix()
  ) throws(StoreError) -> [LoadableExtension] {
    var opened: [LoadableExtension] = []
    for one in description.extensions { opened.append(try open(one, layout, environment)) }
    return opened
  }

  /// For a reader, which may well do without: those that can be loaded here and whose files belong to
  /// somebody that `mayRun` accepts, and for each of the others why it was left out.
  package static func readable(
    _ description: StoreDescription, in layout: StoreLayout,
    _ environment: Environment = .posix(),
    mayRun: (_ owner: UInt32) -> Bool
  ) -> (loaded: [LoadableExtension], left: [String]) {
    var loaded: [LoadableExtension] = []
    var left: [String] = []
    for one in description.extensions {
      do throws(StoreError) {
        loaded.append(try open(one, layout, environment, mayRun))
      } catch {
        left.append(error.description)
      }
    }
    return (loaded, left)
  }

  private static func open(
    _ one: StoreDescription.Extension, _ layout: StoreLayout, _ environment: Environment,
    _ mayRun: (_ owner: UInt32) -> Bool = { _ in true }
  ) throws(StoreError) -> LoadableExtension {
    if let known = verified.withLock({ $0[one.sha256] }) { return known }
    let path = "\(layout.extensions)/\(StoreLayout.extensionName(one))"
    let bytes: [UInt8]
    do throws(StoreError) {
      let (content, owner) = try read(path, environment.fileSystem)
      guard mayRun(owner) else {
        throw StoreError(
          .invalid, "the store's extension \(one.name) belongs to another user and was not loaded",
          path: path)
      }
      bytes = content
    } catch {
      guard error.isNoSuchFile else { throw error }
      throw StoreError(
        .damaged,
        "the store's extension \(one.name) is missing; put back the file with this SHA-256 under this name",
        path: path)
    }
    guard hash(bytes) == one.sha256 || !environment.makes(.extensionContent) else {
      throw StoreError(
        .damaged,
        "the store's extension \(one.name) has another content than `init` recorded; put back the file with this SHA-256",
        path: path)
    }
    return try keep(one, bytes)
  }

  /// Made once for each content, and never let go: see `LoadableExtension`.
  private static func keep(_ one: StoreDescription.Extension, _ bytes: [UInt8])
    throws(StoreError) -> LoadableExtension
  {
    let made = try LoadableExtension(name: one.name, bytes: bytes)
    // Whether it can be loaded is known before anybody relies on it.
    let probe: Connection
    do throws(SQLiteError) {
      probe = try Connection(path: ":memory:", flags: [.readWrite, .memory, .noMutex])
    } catch {
      throw StoreError(.io, "SQLite cannot be used to try the extension \(one.name): \(error)")
    }
    try probe.load([made])
    return verified.withLock { known in
      if let earlier = known[one.sha256] { return earlier }
      known[one.sha256] = made
      return made
    }
  }

  // MARK: init

  /// An extension that `init` is to give to a store.
  struct Candidate {
    let record: StoreDescription.Extension
    let bytes: [UInt8]
    let loadable: LoadableExtension
  }

  /// Reads the files that `init` was given, and sees that they can be loaded.
  static func candidates(_ paths: [String], _ fileSystem: any FileSystem) throws(StoreError)
    -> [Candidate]
  {
    guard paths.count <= Limits.extensionsPerStore else {
      throw StoreError(
        .limit, "a store has at most \(Limits.extensionsPerStore) extensions, not \(paths.count)")
    }
    var candidates: [Candidate] = []
    for path in paths {
      let candidate = try candidate(path, fileSystem)
      guard !candidates.contains(where: { $0.record.sha256 == candidate.record.sha256 }) else {
        throw StoreError(.invalid, "this extension is given twice", path: path)
      }
      candidates.append(candidate)
    }
    return candidates
  }

  private static func candidate(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
    -> Candidate
  {
    let bytes: [UInt8]
    do throws(StoreError) { bytes = try read(path, fileSystem).bytes } catch {
      guard error.isNoSuchFile else { throw error }
      throw StoreError(
        .noSuchStore, "there is no such extension; give the file's whole name", path: path)
    }
    guard bytes.count <= Limits.extensionBytes else {
      throw StoreError(
        .limit, "an extension has at most \(Limits.extensionBytes) bytes", path: path)
    }
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let file = slash.map { path[path.utf8.index(after: $0)...] }
    let name = (file ?? path[...]).utf8.prefix { $0 != UInt8(ascii: ".") }
    guard let record = StoreDescription.Extension(name: "\(Substring(name))", sha256: hash(bytes))
    else {
      throw StoreError(
        .invalid, "an extension's name, its file's without the suffix, has 1 to 100 bytes",
        path: path)
    }
    do throws(StoreError) {
      return Candidate(record: record, bytes: bytes, loadable: try keep(record, bytes))
    } catch {
      var error = error
      error.path = path
      throw error
    }
  }

  /// Writes the candidates into the store, durably.
  static func write(_ candidates: [Candidate], to layout: StoreLayout, _ fileSystem: any FileSystem)
    throws(StoreError)
  {
    for candidate in candidates {
      let file = try fileSystem.create(
        "\(layout.extensions)/\(StoreLayout.extensionName(candidate.record))", mode: 0o444)
      try file.write(candidate.bytes, at: 0)
      try file.sync()
    }
    try fileSystem.syncDirectory(layout.extensions)
  }

  /// The content, and whom the file belongs to that it was read from.
  private static func read(_ path: String, _ fileSystem: any FileSystem) throws(StoreError)
    -> (bytes: [UInt8], owner: UInt32)
  {
    switch try fileSystem.status(path).kind {
    case .regular, .symbolicLink: break
    // A FIFO would be waited for.
    case .directory, .other:
      throw StoreError(.invalid, "an extension is a regular file", path: path)
    }
    let file = try fileSystem.open(path, .fixed)
    let status = try file.status()
    let count = Int(min(status.size, Int64(Limits.extensionBytes) + 1))
    return (try file.read(count, at: 0), status.owner)
  }

  private static func hash(_ bytes: [UInt8]) -> String {
    bytes.withUnsafeBytes(SHA256.hash).map { hexadecimal($0, width: 2) }.joined()
  }
}
