package import SluiceShared

// The one section of a start frame:
//
//   parent's published position (segment, nonce, end, last frame, checksum, start frame; 44 bytes)
//   and extent there (TxID, commits, time), zeros for the first segment; then the extent with what
//   was carried over; then counted UTF-8: SQLite's source id, its compile options one a line, the
//   architecture.

/// What a log segment inherits, and from where: the link of the chain.
package struct StartRecord: Hashable, Sendable {
  /// The published end of the history before this segment; nil in a store's first segment.
  package var parent: LogPosition?
  /// How far the history went there.
  package var inherited: LogExtent
  /// How far it goes with the commits that were carried over, which stand before the start frame.
  package var carried: LogExtent
  /// What executes here, since another SQLite may order rows otherwise.
  package var engine: Engine

  package struct Engine: Hashable, Sendable {
    package var sourceID: String
    package var compileOptions: String
    package var architecture: String

    package init(sourceID: String, compileOptions: String, architecture: String) {
      self.sourceID = sourceID
      self.compileOptions = compileOptions
      self.architecture = architecture
    }
  }

  package init(parent: LogPosition?, inherited: LogExtent, carried: LogExtent, engine: Engine) {
    self.parent = parent
    self.inherited = inherited
    self.carried = carried
    self.engine = engine
  }

  package func encoded() -> [UInt8] {
    var writer = ByteWriter(reserving: 512)
    let none = LogPosition(
      segment: 0, nonce: 0, end: 0, lastFrame: 0, checksum: 0, startFrame: 0)
    (parent ?? none).encode(to: &writer)
    for extent in [inherited, carried] {
      writer.append(extent.txid.rawValue)
      writer.append(extent.commits)
      writer.append(extent.time_ms)
    }
    writer.append(counted: engine.sourceID)
    writer.append(counted: engine.compileOptions)
    writer.append(counted: engine.architecture)
    return writer.bytes
  }

  package init(decoding bytes: [UInt8]) throws(DecodingError) {
    var result: Result<StartRecord, DecodingError> = .failure(DecodingError("empty"))
    bytes.withUnsafeBytes { raw in
      var reader = ByteReader(raw)
      do throws(DecodingError) { result = .success(try StartRecord(from: &reader)) } catch {
        result = .failure(error)
      }
    }
    self = try result.get()
  }

  private init(from reader: inout ByteReader) throws(DecodingError) {
    let position = try LogPosition(from: &reader)
    var extents: [LogExtent] = []
    for _ in 0..<2 {
      extents.append(
        LogExtent(
          txid: TxID(try reader.integer()), commits: try reader.integer(),
          time_ms: try reader.integer()))
    }
    guard position.segment == 0 || position.isSound, extents.allSatisfy(\.isSound) else {
      throw DecodingError("it names a position or an extent that cannot be")
    }
    self.init(
      parent: position.segment == 0 ? nil : position, inherited: extents[0], carried: extents[1],
      engine: Engine(
        sourceID: try reader.text(), compileOptions: try reader.text(),
        architecture: try reader.text()))
  }
}
