internal import CSQLite
package import SluiceVFS

extension SQLiteCalls {
  /// The library that this process links.
  package static let linked = SQLiteCalls(csqlite_linked_calls())
}

extension VFSRegistration {
  /// Registers a file system with the library that this process links.
  package convenience init(name: String, _ fileSystem: any VirtualFileSystem) {
    do throws(VFSFailure) { try self.init(name: name, fileSystem, .linked) } catch {
      preconditionFailure("sqlite3_vfs_register failed with \(error.code)")
    }
  }
}
