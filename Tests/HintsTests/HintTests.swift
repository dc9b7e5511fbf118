import SluiceHints
import SluiceShared
import Testing

@Suite("A hint is one datagram of 64 bytes, sealed with its applier's token")
struct HintTests {
  static let token = Identifier128(high: 0x0102_0304_0506_0708, low: 0x090A_0B0C_0D0E_0F10)
  static let hint = Hint(
    .question, nonce: 0x1122_3344_5566_7788,
    batch: BatchID(writer: WriterID(high: 1, low: 2), sequence: SequenceNumber(3)), txid: TxID(4))

  @Test func itIsReadAsItWasWritten() {
    let bytes = Self.hint.sealed(with: Self.token)
    #expect(bytes.count == Limits.hintBytes)
    #expect(Hint(bytes, sealedWith: Self.token) == Self.hint)
  }

  /// The layout of FORMAT, and HMAC-SHA-256 as another program computes it.
  @Test func itsBytesAreThese() {
    let hex = Self.hint.sealed(with: Self.token).map { byte in
      String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
    }.joined()
    #expect(
      hex == "534c4831021eb7e6" + "8877665544332211" + "00000000000000010000000000000002"
        + "0300000000000000" + "0400000000000000" + "ee89375a205dcd50f8ed53c51ba96cef")
  }

  @Test func itSaysWhoseItIsBeforeItIsChecked() {
    #expect(
      Hint.name(in: Self.hint.sealed(with: Self.token)) == HintEndpoint.name(Self.token))
    #expect(HintEndpoint.name(Self.token) != HintEndpoint.name(Identifier128(high: 0, low: 0)))
    #expect(Hint.name(in: [1, 2, 3]) == nil)
  }

  @Test func oneByteMoreLessOrChangedMakesItNone() {
    let bytes = Self.hint.sealed(with: Self.token)
    for i in bytes.indices {
      var changed = bytes
      changed[i] ^= 1 << (i % 8)
      #expect(Hint(changed, sealedWith: Self.token) == nil)
    }
    #expect(Hint(Array(bytes.dropLast()), sealedWith: Self.token) == nil)
    #expect(Hint(bytes + [0], sealedWith: Self.token) == nil)
    #expect(Hint(bytes, sealedWith: Identifier128(high: 0, low: 0)) == nil)
  }
}
