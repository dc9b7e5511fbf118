import ArgumentParser
import Glibc
import SluiceJournal
import SluiceReader
import SluiceShared

struct ShellCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "shell",
    abstract: "Open the store in the sqlite3 command, for reading and for transactions.",
    discussion: """
      It runs the `sqlite3` that is in PATH, with the SQLite extension loaded: what lies beside this \
      command as libsluice.so, or what SLUICE_EXTENSION names. A transaction needs an applier at work. \
      What follows the store is handed on to sqlite3: options of its own, and SQL.

        sluice shell STORE
        sluice shell STORE -box "SELECT * FROM item"
        sluice shell STORE < script.sql
      """)

  @OptionGroup var place: StoreArgument

  @Argument(
    parsing: .captureForPassthrough,
    help: ArgumentHelp("What sqlite3 is given: its options, and SQL.", valueName: "ARGUMENT"))
  var arguments: [String] = []

  func run() throws {
    // It would say no more than that it cannot open a file.
    _ = try StoreDescription.read(StoreLayout(place.store), PosixFileSystem())
    let commands = [
      ".load \(Self.quoted(try Self.extensionPath()))",
      ".open \(Self.quoted(ReadVFS.uri(place.store)))",
    ]
    // What is named as the database is opened before the extension is there: nothing, in memory.
    let given = ["sqlite3"] + commands.flatMap { ["-cmd", $0] } + [":memory:"] + arguments
    signal(SIGPIPE, SIG_DFL)
    umask(Sluice.inheritedMask)
    var pointers = given.map { strdup($0) } + [nil]
    execvp("sqlite3", &pointers)
    throw StoreError(
      .io, "sqlite3 cannot be run; install it (on Debian the package sqlite3), or put it into PATH",
      errno: errno)
  }

  private static func extensionPath() throws(StoreError) -> String {
    if let named = getenv("SLUICE_EXTENSION") { return String(cString: named) }
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let count = readlink("/proc/self/exe", &buffer, buffer.count)
    let own = String(
      decoding: buffer.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
    let directory = own.lastIndex(of: "/").map { own[..<$0] } ?? "."
    // As in the tarball, or all in one directory.
    let places = ["", "/../lib"].map { "\(directory)\($0)/libsluice.so" }
    guard let path = places.first(where: { access($0, R_OK) == 0 }) else {
      throw StoreError(
        .io,
        "the SQLite extension is not there; put libsluice.so beside this command or into ../lib, or say with SLUICE_EXTENSION where it is",
        path: places[0])
    }
    return path
  }

  /// As an argument of a command that begins with a dot.
  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      if scalar == "\"" || scalar == "\\" { quoted += "\\" }
      quoted.unicodeScalars.append(scalar)
    }
    return quoted + "\""
  }
}
