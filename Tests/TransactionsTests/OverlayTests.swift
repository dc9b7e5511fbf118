import SluiceShared
import Testing

@testable import SluiceTransactions

@Suite("A transaction that becomes too large is refused by name, and can be taken back")
struct OverlayTests {
  @Test func thePageThatIsOneTooMany() throws {
    let overlay = Overlay(pageSize: 512, fileSystem: PosixFileSystem(), mostBytes: 2 * 512)
    let page = [UInt8](repeating: 1, count: 512)
    func write(_ number: UInt32) throws {
      try page.withUnsafeBytes { bytes in
        try Result { () throws(StoreError) in try overlay.write(number, bytes) }.get()
      }
    }
    try write(1)
    try write(7)
    // What is there may be written again.
    try write(1)
    let error = #expect(throws: StoreError.self) { try write(8) }
    #expect(error?.code == .limit)
    #expect(error?.message.contains("at most 1024 bytes of pages") == true)
    overlay.removeAll()
    try write(8)
    #expect(overlay.numbers == [8])
  }
}
