import BenchmarkSupport
import Glibc
import SluiceShared

/// The processes of one round.
final class Cast {
  struct Member {
    var role: Role
    var process: ChildProcess
    var notes: String
    /// Of a worker.
    var number = 0
    var habit: Habit?
    /// SIGKILL was sent to it.
    var isKilled = false
    /// SIGTERM was sent to it.
    var isTerminated = false
  }

  private let executable: String
  private let store: String
  private let directory: String
  private let layer: String?
  private let sabotage: Sabotage?
  private(set) var members: [Member] = []
  private var started = 0

  /// `directory` takes notes and output; `layer` the records of the lossy layer.
  init(
    executable: String, store: String, directory: String, layer: String?, sabotage: Sabotage?
  ) {
    self.executable = executable
    self.store = store
    self.directory = directory
    self.layer = layer
    self.sabotage = sabotage
  }

  @discardableResult
  func start(_ role: Role, _ plan: CrashPlan?, _ arguments: [String] = [], worker: Int = 0)
    throws -> Int
  {
    started += 1
    let name = "\(role.rawValue)-\(started)"
    let notes = "\(directory)/\(name).notes"
    var words = [role.rawValue, store, notes] + arguments + ["--driver", "\(getpid())"]
    if let layer { words += ["--layer", layer] }
    if let plan { words += ["--plan", "\(plan)"] }
    // The store itself is well made, and its backups, which would show it first.
    if let sabotage, role != .creator, role != .backup {
      words += ["--sabotage", sabotage.rawValue]
    }
    let process = try ChildProcess(
      name, executable, words, output: "\(directory)/\(name).out",
      log: "\(directory)/\(name).log")
    members.append(
      Member(
        role: role, process: process, notes: notes, number: worker,
        habit: arguments.compactMap(Habit.init).first))
    return members.count - 1
  }

  func indices(of role: Role) -> [Int] { members.indices.filter { members[$0].role == role } }

  func isRunning(_ index: Int) -> Bool { members[index].process.isRunning }

  func kill(_ index: Int) {
    sendKill(index)
    _ = members[index].process.wait(atMost: .seconds(30))
  }

  /// All at once, and waits for their ends.
  func killAll() throws {
    for index in members.indices { sendKill(index) }
    try waitForAll()
  }

  private func sendKill(_ index: Int) {
    guard isRunning(index) else { return }
    members[index].isKilled = true
    members[index].process.signal(SIGKILL)
  }

  /// Asks a process to end in order; one that has hardly begun may end at once.
  func terminate(_ index: Int) {
    let process = members[index].process
    members[index].isTerminated = true
    process.signal(SIGTERM)
    for _ in 0..<600 where process.wait(atMost: .milliseconds(50)) == nil {
      // It may come to the point where it stops only now.
      process.signal(SIGCONT)
    }
  }

  func waitForAll() throws {
    for member in members where member.process.wait(atMost: .seconds(30)) == nil {
      throw RunError("\(member.process.name) did not end within 30 s")
    }
  }

  /// Whether a process's notes hold a line that begins so.
  func hasNoted(_ index: Int, _ word: String) -> Bool {
    guard let lines = try? readLines(members[index].notes) else { return false }
    return lines.contains { $0.hasPrefix(word) }
  }

  func account(_ index: Int) throws -> Account {
    try Account(worker: members[index].number, notes: members[index].notes)
  }

  /// What is wrong with how a process ended: nil where it came to its end, died at the point where
  /// it was to, or was killed from here.
  func complaint(_ index: Int, _ account: Account) -> String? {
    let member = members[index]
    let name = member.process.name
    guard let ending = member.process.wait(atMost: .zero) else { return "\(name) has not ended" }
    switch ending {
    case .exited(0):
      return account.isComplete || !account.errors.isEmpty
        ? nil : "\(name) did not come to its end"
    case .killed(SIGKILL) where member.isKilled || account.died != nil: return nil
    case .killed(SIGTERM) where member.isTerminated: return nil
    case .exited, .killed:
      let log = (try? readLines("\(directory)/\(name).log")) ?? []
      // A trap says why before it traces where.
      let said =
        log.first { $0.contains("Fatal error: ") || $0.contains(" failed: ") } ?? log.last ?? ""
      return "\(name) \(ending): \(said)"
    }
  }
}
