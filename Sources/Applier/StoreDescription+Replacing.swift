internal import Glibc
internal import SluiceJournal
internal import SluiceShared

extension StoreDescription {
  /// Makes this what `store.json` says, durably. By rename(2): who opens it meets the old or the new one, whole.
  func replace(in layout: StoreLayout, _ environment: Environment) throws(StoreError) {
    let fileSystem = environment.fileSystem
    let name = StoreLayout.temporaryName("store.json", environment.random())
    let temporary = "\(layout.root)/\(name)"
    do throws(StoreError) {
      let file = try fileSystem.create(temporary, mode: 0o444)
      try file.write(Array(json.utf8), at: 0)
      try file.sync()
      guard rename(temporary, layout.description) == 0 else {
        let code = errno
        throw StoreError(
          .io, "rename failed: \(String(cString: strerror(code)))", path: layout.description,
          errno: code)
      }
    } catch {
      try? fileSystem.unlink(temporary)
      throw error
    }
    try fileSystem.syncDirectory(layout.root)
  }
}
