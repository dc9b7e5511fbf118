import SluiceApplier
import SluiceJournal
import SluiceShared
import SluiceTeardown
import Testing

@Suite("An extension is loaded only with the content that was recorded")
struct ExtensionContentTests {
  /// The check taken out: whatever lies there is given to the dynamic linker.
  @Test(arguments: [true, false]) func anotherContent(_ isChecked: Bool) throws {
    let store = try TestStore()
    store.isDamagedOnPurpose = true
    var description = try StoreDescription.read(store.layout, store.environment.fileSystem)
    let recorded = try #require(
      StoreDescription.Extension(name: "one", sha256: String(repeating: "0", count: 64)))
    description.extensions = [recorded]
    try store.environment.fileSystem.makeDirectory(store.layout.extensions, mode: 0o755)
    let file = try store.environment.fileSystem.create(
      "\(store.layout.extensions)/\(StoreLayout.extensionName(recorded))", mode: 0o444)
    try file.write(Array("none of ours".utf8), at: 0)
    if !isChecked { store.environment.omittedChecks = [.extensionContent] }
    let error = #expect(throws: StoreError.self) {
      try StoreExtensions.open(description, in: store.layout, store.environment)
    }
    #expect(error?.code == (isChecked ? .damaged : .unsupported), "\(String(describing: error))")
  }
}
