internal import CSQLite
internal import SluiceJournal

/// What executes batches in this process; recorded in each start frame.
enum Engine {
  static var current: StartRecord.Engine {
    var options: [String] = []
    var i: Int32 = 0
    while let option = sqlite3_compileoption_get(i) {
      options.append(String(cString: option))
      i += 1
    }
    #if arch(x86_64)
      let architecture = "x86_64"
    #elseif arch(arm64)
      let architecture = "arm64"
    #else
      let architecture = "other"
    #endif
    return StartRecord.Engine(
      sourceID: String(cString: sqlite3_sourceid()),
      compileOptions: options.joined(separator: "\n"),
      architecture: architecture)
  }
}
