import SluiceJournal
import SluiceShared
import SluiceTeardown
import Testing

@Suite("A store that is damaged when its test ends fails the test, unless that is on purpose")
struct TeardownTests {
  private func expectIssue(_ words: String, _ body: () throws -> Void) throws {
    try withKnownIssue {
      try body()
    } matching: { issue in
      issue.comments.contains { $0.rawValue.contains(words) }
    }
  }

  @Test func aDamagedPage() throws {
    try expectIssue("as batches 2 to 4 left it is damaged") {
      let worked = try WorkedStore()
      try worked.flip(section: .pages, of: TxID(2))
      #expect(worked.store.isDamagedOnPurpose)
      worked.store.isDamagedOnPurpose = false
    }
  }

  @Test func aMissingName() throws {
    try expectIssue("current.sqlite is missing") {
      let store = try TestStore()
      try PosixFileSystem().unlink(store.layout.current)
    }
  }

  @Test func aDamagedCopy() throws {
    try expectIssue("current.sqlite is missing") {
      let store = try BackedUpStore()
      try store.backUp()
      try PosixFileSystem().unlink(StoreLayout(store.copy).current)
    }
  }

  @Test func aStoreThatIsGone() throws {
    try expectIssue("no store here") {
      let store = try TestStore()
      removeTree(store.path)
    }
  }

  @Test func onPurpose() throws {
    let store = try TestStore()
    store.isDamagedOnPurpose = true
    try PosixFileSystem().unlink(store.layout.current)
    let copy = try store.copied()
    #expect(copy.isDamagedOnPurpose)
  }
}
