internal import SluiceJournal
internal import SluiceShared

/// What `store.json` has to say, found out from all that says it: itself, the copies that checkpoints have of
/// it, and the ids in log and checkpoints.
struct DescribedStore {
  let description: StoreDescription
  /// What is there says something else, or cannot be read.
  let mustBeWritten: Bool
  /// The right that a copy has, where nobody said which one it is to be: `sluice config` may have taken it away
  /// since. Who had it back could write anything, so `description` gives it to nobody.
  private(set) var withheldRight: TransactionRight?

  /// What somebody says where nothing else does.
  struct Given: Sendable {
    var lease: StoreDescription.LeaseKind?
    var foreignKeys: Bool?
    var transactions: TransactionRight?
  }

  init(_ layout: StoreLayout, _ given: Given, _ environment: Environment) throws(StoreError) {
    let evidence = try Evidence(layout, environment.fileSystem)
    let read = evidence.read
    guard let store = evidence.store ?? read?.id else {
      throw StoreError(
        .noSuchStore,
        "nothing here says which store this is: no store.json, log segment or checkpoint can be read; restore the store from a backup",
        path: layout.root)
    }
    if let read, read.id == store, evidence.agrees(with: read), evidence.isAsWritten(read) {
      (description, mustBeWritten) = (read, false)
      return
    }
    mustBeWritten = true
    // Lease and right may have been changed since the copy was made.
    let own = read.flatMap { $0.id == store ? $0 : nil }
    if evidence.copy == nil, let read, read.id == store, evidence.agrees(with: read) {
      description = read
      return
    }
    if var copy = evidence.copy {
      copy.lease = given.lease ?? own?.lease ?? copy.lease
      let right = given.transactions ?? own?.transactions
      if right == nil, copy.transactions != .none { withheldRight = copy.transactions }
      copy.transactions = right ?? .none
      description = copy
      return
    }
    guard let pageSize = evidence.pageSize, let lease = given.lease ?? own?.lease,
      let foreignKeys = given.foreignKeys
    else {
      throw StoreError(
        .invalid,
        "store.json cannot be read, and no checkpoint has a copy of it: say how the applier is elected, and whether foreign keys are checked, with --lease file (or dynamodb:TABLE) and --foreign-keys on (or off)",
        path: layout.description)
    }
    var described = StoreDescription(
      id: store, pageSize: pageSize, lease: lease, foreignKeys: foreignKeys)
    let right = given.transactions ?? own?.transactions
    if right == nil { withheldRight = described.transactions }
    described.transactions = right ?? .none
    description = described
  }

  /// What there is to go by.
  private struct Evidence {
    var read: StoreDescription?
    /// Most of log and checkpoints say that they are of this store.
    var store: StoreID?
    /// Of the newest checkpoint that has one.
    var copy: StoreDescription?
    /// Of the oldest checkpoint that says it: the database may have had another one since.
    var pageSize: Int?
    /// Of the database that `init` made.
    private var firstPageSize: Int?
    private var bytes: [UInt8] = []

    init(_ layout: StoreLayout, _ fileSystem: any FileSystem) throws(StoreError) {
      do throws(StoreError) {
        read = try StoreDescription.read(layout, fileSystem)
        bytes = try fileSystem.open(layout.description, .shared).read(64 << 10, at: 0)
      } catch {
        guard [.damaged, .foreign, .noSuchStore].contains(error.code) else { throw error }
      }
      var said: [StoreID: Int] = [:]
      for directory in [layout.log, layout.oldLog] {
        for name in (try? fileSystem.list(directory)) ?? [] where StoreLayout.logNumber(name) != nil
        {
          if let id = try? LogSegment.store("\(directory)/\(name)", fileSystem) {
            said[id, default: 0] += 1
          }
        }
      }
      let sidecars = ((try? fileSystem.list(layout.checkpoints)) ?? [])
        .filter { StoreLayout.sidecarTxID($0) != nil }.sorted(by: >)
      for name in sidecars {
        let path = "\(layout.checkpoints)/\(name)"
        if let id = try? CheckpointSidecar.store(path, fileSystem) { said[id, default: 0] += 1 }
      }
      store = said.max { $0.value < $1.value }?.key
      guard let store else { return }
      let lines = try BegunLines(layout, fileSystem)
      for name in sidecars where StoreLayout.sidecarTxID(name).map(lines.include) ?? false {
        guard
          let header = try? CheckpointSidecar(
            path: "\(layout.checkpoints)/\(name)", store: store, fileSystem: fileSystem
          ).header
        else { continue }
        pageSize = Int(header.pageSize)
        if header.extent.txid == .zero { firstPageSize = pageSize }
        copy = copy ?? StoreDescription(copied: header.description)
      }
    }

    func isAsWritten(_ description: StoreDescription) -> Bool {
      description.isWritten(as: bytes) || description.mayBeNewer(bytes)
    }

    func agrees(with description: StoreDescription) -> Bool {
      guard firstPageSize == nil || firstPageSize == description.pageSize else { return false }
      guard let copy else { return true }
      return description.agrees(with: copy, readFrom: bytes)
    }
  }
}
