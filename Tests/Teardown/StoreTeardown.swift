internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared
public import Testing

/// The end of a test's stores: the library's own `verify` reads them, and what is damaged fails the test.
///
/// Whatever makes stores for tests keeps one, and calls it in its `deinit`, before it removes them.
public final class StoreTeardown: Sendable {
  private let isDamaged: Monitor<Bool>
  private let place: SourceLocation
  /// An end on another thread is in no test: then this says whose store it was.
  private let test: String?

  /// For stores that the test made at `place`.
  public init(damaged isDamaged: Bool = false, at place: SourceLocation) {
    self.isDamaged = Monitor(isDamaged)
    self.place = place
    test = Test.current?.name
  }

  /// The test damages what it made, so that nothing is verified.
  public var isDamagedOnPurpose: Bool {
    get { isDamaged.withLock { $0 } }
    set { isDamaged.withLock { $0 = newValue } }
  }

  /// Of the store at `path`.
  public func verify(_ path: String) {
    guard !isDamagedOnPurpose else { return }
    var damages: [String] = []
    do throws(StoreError) {
      _ = try Verification(store: path, .posix()) { damages.append($0.line) }.run()
    } catch {
      damages.append("\(error)")
    }
    guard !damages.isEmpty else { return }
    let whose = Test.current == nil ? " of \(test ?? "a test")" : ""
    Issue.record(
      "the store\(whose) is damaged when its test ends:\n\(damages.joined(separator: "\n"))",
      sourceLocation: place)
  }

  /// Of each store that is in `directory`.
  public func verifyStores(in directory: String) {
    let files = PosixFileSystem()
    for name in ((try? files.list(directory)) ?? []).sorted() {
      let layout = StoreLayout("\(directory)/\(name)")
      if (try? files.status(layout.description)) != nil { verify(layout.root) }
    }
  }
}

/// What makes a store for a test.
public protocol VerifiedStore: AnyObject {
  var teardown: StoreTeardown { get }
}

extension VerifiedStore {
  /// Said where a test damages its store: it is not verified when the test ends.
  public var isDamagedOnPurpose: Bool {
    get { teardown.isDamagedOnPurpose }
    set { teardown.isDamagedOnPurpose = newValue }
  }
}

extension Verification.Damage {
  fileprivate var line: String {
    let offset = offset.map { " at \($0)" } ?? ""
    let lost = lost.map { " (batches \($0.lowerBound) to \($0.upperBound))" } ?? ""
    return "\(path)\(offset): \(what)\(lost)"
  }
}
