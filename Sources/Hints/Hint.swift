package import SluiceShared

// A hint is one datagram of 64 bytes, sealed with the token of the applier that it goes to or comes from:
//
//   0  4  "SLH1"
//   4  1  kind
//   5  3  whose hints these are (`HintEndpoint.name`), so that many stores can share a socket
//   8  8  nonce of the question, which its answers repeat; 0 where no answer is wanted
//  16 16  writer; zeros where no batch is meant
//  32  8  sequence number of the batch; 0 where none is meant
//  40  8  TxID; 0 where none is meant
//  48 16  the first half of the HMAC-SHA-256 of the bytes before, with the token as the key

/// A datagram that says "look". What it says is read from the store, never believed.
package struct Hint: Hashable, Sendable {
  package enum Kind: UInt8, Sendable {
    /// A writer's batch is durable. No answer.
    case written = 1
    /// The same; and answer when it is published.
    case question = 2
    /// A standby asks whether somebody leads; answer, and again when the term ends in order.
    case standby = 3
    /// Somebody follows the log; answer when more than `txid` is published.
    case follower = 4
    /// The answer to any question for now: it was heard.
    case heard = 5
    /// What was asked for is published.
    case published = 6
    /// The term has ended in order.
    case released = 7
    /// A writer found no room on the disk. No answer.
    case full = 8

    package var isQuestion: Bool { self == .question || self == .standby || self == .follower }
  }

  package var kind: Kind
  package var nonce: UInt64
  /// Zeros where no batch is meant.
  package var batch: BatchID
  package var txid: TxID

  package static let noBatch = BatchID(
    writer: WriterID(high: 0, low: 0), sequence: SequenceNumber(0))

  package init(_ kind: Kind, nonce: UInt64 = 0, batch: BatchID = noBatch, txid: TxID = .zero) {
    self.kind = kind
    self.nonce = nonce
    self.batch = batch
    self.txid = txid
  }

  private static let magic: UInt32 = 0x3148_4C53  // "SLH1"
  static let sealedBytes = 48

  /// As it goes over the wire to or from whoever has this token in its beacon.
  package func sealed(with seal: HintSeal) -> [UInt8] {
    var writer = ByteWriter(reserving: Limits.hintBytes)
    writer.append(Self.magic)
    writer.append(kind.rawValue)
    writer.append(raw: seal.name)
    writer.append(nonce)
    writer.append(batch.writer)
    writer.append(batch.sequence.rawValue)
    writer.append(txid.rawValue)
    writer.append(raw: seal.sum(writer.bytes))
    return writer.bytes
  }

  package func sealed(with token: Identifier128) -> [UInt8] { sealed(with: HintSeal(token)) }

  /// nil: it is none of ours, or not sealed with this token. Most of what strangers send is found out before anything
  /// is summed.
  package init?(_ bytes: [UInt8], sealedWith seal: HintSeal) {
    guard bytes.count == Limits.hintBytes, bytes[5..<8].elementsEqual(seal.name),
      let hint = bytes.withUnsafeBytes({ Hint(content: $0) })
    else { return nil }
    let sum = seal.sum([UInt8](bytes[..<Self.sealedBytes]))
    guard Self.areSame(bytes[Self.sealedBytes...], sum) else { return nil }
    self = hint
  }

  package init?(_ bytes: [UInt8], sealedWith token: Identifier128) {
    self.init(bytes, sealedWith: HintSeal(token))
  }

  private init?(content: UnsafeRawBufferPointer) {
    var reader = ByteReader(content)
    do throws(DecodingError) {
      guard try reader.integer(UInt32.self) == Self.magic,
        let kind = Kind(rawValue: try reader.integer())
      else { return nil }
      _ = try reader.take(3)
      let nonce = try reader.integer(UInt64.self)
      let writer = try reader.identifier()
      let sequence = SequenceNumber(try reader.integer())
      self.init(
        kind, nonce: nonce, batch: BatchID(writer: writer, sequence: sequence),
        txid: TxID(try reader.integer()))
    } catch {
      return nil
    }
  }

  /// The name in a datagram, before anything of it is checked; nil: it is none of ours.
  package static func name(in datagram: [UInt8]) -> [UInt8]? {
    datagram.count == Limits.hintBytes ? [UInt8](datagram[5..<8]) : nil
  }

  /// In a time that does not tell where they differ.
  private static func areSame(_ a: ArraySlice<UInt8>, _ b: [UInt8]) -> Bool {
    a.count == b.count && zip(a, b).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }
}

/// What seals the hints to and from one applier: the token of its beacon.
package struct HintSeal: Sendable {
  private let key: [UInt8]
  /// Whose hints these are (`HintEndpoint.name`).
  package let name: [UInt8]

  package init(_ token: Identifier128) {
    var writer = ByteWriter(reserving: 16)
    writer.append(token)
    key = writer.bytes
    name = HintEndpoint.name(token)
  }

  func sum(_ content: [UInt8]) -> [UInt8] {
    [UInt8](SHA256.authenticate(content, key: key).prefix(16))
  }
}
