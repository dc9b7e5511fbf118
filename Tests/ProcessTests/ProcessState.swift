import Glibc

/// What `/proc/PID/stat` says of a process.
struct ProcessState {
  /// "R", "S", … and "Z" where it has ended and nobody has asked how.
  let state: String
  let parent: pid_t
  /// The processor's time that it has used, its own and the kernel's for it.
  let ticks: Int

  /// nil where there is none of that number.
  init?(of id: pid_t) {
    guard let file = fopen("/proc/\(id)/stat", "r") else { return nil }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 1024)
    guard fgets(&buffer, 1024, file) != nil else { return nil }
    let text = String(
      decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // Behind the name, which is in parentheses: state, parent …
    guard let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(end, offsetBy: 2)...].split(separator: " ")
    guard fields.count > 12, let parent = pid_t(fields[1]), let user = Int(fields[11]),
      let system = Int(fields[12])
    else { return nil }
    state = String(fields[0])
    self.parent = parent
    ticks = user + system
  }

  static func hasEnded(_ id: pid_t) -> Bool { Self(of: id).map { $0.state == "Z" } ?? true }
}
