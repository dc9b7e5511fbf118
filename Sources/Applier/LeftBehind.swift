package import SluiceShared

/// Why a term that applied all that it could did not apply all that was submitted.
package struct LeftBehind: Sendable {
  /// Files in the journal that are not read, whatever they hold.
  package var ignored: Int
  /// Batches that are missing between others of their writer, as far as this term found them.
  package var missing: UInt64
  /// Writers with a file that cannot be used at present, or a batch for which the scratch disk has no room; their
  /// batches wait.
  package var heldBack: Int
  /// Segments that this term put into quarantine.
  package var quarantined: UInt32

  package var isEmpty: Bool { ignored == 0 && missing == 0 && heldBack == 0 && quarantined == 0 }

  /// As an error, for who was to apply everything; nil where nothing was left.
  package var error: StoreError? {
    var parts: [String] = []
    if ignored > 0 { parts.append("\(ignored) in journal/ ignored, whose batches are not applied") }
    if quarantined > 0 { parts.append("\(quarantined) put into journal/quarantine/") }
    if missing > 0 { parts.append("\(missing) batches found missing") }
    if heldBack > 0 {
      parts.append(
        "the batches of \(heldBack) writers wait, for a file that cannot be used or for room on the scratch disk"
      )
    }
    guard !parts.isEmpty else { return nil }
    return StoreError(
      // What only waits is there once the cause is mended.
      ignored == 0 && missing == 0 && quarantined == 0 ? .io : .foreign,
      "not all that was submitted is applied: \(parts.joined(separator: "; ")); the log above says which and why"
    )
  }
}
