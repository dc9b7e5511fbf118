import SluiceFakes
import SluiceJournal
import SluiceQuery
import SluiceReader
import SluiceShared
import SluiceWriter

/// After a run: single bits are damaged, one at a time. Whoever opens the store then is told so, or
/// is shown exactly what is there; never something else, and never less.
struct DamageTrial: @unchecked Sendable {
  // Sendable: used by the strand that has the scheduler's baton only.
  private let world: World
  private let txid: TxID
  private let content: String
  private static let trials = 3

  init(_ world: World, txid: TxID, content: String) {
    self.world = world
    self.txid = txid
    self.content = content
  }

  func run() {
    let files = world.disk.paths.filter {
      $0 != World.layout.current
        && ($0.hasSuffix(".log") || $0.hasSuffix(".sqlite") || $0.hasSuffix(".pages"))
    }
    for _ in 0..<DamageTrial.trials where world.oracle.violation == nil {
      // Half of the time where frames begin in what was written last.
      let isNew = world.scheduler.random.chance(0.5)
      let logs = files.filter { $0.hasSuffix(".log") && $0.hasPrefix(World.layout.log + "/0") }
      let path =
        isNew ? logs.max() ?? files[0] : files[world.scheduler.random.below(files.count)]
      guard let place = somewhere(in: path, step: isNew ? Block.size : 512) else { continue }
      turnOver(path, at: place, bit: UInt8(1 << world.scheduler.random.below(8)))
    }
  }

  /// Near a multiple of `step` bytes where something stands: a hole's damage is nobody's loss.
  private func somewhere(in path: String, step: Int) -> Int64? {
    guard let size = world.disk.size(path), size > 0 else { return nil }
    for _ in 0..<1000 {
      let number = world.scheduler.random.below(Int(size - 1) / Block.size + 1)
      guard let block = world.disk.block(path, number) else { continue }
      let places = stride(from: 0, to: block.count, by: step).filter { start in
        block[start..<min(start + 64, block.count)].contains { $0 != 0 }
      }
      guard !places.isEmpty else { continue }
      let place = places[world.scheduler.random.below(places.count)]
      let offset = Int64(number * Block.size + place + world.scheduler.random.below(64))
      return min(offset, size - 1)
    }
    return nil
  }

  private func turnOver(_ path: String, at offset: Int64, bit: UInt8) {
    world.note("bit \(bit) of \(path) at \(offset) turns over")
    world.disk.damage(path, at: offset) { $0 ^= bit }
    world.count(.damages)
    let turned = "with bit \(bit) of \(path) at \(offset) turned over"
    // Nothing of before may still be in a cache.
    world.live("afterDamage", on: world.freshMachine("fresh"), isReader: true) { life in
      do {
        let database = Database(
          try PageStore(path: World.layout.root, environment: life.environment),
          executor: life.environment.executor)
        try database.read { transaction in
          let text = try world.shown(transaction)
          if text != content || transaction.txid != txid {
            world.oracle.violate(
              .damageShown,
              "\(turned), \(transaction.txid) was shown in place of \(txid), or with other content")
          }
        }
      } catch {
        world.note("found: \(error)")
        world.count(.damagesFound)
        // Whatever says it begins at the damage or before it.
        guard let error = error as? StoreError, error.code == .damaged, error.path == path,
          let named = error.offset, named <= offset
        else {
          return world.oracle.violate(
            .damageMisnamed, "\(turned), that is not what the error names: \(error)")
        }
      }
    }
    world.disk.damage(path, at: offset) { $0 ^= bit }
  }
}

/// Damage to batches that are durable and not yet applied, met by the next applier: it executes what
/// was submitted or nothing, all that lies before the damage, and keeps the file where that is not all.
struct JournalDamageTrial: @unchecked Sendable {
  // Sendable: used by the strand that has the scheduler's baton only.
  private let world: World

  init(_ world: World) { self.world = world }

  func run() {
    world.submitSome()
    guard let path = world.journalFiles.last, let content = world.disk.content(path) else {
      return world.oracle.violate(.trialFailed, "a submit left no file in the journal")
    }
    // Not its mark: whoever sets that only closes it.
    let places = content.indices.filter { $0 >= Block.size && content[$0] != 0 }
    let offset = places[world.scheduler.random.below(places.count)]
    let hit = world.observer.content(of: path).first { Int64(offset) < $0.end }
    world.note("a bit of \(path) at \(offset) turns over")
    world.count(.damages)
    world.disk.damage(path, at: Int64(offset)) { $0 ^= 1 << UInt8(offset % 8) }
    let verification = Verification(world)
    verification.drain()
    guard world.oracle.violation == nil else { return }
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let isAside = world.disk.inode(of: "\(World.layout.quarantine)/\(name)") != nil
    verification.checkHistory(without: isAside ? hit?.id : nil)
    if isAside { world.count(.damagesFound) }
  }
}
