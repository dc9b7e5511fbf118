import ArgumentParser
import Glibc
import SluiceSQLite
import SluiceShared

/// The command line program: `sluice COMMAND STORE …`.
///
/// Results go to standard output, everything else to standard error; the exit code says what to do
/// next (`ExitCode.swift`).
@main
struct Sluice: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice",
    abstract: "Many writers, one SQLite database on a shared file system, no server.",
    discussion: """
      A store is a directory. Writers submit batches of SQL into its journal, one applier at a time \
      executes them in order, and readers query a consistent snapshot without locks.

        sluice init /mnt/efs/orders
        sluice apply /mnt/efs/orders &
        sluice submit /mnt/efs/orders "CREATE TABLE item(name TEXT)"
        sluice submit /mnt/efs/orders "INSERT INTO item(name) VALUES (?)" bolt
        sluice query /mnt/efs/orders "SELECT * FROM item"

      \(ExitCode.list)
      """,
    version: "0.1.0",
    subcommands: [
      InitCommand.self, SubmitCommand.self, OutcomeCommand.self, ApplyCommand.self,
      QueryCommand.self, ShellCommand.self, DumpCommand.self, RestoreCommand.self,
      ReplayCommand.self,
      BackupCommand.self, VerifyCommand.self, RepairCommand.self, LogCommand.self,
      RejectedCommand.self, ResubmitCommand.self, DiscardCommand.self,
      StatusCommand.self, CheckpointCommand.self, CompactCommand.self, ConfigCommand.self,
      ExecuteCommand.self, LambdaCommand.self,
    ])

  /// What this program makes has the permissions that it says, whatever the user's mask; setting them
  /// afterwards would be one more request to the file server for each file. This is the user's.
  static let inheritedMask = umask(0)

  static func main() {
    // A reader of the output that goes away is `OutputFile.hasReader`, not the end of the process.
    signal(SIGPIPE, SIG_IGN)
    _ = inheritedMask
    do {
      var command = try parseAsRoot(Parameter.marked(arguments()))
      if !(command is any EndingInOrder) { StopSignal.unblock() }
      try command.run()
    } catch {
      end(with: error)
    }
  }

  /// The arguments as they were given. Those of `CommandLine` are mended where they are no UTF-8, and
  /// so two keys, or two directories, would become one.
  private static func arguments() throws(StoreError) -> [String] {
    var texts: [String] = []
    for i in 1..<max(1, Int(CommandLine.argc)) {
      guard let argument = CommandLine.unsafeArgv[i] else { break }
      guard let text = String(validatingCString: argument) else {
        throw StoreError(
          .invalid,
          "argument \(i) is no UTF-8: \(escaped(argument)); give values with other bytes as a blob (--ndjson), and paths by another name, such as a link's"
        )
      }
      texts.append(text)
    }
    return texts
  }

  /// The bytes of a text, of which those that are not ASCII are shown as numbers.
  private static func escaped(_ argument: UnsafePointer<CChar>) -> String {
    var text = ""
    for i in 0..<min(strlen(argument), 200) {
      let byte = UInt8(bitPattern: argument[i])
      if byte < 0x80 {
        text.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        text += "\\x" + hexadecimal(byte, width: 2)
      }
    }
    return text
  }

  /// Ends the process: help and version to standard output, an error as one line to standard error.
  private static func end(with error: any Error) -> Never {
    switch error {
    case let error as StoreError: fail(error.description, ExitCode(error.code))
    case let error as SQLiteError: fail(error.description, ExitCode(error))
    // Thrown by a command that said already what there was to say.
    case let code as ExitCode: Glibc.exit(code.rawValue)
    default: break
    }
    guard exitCode(for: error) != .success else { exit(withError: error) }
    let command = configuration.subcommands.compactMap { $0.configuration.commandName }
      .first { $0 == (try? arguments())?.first }
    let help = (["sluice", command].compactMap { $0 } + ["--help"]).joined(separator: " ")
    fail(
      "\(onOneLine(Parameter.unmarked(message(for: error)))); see `\(help)`",
      exitCode(for: error) == .validationFailure ? .usage : .io)
  }

  /// The parser lists many values in lines of their own, and ends some sentences.
  private static func onOneLine(_ message: String) -> String {
    let lines = message.split(separator: "\n")
    guard let first = lines.first, lines.count > 1 else {
      return message.hasSuffix(".") ? String(message.dropLast()) : message
    }
    let values = lines.dropFirst().map { $0.hasPrefix("  - ") ? $0.dropFirst(4) : $0 }
    return "\(first) \(values.joined(separator: ", "))"
  }

  private static func fail(_ message: String, _ code: ExitCode) -> Never {
    warn(message)
    Glibc.exit(code.rawValue)
  }

  /// One line to standard error.
  static func warn(_ message: String) {
    var output = OutputFile(descriptor: STDERR_FILENO)
    // Where standard error cannot be written there is nowhere left to say so.
    try? output.write("sluice: \(message.printable)\n")
    try? output.flush()
  }
}

/// The argument that nearly every command begins with.
struct StoreArgument: ParsableArguments {
  @Argument(help: "The store's directory.", completion: .directory)
  var store: String

  func validate() throws { try Path.check(store, "the store's directory") }
}

/// A path in an argument.
enum Path {
  /// An empty one, as of a variable that was never set, is nobody's.
  static func check(_ path: String?, _ what: String) throws {
    if path?.isEmpty == true {
      throw ValidationError("\(what) is empty; give a path, `.` for the present directory")
    }
  }
}
