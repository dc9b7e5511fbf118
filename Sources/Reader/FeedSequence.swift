internal import SluiceJournal
public import SluiceShared

/// The history as an `AsyncSequence`: for `for try await`.
///
/// Each iteration begins where the sequence was made to begin. What is read waits on a thread of its own, a
/// few hundred batches and 16 MiB ahead at most. Where the task is cancelled the iteration ends. It throws what the
/// feed throws, and is over then; a new one goes on behind the last batch that was taken.
public struct FeedSequence<Element: Sendable>: AsyncSequence, Sendable {
  /// Reads what is there by now, so many elements at most; none where there is nothing new.
  package typealias Read = (_ most: Int) throws -> [Element]

  /// A feed that was opened.
  package struct Source {
    let read: Read
    let txid: () -> TxID

    /// `txid` tells up to which batch it was read.
    package init(read: @escaping Read, txid: @escaping () -> TxID) {
      self.read = read
      self.txid = txid
    }
  }

  private let path: String
  private let follows: Bool
  private let environment: Environment
  private let open: @Sendable () throws -> Source

  package init(
    path: String, follows: Bool, _ environment: Environment,
    _ open: @escaping @Sendable () throws -> Source
  ) {
    self.path = path
    self.follows = follows
    self.environment = environment
    self.open = open
  }

  public func makeAsyncIterator() -> AsyncIterator {
    AsyncIterator(Reader(path, environment, open), follows: follows, environment)
  }

  public struct AsyncIterator: AsyncIteratorProtocol {
    private let reader: Reader
    private let follows: Bool
    private let environment: Environment
    private var ready: ArraySlice<Element> = []
    private var isOver = false

    fileprivate init(_ reader: Reader, follows: Bool, _ environment: Environment) {
      self.reader = reader
      self.follows = follows
      self.environment = environment
    }

    public mutating func next() async throws -> Element? {
      while !isOver {
        if let element = ready.popFirst() { return element }
        guard !Task.isCancelled else { break }
        do { ready = try await read()[...] } catch {
          isOver = true
          throw error
        }
        guard ready.isEmpty else { continue }
        guard follows, await isThereNews() else { break }
      }
      isOver = true
      return nil
    }

    /// Waits for what is new; false where the task is cancelled.
    private func isThereNews() async -> Bool {
      let (reader, isCancelled) = (reader, Monitor(false))
      await withTaskCancellationHandler {
        await withCheckedContinuation { continuation in
          environment.executor.detach {
            reader.wait(shouldStop: { isCancelled.withLock { $0 } })
            continuation.resume()
          }
        }
      } onCancel: {
        isCancelled.withLock { $0 = true }
      }
      return !Task.isCancelled
    }

    private func read() async throws -> [Element] {
      let reader = reader
      return try await withCheckedThrowingContinuation { continuation in
        _ = environment.executor.start {
          let read: () throws -> [Element] = { try reader.read(Limits.batchesReadAhead) }
          continuation.resume(with: Result(catching: read))
        }
      }
    }
  }

  /// The feed of one iteration, opened when it is first read.
  fileprivate final class Reader: @unchecked Sendable {
    // Sendable: an iterator waits for each reading before it begins the next, and nobody else reads.
    private let path: String
    private let environment: Environment
    private let open: @Sendable () throws -> Source
    private var opened: Source?
    private var news: NewsWait?

    init(
      _ path: String, _ environment: Environment, _ open: @escaping @Sendable () throws -> Source
    ) {
      self.path = path
      self.environment = environment
      self.open = open
    }

    func read(_ most: Int) throws -> [Element] {
      let opened = try opened ?? open()
      self.opened = opened
      if news == nil { news = try NewsWait(path: path, environment: environment) }
      return try opened.read(most)
    }

    func wait(shouldStop: () -> Bool) {
      guard let opened else { return }
      news?.wait(behind: opened.txid(), shouldStop: shouldStop)
    }
  }
}

extension ChangeFeed {
  /// What a sequence of changes consists of.
  public enum Event: Sendable {
    case batch(Entry)
    /// Batches that are not kept any more, where those that are begin later.
    case gone(Gap)
  }

  /// The history of the store at `path` from batch `first` on, to what is published now, or for ever.
  ///
  ///     for try await case .batch(let entry) in ChangeFeed.events(path: path, follows: true) { … }
  public static func events(
    path: String, from first: TxID = TxID(1), follows: Bool = false,
    environment: Environment = .posix()
  ) -> FeedSequence<Event> {
    FeedSequence(path: path, follows: follows, environment) {
      let feed = try ChangeFeed(path: path, from: first, environment: environment)
      return .init(
        read: { most in
          try FeedSequence.some(of: most, size: \.byteCount) { add in
            try feed.advance(onGap: { gap in try add(.gone(gap)) }) { entry in
              try add(.batch(entry))
            }
          }
        }, txid: { feed.txid })
    }
  }
}

extension ChangeFeed.Event {
  /// About the memory that it takes.
  fileprivate var byteCount: Int {
    switch self {
    case .batch(let entry): entry.byteCount
    case .gone: 64
    }
  }
}

extension ChangeFeed.Entry {
  /// About the memory that it takes.
  package var byteCount: Int {
    guard let batch else { return 256 }
    return (batch.guards + batch.statements).reduce(256) { bytes, statement in
      statement.rows.reduce(bytes + statement.sql.utf8.count + 64) { bytes, row in
        row.reduce(bytes + 32) { $0 + $1.contentBytes + 16 }
      }
    }
  }
}

extension SQLValue {
  fileprivate var contentBytes: Int {
    switch self {
    case .null, .integer, .real: 0
    case .text(let text): text.utf8.count
    case .blob(let bytes): bytes.count
    }
  }
}

extension FeedSequence {
  /// Collects what `advance` adds until there is enough: the feed goes on with what it was thrown for. `size` says
  /// about how many bytes of memory an element takes.
  package static func some(
    of most: Int, size: @escaping (Element) -> Int,
    _ advance: ((Element) throws -> Void) throws -> Void
  ) throws -> [Element] {
    var found: [Element] = []
    var bytes = 0
    do {
      try advance { element in
        guard found.count < most, bytes < Limits.bytesReadAhead else { throw Enough() }
        found.append(element)
        bytes += size(element)
      }
    } catch is Enough {}
    return found
  }
}

private struct Enough: Error {}
