internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

/// What an applier and its worker say to each other: an applier's question, the worker's answer; within
/// the answer to `execute`, `content` is itself a question (make this durable), answered by `placed`. Before that
/// may come `ahead`, which has no answer.
///
/// `prepare` comes first, then any number of `follow`, each answered by `ready`; then `open`, which says where
/// the term begins, and all others after it.
enum WorkerMessage: UInt32 {
  // The applier's.
  case open = 1
  case known
  case execute
  case placed
  case passScratch
  case prepare
  case follow
  case ahead
  // The worker's.
  case opened = 16
  case content
  case nothing
  case failed
  case ready
}

extension Channel.Message {
  init(_ kind: WorkerMessage, _ parts: [[UInt8]]) {
    self.init(kind: kind.rawValue, parts: parts)
  }

  /// Reads part `index`; nil where it is not there or not what is expected.
  func read<R>(_ index: Int, _ body: (inout ByteReader) throws(DecodingError) -> R) -> R? {
    guard parts.indices.contains(index) else { return nil }
    return parts[index].withUnsafeBytes { raw -> R? in
      var reader = ByteReader(raw)
      do throws(DecodingError) { return try body(&reader) } catch { return nil }
    }
  }
}

extension ByteWriter {
  mutating func append(optional text: String?) {
    append(UInt8(text == nil ? 0 : 1))
    if let text { append(counted: text) }
  }

  mutating func append(_ batch: BatchID) {
    append(batch.writer)
    append(batch.sequence.rawValue)
  }

  mutating func append(_ extent: LogExtent) {
    append(extent.txid.rawValue)
    append(extent.commits)
    append(extent.time_ms)
  }

  mutating func append(_ writers: some Collection<WriterID>) {
    append(varint: UInt64(writers.count))
    for writer in writers { append(writer) }
  }

  mutating func append(_ rejection: Outcome.Rejection?) {
    append(optional: rejection?.code)
    append(optional: rejection?.message)
  }

  mutating func append(_ error: StoreError) {
    append(counted: error.code.rawValue)
    append(counted: error.message)
    append(optional: error.path)
    append(optional: error.offset.map { "\($0)" })
    append(optional: error.errno.map { "\($0)" })
    append(UInt8(error.batch == nil ? 0 : 1))
    if let batch = error.batch { append(batch) }
  }
}

extension ByteReader {
  mutating func flag() throws(DecodingError) -> Bool { try integer(UInt8.self) != 0 }

  mutating func optionalText() throws(DecodingError) -> String? {
    try flag() ? try text() : nil
  }

  mutating func batchID() throws(DecodingError) -> BatchID {
    BatchID(writer: try identifier(), sequence: SequenceNumber(try integer()))
  }

  mutating func extent() throws(DecodingError) -> LogExtent {
    LogExtent(txid: TxID(try integer()), commits: try integer(), time_ms: try integer())
  }

  mutating func writers() throws(DecodingError) -> Set<WriterID> {
    var writers: Set<WriterID> = []
    for _ in 0..<(try count(ofAtLeast: 16)) { writers.insert(try identifier()) }
    return writers
  }

  mutating func rejection() throws(DecodingError) -> Outcome.Rejection? {
    let code = try optionalText()
    let message = try optionalText()
    guard let code, let message else { return nil }
    return Outcome.Rejection(code: code, message: message)
  }

  mutating func storeError() throws(DecodingError) -> StoreError {
    var error = StoreError(StoreError.Code(rawValue: try text()), try text())
    error.path = try optionalText()
    error.offset = try optionalText().flatMap { Int64($0) }
    error.errno = try optionalText().flatMap { Int32($0) }
    if try flag() { error.batch = try batchID() }
    return error
  }
}
