import BenchmarkSupport
import SluiceJournal
import SluiceShared

/// One submission, as the worker noted it: what it was about to submit, and then what it was told.
struct Testimony: Sendable {
  enum Answer: Hashable, Sendable {
    /// None came: the process died, or was still waiting.
    case none
    /// Durable: nothing may make this untrue.
    case durable
    /// `submit` threw that the batch is certainly not there.
    case refused(String)
    /// `submit` threw that it may be there.
    case unknown(String)
  }

  var deed: Deed
  /// The submission's number in its process.
  var submission: Int
  var answer = Answer.none
  /// Its name in the journal, where the worker was told.
  var batch: BatchID?
  var outcome: ToldOutcome?
}

/// An outcome as a worker was told it.
struct ToldOutcome: Hashable, Sendable {
  var txid: TxID
  /// `applied`, `rejected CODE` or `duplicate TXID`.
  var verdict: String

  init(txid: TxID, _ outcome: Outcome) {
    self.txid = txid
    verdict =
      switch outcome {
      case .applied: "applied"
      case .rejected(let rejection): "rejected \(rejection.code)"
      case .duplicate(let original, _): "duplicate \(original)"
      }
  }

  init(txid: TxID, verdict: String) {
    self.txid = txid
    self.verdict = verdict
  }
}

/// What a reader saw.
struct Sight: Hashable, Sendable {
  var txid: TxID
  var digest: Digest
}

/// A few numbers that differ between any two states of the bank.
struct Digest: Hashable, Sendable {
  var total: Int64 = Bank.total
  var weighted: Int64 = (1...Int64(Bank.accounts)).reduce(0) { $0 + $1 * Bank.balance }
  var transfers: Int64 = 0
  var events: Int64 = 0

  static let query = """
    SELECT (SELECT sum(balance) FROM accounts), (SELECT sum(balance * id) FROM accounts),
      (SELECT count(*) FROM transfers), (SELECT count(*) FROM events)
    """

  init() {}
  init(_ row: [SQLValue]) { self.init(row.map(\.integer)) }
  init(_ values: [Int64]) {
    guard values.count == 4 else { return }
    (total, weighted, transfers, events) = (values[0], values[1], values[2], values[3])
  }

  var line: String { "\(total) \(weighted) \(transfers) \(events)" }
}

extension SQLValue {
  /// The integer; -1 where it is none.
  var integer: Int64 { if case .integer(let value) = self { value } else { -1 } }
}

/// All that one process noted.
struct Account {
  var testimonies: [Testimony] = []
  var sights: [Sight] = []
  /// The last batch in the last backup that was told as whole.
  var copied: TxID?
  /// The planned point at which it killed itself.
  var died: CrashPoint?
  /// The planned point at which it stopped.
  var stopped: CrashPoint?
  var reached: [CrashPoint: Int] = [:]
  /// What it says went wrong.
  var errors: [String] = []
  /// It came to the end that was meant.
  var isComplete = false

  init(worker: Int, notes path: String) throws {
    guard (try? PosixFileSystem().status(path)) != nil else { return }
    var places: [Int: Int] = [:]
    for line in try readLines(path) {
      let words = line.split(separator: " ")
      try read(line, words, worker, &places)
    }
  }

  private mutating func read(
    _ line: Substring, _ words: [Substring], _ worker: Int, _ places: inout [Int: Int]
  ) throws {
    func rest(_ count: Int) -> String { words.dropFirst(count).joined(separator: " ") }
    let number = words.count > 1 ? Int(words[1]) : nil
    let place = number.flatMap { places[$0] }
    switch words[0] {
    case "submit":
      guard let number, let deed = Deed(worker: worker, words.dropFirst(2)) else { break }
      places[number] = testimonies.count
      testimonies.append(Testimony(deed: deed, submission: number))
      return
    case "durable":
      guard let place, words.count == 4, let batch = BatchID(words[2], words[3]) else { break }
      testimonies[place].answer = .durable
      testimonies[place].batch = batch
      return
    case "unknown":
      guard let place, words.count > 4 else { break }
      testimonies[place].answer = .unknown(rest(4))
      testimonies[place].batch = BatchID(words[2], words[3])
      return
    case "refused":
      guard let place else { break }
      testimonies[place].answer = .refused(rest(2))
      return
    case "outcome":
      guard let place, words.count > 3, let txid = UInt64(words[2]) else { break }
      testimonies[place].outcome = ToldOutcome(txid: TxID(txid), verdict: rest(3))
      return
    case "saw":
      let values = words.dropFirst(2).compactMap { Int64($0) }
      guard let number, values.count == 4 else { break }
      sights.append(Sight(txid: TxID(UInt64(number)), digest: Digest(values)))
      return
    case "copied":
      guard let number else { break }
      copied = TxID(UInt64(number))
      return
    case "died":
      guard words.count == 2, let point = CrashPoint(words[1]) else { break }
      died = point
      return
    case "stopped":
      guard words.count == 2, let point = CrashPoint(words[1]) else { break }
      stopped = point
      return
    case "reached":
      guard words.count == 3, let point = CrashPoint(words[1]), let count = Int(words[2]) else {
        break
      }
      reached[point] = count
      return
    case "error":
      errors.append(rest(1))
      return
    case "complete":
      isComplete = true
      return
    default: break
    }
    throw RunError("these notes cannot be read: \(line)")
  }
}

extension BatchID {
  fileprivate init?(_ writer: Substring, _ sequence: Substring) {
    guard let writer = WriterID(writer), let sequence = UInt64(sequence) else { return nil }
    self.init(writer: writer, sequence: SequenceNumber(sequence))
  }
}
