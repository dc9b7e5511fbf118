internal import Glibc
internal import SluiceShared

/// What a directory is that has no `store.json`, by the names in it.
extension StoreLayout {
  /// Whether these names in a directory are those of a store, of which some may be lost.
  package static func isStore(_ names: [String]) -> Bool {
    names.contains("store.json") || ["journal", "log", "checkpoints"].allSatisfy(names.contains)
  }

  /// Whether an `init` that was cut off may have left these names: it makes `journal/` first.
  package static func mayBeUnfinished(_ names: [String]) -> Bool {
    names.contains("journal")
      && names.allSatisfy {
        ["journal", "log", "checkpoints", "extensions", "store.json", "current.sqlite"]
          .contains($0) || temporaryTarget($0) != nil
      }
  }

  /// `.noSuchStore`, or `.damaged` where there is a store that lost its `store.json`.
  func lacksDescription(_ fileSystem: any FileSystem) -> StoreError {
    let names = (try? fileSystem.list(root)) ?? []
    if isUsed(fileSystem) {
      return StoreError(
        .damaged, "store.json is missing, and a store is here; `sluice repair` writes it anew",
        path: description, errno: ENOENT)
    }
    if Self.mayBeUnfinished(names) {
      return StoreError(
        .noSuchStore,
        "no store here yet, but what an `init` made that is under way, or was cut off: where none is under way, remove \(names.sorted().joined(separator: ", ")) there, then `sluice init` makes one",
        path: root, errno: ENOENT)
    }
    return StoreError(
      .noSuchStore, "no store here; `sluice init` makes one", path: root, errno: ENOENT)
  }

  /// Whether there is anything that an `init` makes only when it is done, or that came later. `store.json` is
  /// made before all of that.
  private func isUsed(_ fileSystem: any FileSystem) -> Bool {
    func names(_ directory: String) -> [String] { (try? fileSystem.list(directory)) ?? [] }
    return (names(log) + names(oldLog)).contains { Self.logNumber($0) != nil }
      || names(checkpoints).contains { Self.checkpointTxID($0) != nil }
      || names(journal).contains { Self.journalSegment($0) != nil }
  }
}
