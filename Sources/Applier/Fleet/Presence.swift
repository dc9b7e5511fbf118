internal import SluiceJournal
internal import SluiceShared

// A presence is a file of one block, rewritten in place:
//
//   "sluice appliers 1\n", then lines of a name, a space and a value; zeros to the end of the block
//   count   rises with each writing
//   leads   how many stores this process leads
//   serves  which stores it serves: * for all of the directory, else a number made of their ids
//   hints   where it takes hints, where it does: address and port, and what a loopback address leads to, as
//           hexadecimal numbers with points between them
//   holder  who it is, for people

/// Which processes serve the stores of a directory: each has a file in `.sluice` there that says that it
/// lives, and, for people, how many stores it leads.
///
/// It decides how many stores a process leads, and nothing else: no promise rests on it. A process lives as long as its
/// file changes, by the clock of who looks; no two clocks are compared. One that stops removes its file first.
final class Presence {
  static let directoryName = ".sluice"
  private static let magic = "sluice appliers 1\n"

  /// What is known of another process.
  struct Other: Equatable {
    var content: [UInt8]
    /// Since when it is the same (boot time).
    var since: Duration
    var serves: String
    /// Where it is told what is released.
    var hints: HintAddress?
  }

  let directory: String
  private let serves: String
  private let holder: String
  private let hints: HintAddress?
  private let environment: Environment
  /// For how long a file may stay the same.
  private let patience: Duration
  private let name: String
  private var file: (any File)?
  private var count = 0
  private(set) var others: [String: Other] = [:]

  init(
    of stores: String, serves: String, holder: String, hints: HintAddress? = nil,
    patience: Duration, _ environment: Environment
  ) {
    directory = "\(stores)/\(Presence.directoryName)"
    self.serves = serves
    self.holder = holder
    self.hints = hints
    self.patience = patience
    self.environment = environment
    name = Identifier128(high: environment.random(), low: environment.random()).description
  }

  private var path: String { "\(directory)/\(name)" }

  /// Says how many stores this process leads, and looks who else is there. True where somebody has gone.
  func renew(leads: Int) throws(StoreError) -> Bool {
    let listed = try names()
    // Whoever takes a paused process for dead removes its file.
    if file == nil || !listed.contains(name) { file = try made() }
    count += 1
    try file?.write(block(leads), at: 0)
    return try look(listed)
  }

  /// The process stops: before it releases its stores, so that others know that they are to have them. From any
  /// thread; `end` follows.
  func withdraw() { try? environment.fileSystem.unlink(path) }

  func end() {
    file = nil
    withdraw()
  }

  /// How many processes serve these stores, this one included.
  var processes: Int { 1 + others.values.count { $0.serves == serves } }

  /// Where those that serve the same stores take hints.
  var peers: [HintAddress] {
    others.values.compactMap { $0.serves == serves ? $0.hints : nil }
  }

  private func names() throws(StoreError) -> [String] {
    do throws(StoreError) { return try environment.fileSystem.list(directory) } catch {
      guard error.isNoSuchFile else { throw error }
    }
    do throws(StoreError) {
      try environment.fileSystem.makeDirectory(directory, mode: 0o2770)
    } catch {
      guard error.isExistingFile else { throw error }
    }
    return []
  }

  private func made() throws(StoreError) -> any File {
    file = nil
    try? environment.fileSystem.unlink(path)
    return try environment.fileSystem.createUncached(path, mode: 0o640)
  }

  private func block(_ leads: Int) -> [UInt8] {
    var text = Presence.magic
    text += "count \(count)\nleads \(leads)\nserves \(serves)\n"
    if let hints { text += "hints \(Presence.text(hints, environment.hints.loopback))\n" }
    text += "holder \(holder)\n"
    let bytes = [UInt8](text.utf8.prefix(Block.size))
    return bytes + [UInt8](repeating: 0, count: Block.size - bytes.count)
  }

  private func look(_ listed: [String]) throws(StoreError) -> Bool {
    let now = environment.clock.elapsed()
    let before = processes
    let present = Set(listed)
    others = others.filter { present.contains($0.key) }
    for other in listed where other != name && Identifier128(other) != nil {
      guard let content = read(other) else { continue }
      let values = Presence.values(content)
      // What cannot be read any more has not been written by a process that lives.
      if var known = others[other], known.content == content || values == nil {
        // It died. Where it only slept it makes another file.
        if now - known.since >= patience {
          try? environment.fileSystem.unlink("\(directory)/\(other)")
          known.serves = ""
          others[other] = known
        }
        continue
      }
      guard let values else { continue }
      others[other] = Other(
        content: content, since: now, serves: values["serves"] ?? "",
        hints: values["hints"].flatMap { Presence.address($0, environment.hints.loopback) })
    }
    return processes < before
  }

  /// nil: it is gone, or cannot be read now.
  private func read(_ other: String) -> [UInt8]? {
    let bytes = try? environment.fileSystem.open("\(directory)/\(other)", .shared)
      .read(Block.size, at: 0)
    return bytes?.count == Block.size ? bytes : nil
  }

  private static func values(_ content: [UInt8]) -> [String: String]? {
    let text = String(decoding: content.prefix { $0 != 0 }, as: UTF8.self)
    guard text.hasPrefix(magic) else { return nil }
    var values: [String: String] = [:]
    for line in text.dropFirst(magic.count).split(separator: "\n") {
      guard let space = line.firstIndex(of: " ") else { continue }
      values[String(line[..<space])] = String(line[line.index(after: space)...])
    }
    return values
  }

  // MARK: where hints go

  private static func text(_ address: HintAddress, _ loopback: UInt64) -> String {
    [address.high, address.low, UInt64(address.port), address.isIPv6 ? 1 : 0, loopback]
      .map { String($0, radix: 16) }.joined(separator: ".")
  }

  /// nil: it cannot be meant, or leads elsewhere from here.
  private static func address(_ text: String, _ loopback: UInt64) -> HintAddress? {
    let numbers = text.split(separator: ".").compactMap { UInt64($0, radix: 16) }
    guard numbers.count == 5, let port = UInt16(exactly: numbers[2]), port != 0, numbers[3] < 2
    else { return nil }
    let address = HintAddress(
      high: numbers[0], low: numbers[1], port: port, isIPv6: numbers[3] == 1)
    guard !address.isLoopback || loopback != 0 && numbers[4] == loopback else { return nil }
    return address
  }
}
