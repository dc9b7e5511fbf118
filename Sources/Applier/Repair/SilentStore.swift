internal import SluiceJournal
internal import SluiceShared

/// Sees whether an applier leads, also where nobody can read what it says: its beacons change.
struct SilentStore {
  let store: StoreHandle
  /// For how long a beacon that is not released must stay as it is.
  let silence: Duration

  /// Throws `.busy` where an applier leads.
  func wait() throws(StoreError) {
    let clock = store.environment.clock
    let first = try look()
    let began = clock.elapsed()
    while let first, !first.isReleased, clock.elapsed() - began < silence {
      clock.sleep(min(.milliseconds(200), silence / 4))
      guard try look() == first else {
        throw StoreError(
          .busy, "an applier leads this store; stop all of its appliers first (SIGTERM)",
          path: store.layout.root)
      }
    }
  }

  private struct Look: Equatable {
    var number: UInt64
    /// Blocks 2 and 3 as they are.
    var beacons: [UInt8]
    var isReleased: Bool
  }

  /// Of the newest segment; nil where there is none.
  private func look() throws(StoreError) -> Look? {
    let names = try? store.fileSystem.list(store.layout.log)
    guard let number = names?.compactMap(StoreLayout.logNumber).max() else { return nil }
    let path = store.layout.segment(number)
    let beacons = try store.fileSystem.open(path, .shared).read(
      2 * Block.size, at: Block.beacons.0)
    let segment = try? LogSegment(path: path, store: store.id, environment: store.environment)
    let beacon = (try? segment?.control())?.beacon
    return Look(number: number, beacons: beacons, isReleased: beacon?.state == .released)
  }
}
