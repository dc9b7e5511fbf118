internal import Logging
internal import SluiceJournal
internal import SluiceShared

/// What a fleet does now and then: finds the stores that came and went, learns who else serves them, and releases
/// what is above its share.
final class FleetUpkeep {
  private unowned let fleet: Fleet
  private let environment: Environment
  private let pause: Duration
  private var known: [String: FleetStore] = [:]
  /// Names that are no stores, and when they are looked at again (boot time).
  private var others: [String: Duration] = [:]
  private var presence: Presence?
  private var lastRound: Duration?
  /// Until when stores of a process that has gone are released (boot time).
  private var departing = Duration.zero
  private var complaints: Set<Complaint> = []

  /// What is said once, until it is well again.
  private enum Complaint { case listing, sharing }

  init(_ fleet: Fleet) {
    self.fleet = fleet
    environment = fleet.environment
    pause = max(.milliseconds(250), fleet.template.leaseTime / 4)
  }

  /// Before the first turn: who is there is known before anything is claimed.
  func begin() {
    if case .these(let paths) = fleet.stores { for path in paths { add(path) } }
    guard let (directory, serves) = ground else { return }
    presence = Presence(
      of: directory, serves: serves, holder: fleet.template.holder, hints: fleet.hintAddress,
      patience: fleet.template.leaseTime * 2, environment)
    renewPresence()
  }

  /// Where those that serve the same stores meet: the directory that they are in; of a list, that of the store that comes
  /// first by its path, and a digest says which list it is. What all paths begin with is left out of that: on
  /// another host the file system may be mounted elsewhere.
  private var ground: (directory: String, serves: String)? {
    guard !fleet.template.drains else { return nil }
    switch fleet.stores {
    case .all(let directory): return (directory, "*")
    case .these(let paths):
      let listed = paths.map { String(FleetUpkeep.trimmed($0)) }.sorted()
      guard let first = listed.first else { return nil }
      let parent = FleetUpkeep.parent(first)
      let parts = listed.map { $0.split(separator: "/") }
      let common = parts.dropFirst().reduce(parts[0].dropLast()[...]) { common, other in
        common.prefix(zip(common, other.dropLast()).prefix { $0 == $1 }.count)
      }
      let names = parts.map { $0.dropFirst(common.count).joined(separator: "/") }.sorted()
      let digest = names.joined(separator: "/").utf8.map { $0 }.withUnsafeBytes { SHA256.hash($0) }
      return (parent, digest.prefix(8).map { hexadecimal(UInt64($0), width: 2) }.joined())
    }
  }

  private static func trimmed(_ path: String) -> Substring {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }

  private static func parent(_ path: String) -> String {
    let path = trimmed(path)
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  func step() -> Schedule<Int>.Rest {
    if fleet.isStopping {
      presence?.end()
      presence = nil
      return .ended
    }
    let now = environment.clock.elapsed()
    // What is released, as by a process that stops, calls for a round.
    if let lastRound, now - lastRound < Limits.shortestPauseBetweenRounds {
      return .until(lastRound + Limits.shortestPauseBetweenRounds)
    }
    lastRound = now
    if case .all(let directory) = fleet.stores { list(directory, now) }
    if fleet.template.drains { return .ended }
    if renewPresence() { departing = now + fleet.template.leaseTime / 2 }
    // Its presence goes before its stores are released, which may take a while.
    let isDeparting = now < departing
    if isDeparting { fleet.sawDeparture() }
    return .until(
      now + (release(now) || isDeparting ? Limits.shortestPauseBetweenReleases : pause))
  }

  /// The process stops. From any thread; what a renewal that is under way makes anew goes with the next step.
  func withdraw() { presence?.withdraw() }

  // MARK: stores that come and go

  private func add(_ path: String) { known[path] = fleet.add(path) }

  private func list(_ directory: String, _ now: Duration) {
    let names: [String]
    do throws(StoreError) { names = try environment.fileSystem.list(directory) } catch {
      return complain(
        .listing, "the directory of stores cannot be listed; those that are known are served",
        error)
    }
    complaints.remove(.listing)
    let present = Set(names.lazy.filter { !$0.hasPrefix(".") }.map { "\(directory)/\($0)" })
    for (path, store) in known where !present.contains(path) && isGone(path) {
      store.vanished()
      known[path] = nil
      fleet.wakeAll()
    }
    others = others.filter { present.contains($0.key) }
    for path in present where known[path] == nil && others[path] ?? .zero <= now {
      // A listing, since asking for a name remembers on NFS that it was not there.
      let isStore = (try? environment.fileSystem.list(path))?.contains("store.json") ?? false
      if isStore { add(path) }
      others[path] = isStore ? nil : now + Limits.pauseForNoStore
    }
  }

  /// A listing of what changes meanwhile may miss a name, which must not end a term.
  private func isGone(_ path: String) -> Bool {
    do throws(StoreError) { _ = try environment.fileSystem.list(path) } catch {
      return error.isNoSuchFile
    }
    return false
  }

  // MARK: sharing

  /// True where somebody has gone: what they released is there to be claimed.
  @discardableResult
  private func renewPresence() -> Bool {
    guard let presence else { return false }
    let leads = fleet.state.withLock { $0.leads }
    do throws(StoreError) {
      let hasGone = try presence.renew(leads: leads)
      let processes = presence.processes
      let before = fleet.state.withLock { state in
        defer { (state.sharing.processes, state.peers) = (processes, presence.peers) }
        return state.sharing.processes
      }
      if processes != before {
        fleet.logger.info(
          "processes that serve these stores", metadata: ["count": "\(processes)"])
      }
      complaints.remove(.sharing)
      return hasGone
    } catch {
      complain(
        .sharing,
        "stores are not shared evenly with other processes: \(presence.directory) cannot be used; let this user write there",
        error)
      fleet.state.withLock { $0.sharing.processes = 1 }
      return false
    }
  }

  /// Whether there is more to release.
  private func release(_ now: Duration) -> Bool {
    let (surplus, isReleasing, stores) = fleet.state.withLock { state in
      let surplus = state.sharing.surplus(leads: state.leads, at: now)
      return (surplus, state.sharing.isReleasing, surplus > 0 ? state.stores : [:])
    }
    for (key, store) in stores.lazy.filter({ $0.value.leads }).prefix(surplus) {
      store.offer()
      fleet.wake(key)
    }
    return isReleasing
  }

  private func complain(_ complaint: Complaint, _ message: String, _ error: StoreError) {
    guard complaints.insert(complaint).inserted else { return }
    fleet.logger.warning("\(message)", metadata: ["reason": "\(error)"])
  }
}
