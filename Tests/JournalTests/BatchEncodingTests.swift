import SluiceJournal
import SluiceShared
import Testing

@Suite("A batch is decoded as it was encoded, or refused with the reason")
struct BatchEncodingTests {
  private func decode(_ bytes: [UInt8]) throws -> Batch {
    try bytes.withUnsafeBytes { try Batch(decoding: $0) }
  }

  @Test(arguments: [
    Samples.batch, Batch([]), Batch([Batch.Statement("SELECT 1", rows: [])]),
    Batch([Batch.Statement("", Samples.values)], checksForeignKeysAtEnd: true),
    Batch([Batch.Statement("x")], isUnlisted: true),
    Batch([Batch.Statement("y")], wantsResults: true, isUnlisted: true),
    Batch([], key: String(repeating: "k", count: 512)), Batch([], foreignKeyCheck: .all),
    Batch(
      [Batch.Statement("a"), Batch.Statement("b")],
      switches: [
        SettingSwitch(.foreignKeys, on: false, beforeStatement: 0),
        SettingSwitch(.legacyAlterTable, on: true, beforeStatement: 0),
        SettingSwitch(.foreignKeys, on: true, beforeStatement: 1),
      ], foreignKeyCheck: .byLaterBatch),
    Batch([Batch.Statement("x", rows: [[SQLValue]](repeating: [], count: 100_000))]),
  ])
  func roundTrip(batch: Batch) throws {
    #expect(try decode(batch.encoded()) == batch)
  }

  @Test(arguments: [0, 1, 127, 128, 4090, 4095, 4096, 4097, 16383, 16384, 65536])
  func roundTripOfSize(count: Int) throws {
    let batch = Batch([Batch.Statement("INSERT INTO t VALUES (?)", [.blob(Samples.noise(count))])])
    #expect(try decode(batch.encoded()) == batch)
  }

  @Test func realsKeepTheirBits() throws {
    let odd = Double(bitPattern: 0x7FF8_0000_0000_1234)
    let batch = try decode(Batch([Batch.Statement("", [.real(odd)])]).encoded())
    guard case .real(let value) = batch.statements[0].rows[0][0] else {
      Issue.record("no real")
      return
    }
    #expect(value.bitPattern == odd.bitPattern)
  }

  @Test func textsAreStoredOnce() throws {
    let text = String(repeating: "x", count: 1000)
    let many = Batch((0..<10).map { Batch.Statement(text, [.integer($0)]) })
    #expect(try many.encoded().count < 1200)
  }

  @Test func anUnknownOptionalFieldIsSkipped() throws {
    var writer = ByteWriter()
    writer.append(varint: 99 << 1)
    writer.append(counted: [1, 2, 3])
    #expect(try decode(writer.bytes + Samples.batch.encoded() + writer.bytes) == Samples.batch)
  }

  @Test func anUnknownMandatoryFieldIsRejected() throws {
    var writer = ByteWriter()
    writer.append(varint: 99 << 1 | 1)
    writer.append(counted: [])
    let error = #expect(throws: DecodingError.self) {
      try decode(Samples.batch.encoded() + writer.bytes)
    }
    #expect(error?.description.contains("feature 99") == true)
  }

  /// So that an applier that does not know them refuses the batch.
  @Test func settingsAreAMandatoryField() throws {
    let batch = Batch(
      [Batch.Statement("a"), Batch.Statement("b")],
      switches: [
        SettingSwitch(.foreignKeys, on: false, beforeStatement: 0),
        SettingSwitch(.legacyAlterTable, on: true, beforeStatement: 1),
      ], foreignKeyCheck: .all)
    #expect(try batch.encoded().prefix(7) == [13, 5, 1, 0, 0, 1, 3])
    #expect(try Batch([Batch.Statement("a")]).encoded().first == 7)
  }

  /// A text, a statement of it, and a field of settings.
  @Test(
    arguments: [
      [3], [0, 1, 0], [0, 0, 4], [0, 0, 0, 0, 1], [0, 0, 2, 0, 0], [0, 0], [0, 0xFF], [],
      [0, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0],
    ] as [[UInt8]])
  func settingsThatCannotBeMeantAreRejected(content: [UInt8]) throws {
    let statement: [UInt8] = [7, 0, 9, 3, 0, 0, 1]
    #expect(throws: DecodingError.self) {
      try decode(statement + [13, UInt8(content.count)] + content)
    }
    #expect(try decode(statement + [13, 3, 0, 0, 0]).switches.count == 1)
  }

  @Test func settingsOutOfOrderAreRefused() {
    let turn = SettingSwitch(.foreignKeys, on: false, beforeStatement: 1)
    for (statements, switches) in [(1, [turn]), (2, [turn, turn])] {
      let batch = Batch(
        [Batch.Statement](repeating: .init("a"), count: statements), switches: switches)
      let error = #expect(throws: StoreError.self) { try batch.encoded() }
      #expect(error?.code == .invalid)
    }
  }

  @Test func unknownFlagsAndValuesAreRejected() throws {
    #expect(throws: DecodingError.self) { try decode([5, 1, 8]) }
    // A text, then a statement with one value of type 5.
    #expect(throws: DecodingError.self) { try decode([7, 0, 9, 4, 0, 1, 1, 5]) }
  }

  @Test func whatIsCutOffIsNeverTakenForTheWhole() throws {
    let bytes = try Samples.batch.encoded()
    for count in 0..<bytes.count {
      #expect((try? decode(Array(bytes[..<count]))) != Samples.batch)
    }
  }

  /// Bytes that are damaged, or made up by an enemy, are refused or decoded, and never more.
  @Test func noByteCanHurt() throws {
    let bytes = try Samples.batch.encoded()
    corruptions(of: bytes, in: 0..<bytes.count, masks: Array(1...255)) { bytes, _ in
      _ = try? decode(bytes)
    }
  }

  @Test(
    arguments: [
      [9, 5, 0, 0xFF, 0xFF, 0xFF, 0x7F], [9, 8, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F],
      [9, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], [9, 3, 1, 0, 1],
      [3, 0], [3, 1, 0xFF], [9, 12, 0, 1, 1, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, 0],
      [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02, 0],
    ] as [[UInt8]])
  func aSizeThatLiesIsRejected(fields: [UInt8]) {
    // Text 0 comes first.
    #expect(throws: DecodingError.self) { try decode([7, 0] + fields) }
  }

  @Test func limitsAreNamed() {
    func refusal(_ batch: Batch) -> String {
      do throws(StoreError) {
        _ = try batch.encoded()
        return "none"
      } catch {
        return error.message
      }
    }
    let row: [SQLValue] = [1]
    #expect(refusal(Batch([], key: "")).contains("1 to 512"))
    #expect(refusal(Batch([], key: String(repeating: "é", count: 257))).contains("514"))
    let check = Batch.Statement("SELECT 1")
    #expect(
      refusal(Batch([], guards: [Batch.Statement](repeating: check, count: 1001)))
        .contains("1000 guards"))
    #expect(refusal(Batch([], guards: [.init("SELECT 1", rows: [row, row])])).contains("guard 1"))
    #expect(
      refusal(Batch([.init("x", rows: [[SQLValue]](repeating: [], count: 100_001))]))
        .contains("100000"))
    #expect(refusal(Batch([.init("x", rows: [row, [1, 2]])])).contains("row 2 has 2"))
    #expect(
      refusal(Batch([.init(String(repeating: "x", count: 1 << 20 + 1))])).contains("1048576"))
    #expect(
      refusal(Batch([.init("x", [SQLValue](repeating: .null, count: 32_767))])).contains("32766"))
  }

  @Test func aBatchOverItsBytesIsRefused() {
    let half = SQLValue.blob([UInt8](repeating: 0, count: 33 << 20))
    let error = #expect(throws: StoreError.self) {
      try Batch([.init("x", [half]), .init("x", [half])]).encoded()
    }
    #expect(error?.code == .limit)
  }

  @Test func theListOfBatchesMustFillItsSectionExactly() throws {
    let list = Samples.list([[1, 2], [], [3]])
    #expect(try BatchList.ranges(list, count: 3) == [4..<6, 10..<10, 14..<15])
    #expect(throws: DecodingError.self) { try BatchList.ranges(list, count: 2) }
    #expect(throws: DecodingError.self) { try BatchList.ranges(list, count: 4) }
    #expect(throws: DecodingError.self) {
      try BatchList.ranges([0xFF, 0xFF, 0xFF, 0xFF], count: 1)
    }
    #expect(try BatchList.ranges([], count: 0) == [])
  }
}
