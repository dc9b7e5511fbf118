internal import CSQLite
internal import CSystem
internal import Glibc
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// The child's side: executes what an applier sends, on a database that it reads from the store like any
/// reader, and writes nothing there.
public enum WorkerServer {
  /// Bytes of SQLite's memory, and of all that this process allocates.
  static let heapBytes: Int64 = 176 << 20
  static let memoryBytes: UInt64 = 512 << 20
  static let indexBytesPerPage: UInt64 = 64
  /// What is larger goes back to the system when it is freed.
  static let largestKeptAllocation: Int32 = 4 << 20

  /// Serves until the applier ends or lets go of it; returns the exit code. `arguments` are what the
  /// applier added to those of its `WorkerProgram`: the store, its own process id, and the numbers of two
  /// descriptors.
  public static func run(_ arguments: [String]) -> Int32 {
    let numbers = arguments.dropFirst().compactMap { Int32($0) }
    guard arguments.count == 4, numbers.count == 3, csystem_end_with_parent(numbers[0]) == 0
    else { return 64 }
    let (socket, page) = (numbers[1], numbers[2])
    // A terminal or a supervisor tells all processes; when to end is the applier's to say.
    signal(SIGTERM, SIG_IGN)
    signal(SIGINT, SIG_IGN)
    signal(SIGHUP, SIG_IGN)
    for descriptor in [socket, page] {
      _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    }
    csystem_map_large_memory(largestKeptAllocation)
    sqlite3_hard_heap_limit64(heapBytes)
    // Where values take as much, the page cache does without.
    sqlite3_soft_heap_limit64(Int64(Limits.cacheBytes))
    guard let progress = try? Progress(owning: page) else { return 74 }
    var environment = Environment.posix()
    environment.fileSystem = MeteredFileSystem(environment.fileSystem) { progress.add($0, $1, $2) }
    let worker = ServedSession(
      StoreLayout(arguments[0]), Channel(owning: socket), progress, environment)
    do throws(WorkerEnd) {
      try worker.serve()
    } catch {
      // The applier has gone, or was told why this process goes.
    }
    return 0
  }
}

/// A session that is asked through a channel.
private final class ServedSession {
  private let layout: StoreLayout
  private let channel: Channel
  private let progress: Progress
  private let environment: Environment
  private var settings: Session.Settings?
  private var session: Session?
  private var frames = ReceivedFrames()
  private var segment: LogSegment?
  private var store: PageStore?

  init(
    _ layout: StoreLayout, _ channel: Channel, _ progress: Progress, _ environment: Environment
  ) {
    self.layout = layout
    self.channel = channel
    self.progress = progress
    self.environment = environment
  }

  func serve() throws(WorkerEnd) {
    while true {
      // What is cached is not worth as much as room for it.
      var message = try channel.receive(beforeLarge: { [self] in session?.releaseMemory() })
      do throws(StoreError) {
        switch WorkerMessage(rawValue: message.kind) {
        case .prepare: try prepare(message)
        case .follow: try follow()
        case .open: try open(message)
        case .known: try answerKnown(message)
        case .execute: try execute(&message)
        default: throw StoreError(.invalid, "the applier sent what is no question")
        }
      } catch {
        // Of the batches in it, which the applier finds out: this process ends in the commit, for it.
        if session?.hasRefusedCommit == true { throw .ended(.commit, "\(error)") }
        var text = ByteWriter()
        text.append(error)
        try channel.send(Channel.Message(.failed, [text.bytes]))
        throw .failed(error)
      }
    }
  }

  /// Opens the store and the database, as far as that is possible now: a holder that died in the middle of
  /// a beacon makes readers wait. What a session takes from the program is in memory then; the session itself
  /// goes, since it would keep files of an old snapshot.
  private func prepare(_ message: Channel.Message) throws(StoreError) {
    settings = message.read(0) { (reader) throws(DecodingError) in
      try Session.Settings(from: &reader)
    }
    guard settings != nil else {
      throw StoreError(.invalid, "the applier sent what is no question")
    }
    if isReadable { try? openStore() }
    if let snapshot = store?.current { _ = try? made(snapshot) }
    try answering(Channel.Message(.ready, []))
  }

  /// The question for a term must not wait for what is read before it.
  private var isReadable: Bool {
    guard let store = try? StoreHandle(at: layout, environment) else { return false }
    return (try? Log(of: store).present(waits: false)) != nil
  }

  private func follow() throws(StoreError) {
    do throws(StoreError) {
      if let store { _ = try store.snapshot(.latest) } else { try openStore() }
    } catch {
      // It is found again when a term begins, and told then.
    }
    try answering(Channel.Message(.ready, []))
  }

  private func openStore() throws(StoreError) {
    let opened = try PageStore(path: layout.root, environment: environment)
    settings?.extensions = try StoreExtensions.open(
      opened.description, in: layout, environment)
    store = opened
  }

  private func open(_ message: Channel.Message) throws(StoreError) {
    let txid = message.read(0) { (reader) throws(DecodingError) in TxID(try reader.integer()) }
    guard let txid else { throw StoreError(.invalid, "the applier sent what is no question") }
    if store == nil { try openStore() }
    guard let store else { throw StoreError(.invalid, "the applier sent what is no question") }
    let snapshot = try store.snapshot(.atLeast(txid, timeout: .seconds(60)))
    // What the index of a large database takes comes on top, twice while it is renewed.
    _ = csystem_limit_memory(
      WorkerServer.memoryBytes + WorkerServer.indexBytesPerPage * UInt64(snapshot.pageCount))
    session = try made(snapshot)
    var answer = ByteWriter()
    answer.append(snapshot.extent)
    try answering(Channel.Message(.opened, [answer.bytes]))
  }

  private func made(_ snapshot: Snapshot) throws(StoreError) -> Session {
    guard var settings else { throw StoreError(.invalid, "the applier sent what is no question") }
    settings.journal = layout.journal
    let session = try Session(snapshot, settings, environment)
    let progress = progress
    session.onBatch = { progress.begin($0) }
    // The commit of very many pages gets on, too.
    session.onProgress = { if progress.current.index == nil { progress.begin(nil) } }
    return session
  }

  private func current() throws(StoreError) -> Session {
    guard let session else { throw StoreError(.invalid, "the applier sent what is no question") }
    guard session.mustReopen else { return session }
    let next = try made(session.snapshot)
    self.session = next
    return next
  }

  private func answerKnown(_ message: Channel.Message) throws(StoreError) {
    let id = message.read(0) { (reader) throws(DecodingError) in try reader.identifier() }
    guard let id else { throw StoreError(.invalid, "the applier sent what is no question") }
    let state = try current().known(id)
    var answer = ByteWriter(reserving: 16)
    answer.append(UInt8(state == nil ? 0 : 1))
    if let state {
      answer.append(state.sequence.rawValue)
      answer.append(UInt8(state.isExpired ? 1 : 0))
      answer.append(state.owner)
    }
    try answering(Channel.Message(.known, [answer.bytes]))
  }

  private func execute(_ message: inout Channel.Message) throws(StoreError) {
    guard let request = frames.request(message) else {
      throw StoreError(.invalid, "the applier sent what is no request")
    }
    // Frames may be large, and are let go when they were opened.
    message.parts = []
    let session = try current()
    var wasSent = false
    let done = try session.commit(request) { [self] (content, done) throws(StoreError) in
      wasSent = true
      return try send(content, done)
    }
    frames.finish(request.batches.prefix(done.count))
    guard !wasSent else { return }
    var end = ByteWriter()
    done.append(to: &end)
    try answering(Channel.Message(.nothing, [end.bytes]))
  }

  /// Has the applier make the commit durable.
  private func send(_ content: CommitContent, _ done: Session.Done) throws(StoreError)
    -> (pages: [PageEntry], segment: LogSegment)
  {
    try answering(Channel.Message(.content, content.parts(done)))
    if case .scratch(let file, _) = content.pages {
      guard try received().kind == WorkerMessage.passScratch.rawValue,
        let descriptor = file.openDescriptor, channel.sendDescriptor(descriptor)
      else { throw StoreError(.io, "the scratch file could not be passed on") }
    }
    let placed = try received().read(0) { (reader) throws(DecodingError) in
      (segment: try reader.integer(UInt64.self), offset: try reader.integer(Int64.self))
    }
    guard let placed else { throw StoreError(.invalid, "the applier sent what is no place") }
    let entries = content.entries.map { entry in
      PageEntry(
        page: entry.page, storedBytes: entry.storedBytes, crc: entry.crc,
        offset: entry.offset + placed.offset)
    }
    return (entries, try open(segment: placed.segment))
  }

  private func open(segment number: UInt64) throws(StoreError) -> LogSegment {
    if let segment, segment.number == number { return segment }
    guard let store else { throw StoreError(.invalid, "the applier sent what is no question") }
    let opened = try LogSegment(
      path: layout.segment(number), store: store.description.id,
      environment: environment)
    segment = opened
    return opened
  }

  // MARK: the channel

  private func answering(_ message: Channel.Message) throws(StoreError) {
    do throws(WorkerEnd) { try channel.send(message) } catch {
      throw StoreError(.io, "the applier has gone")
    }
  }

  private func received() throws(StoreError) -> Channel.Message {
    while true {
      let message: Channel.Message
      do throws(WorkerEnd) { message = try channel.receive() } catch {
        throw StoreError(.io, "the applier has gone")
      }
      guard message.kind == WorkerMessage.ahead.rawValue else { return message }
      // No batch is to blame for what becomes of this process here: the commit has all it needs.
      guard frames.open(message) else {
        throw StoreError(.invalid, "the applier sent what is no frame")
      }
    }
  }
}
