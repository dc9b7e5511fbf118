package import SluiceShared

/// Takes segments that nobody needs out of `log/`, and later out of the store.
///
/// Each is closed, gets a second name in `log/old/`, and then loses the first: lowest numbers first, and
/// one is gone before the next one goes. So whoever takes a number that became free in this way finds
/// nothing below it that ever started, and gives up (docs/GUARANTEES.md, 6 (a)). Never by `rename`: that
/// would replace what has the name in `old/` already, by the file of a claimant that was late.
///
/// May be done by anybody at any time, also by an applier that leads no more and does not know it.
package struct LogRetirement: Sendable {
  package let layout: StoreLayout
  package let environment: Environment
  /// Who does it, for people.
  package let name: String

  package init(layout: StoreLayout, environment: Environment, name: String) {
    self.layout = layout
    self.environment = environment
    self.name = name
  }

  /// Moves the segments below `needed`, from which on the log is needed, and below `newest`, which has a
  /// beacon. Returns their numbers; throws at the first that cannot be moved. `isUrgent`: where the disk has
  /// no room for the second name, a segment goes without one.
  package func retire(below needed: UInt64, beneath newest: UInt64, isUrgent: Bool = false)
    throws(StoreError) -> [UInt64]
  {
    let fileSystem = environment.fileSystem
    // Otherwise whatever is listed last, which may be a claimant's.
    let bound =
      environment.makes(.retireBelowBeacon) ? min(needed, newest) : try listed().last ?? 0
    var numbers = try listed().filter { $0 < bound }
    guard !numbers.isEmpty else { return [] }
    if !environment.makes(.retireLowestFirst) { numbers.reverse() }
    try layout.oldLogDirectory.makeIfMissing(fileSystem)
    for number in numbers {
      try close(number)
      do throws(StoreError) { try giveName(number) } catch {
        guard isUrgent, error.isFullDisk else { throw error }
      }
    }
    // On a local disk the second name must be durable before the first one goes.
    try fileSystem.syncDirectory(layout.oldLog)
    for number in numbers { try unlink(layout.segment(number)) }
    try fileSystem.syncDirectory(layout.log)
    let left = try listed().filter { $0 < bound }
    // A claimant that was late may have made one since; the next round takes it.
    return numbers.filter { !left.contains($0) }
  }

  /// Deletes what was moved before `date_ms`, by the file server's clock. Returns how many.
  package func delete(movedBefore date_ms: Int64) throws(StoreError) -> Int {
    let fileSystem = environment.fileSystem
    var count = 0
    let numbers = try fileSystem.listed(ifThere: layout.oldLog)
      .compactMap(StoreLayout.logNumber).sorted()
    guard !numbers.isEmpty, let lowest = try listed().first else { return 0 }
    for number in numbers {
      // Another may stand still between the two names: the one that goes here would be the last. The next round
      // takes both.
      guard number < lowest || !environment.makes(.deleteOnlyMoved) else { break }
      let path = layout.oldSegment(number)
      do throws(StoreError) {
        // Closing it dated it. An applier here that led in it, and stands still, may have it open for writing:
        // then this machine still knows its old date. They were moved in their order, and so they go.
        let file = try fileSystem.open(path, .shared)
        guard try file.freshStatus().modified_ms <= date_ms else { break }
      } catch {
        guard error.isGone else { throw error }
        continue
      }
      try unlink(path)
      count += 1
    }
    return count
  }

  private func listed() throws(StoreError) -> [UInt64] {
    try environment.fileSystem.list(layout.log).compactMap(StoreLayout.logNumber).sorted()
  }

  /// Its mark is set, so that a late claimant who made it cannot start; and the file server dates it.
  private func close(_ number: UInt64) throws(StoreError) {
    do throws(StoreError) {
      let file = try environment.fileSystem.open(layout.segment(number), .write)
      try Mark.write(to: file, by: name, time_ms: environment.clock.wallTime_ms())
    } catch {
      // Another applier moved it; or there is no room, and it goes in order to make some: its date is older
      // then, and it is deleted sooner.
      guard error.isGone || error.isFullDisk else { throw error }
    }
  }

  private func giveName(_ number: UInt64) throws(StoreError) {
    let path = layout.segment(number)
    let old = layout.oldSegment(number)
    if !environment.makes(.retireByLink) { try? environment.fileSystem.unlink(old) }
    do throws(StoreError) { try environment.fileSystem.link(path, to: old) } catch {
      // Moved already, by another or by the request whose answer was lost; or a late claimant's file, and
      // the one that had its number before lies in `old/`.
      guard error.isExistingFile || error.isNoSuchFile else { throw error }
    }
  }

  private func unlink(_ path: String) throws(StoreError) {
    do throws(StoreError) { try environment.fileSystem.unlink(path) } catch {
      guard error.isGone else { throw error }
    }
  }
}
