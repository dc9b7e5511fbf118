internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// A batch for which the scratch disk has no room, since others fill it: its writer waits, and nobody else.
extension JournalIntake {
  /// Whether the writer is left alone at present.
  func isHeldBack(_ writer: WriterID) -> Bool { heldBack.has(writer) || withoutRoom.has(writer) }

  /// Leaves the batch's writer alone for a while. Its batches may be as large as all that may wait, so none is
  /// kept: its segments are found anew, and read from their beginnings, as a new term reads them.
  func holdBack(_ batch: PendingBatch, lacking room: Session.Lack) {
    let writer = batch.id.writer
    waiting.remove(writer)
    for segment in (writers[writer]?.segments ?? []) + finished.takeOut(writer) { forget(segment) }
    let error = StoreError(.io, room.message)
    guard withoutRoom.holdBack(writer, error, environment.clock.elapsed()) else { return }
    log.error(
      "the scratch disk is full of what others have there; a batch that needs room waits, and its writer's others",
      metadata: ["batch": "\(batch.id)", "error": "\(room.message)"])
  }
}
