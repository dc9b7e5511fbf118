internal import CSQLite
internal import CSluice
internal import CSystem
internal import SluiceReader
internal import SluiceVFS

// What `libsluice.so` shows to the process that loads it. All else in it is hidden, Swift's runtime too, and it
// links no SQLite: each call that it makes goes to the library of the host that loaded it. Programs in C have more
// entry points, in `C/`; `sluice.h` declares all, and the compiler holds each to its declaration.

/// For `sqlite3_load_extension`, which takes this name from the file's. The extension stays loaded.
@c @implementation
public func sqlite3_sluice_init(
  _ connection: OpaquePointer?, _ message: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ routines: UnsafeRawPointer?
) -> Int32 {
  let code = register(message, routines)
  return code == SQLITE_OK ? csqlite_ok_load_permanently() : code
}

/// For `sqlite3_auto_extension`, which takes any answer but SQLITE_OK for a failure.
@c @implementation
public func sqlite3_sluice_auto_init(
  _ connection: OpaquePointer?, _ message: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?,
  _ routines: UnsafeRawPointer?
) -> Int32 {
  register(message, routines)
}

/// Why the last call failed that did in this thread, valid until the next one; an empty text before that. SQLite
/// tells who opens a store no more than a code.
@c @implementation
public func sluice_error() -> UnsafePointer<CChar>? { csystem_kept_text() }

/// Makes the file system known to the library that `routines` are of, unless it knows it.
private func register(
  _ message: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?, _ routines: UnsafeRawPointer?
) -> Int32 {
  guard let routines else { return SQLITE_MISUSE }
  var functions = csqlite_calls()
  let tooOld = csqlite_host_calls(routines, &functions)
  // Without the functions there is nothing to allocate a message with.
  guard tooOld == 0 else { return SQLITE_ERROR }
  // The library's own list says what it knows; a list here could only say something else.
  guard functions.vfs_find(ReadVFS.name) == nil else { return SQLITE_OK }
  let calls = SQLiteCalls(functions)
  do throws(VFSFailure) {
    let fileSystem = StoreFileSystem(calls, host: QueuePragmas())
    let registration = try VFSRegistration(name: ReadVFS.name, fileSystem, calls)
    // As long as the process, as the extension itself.
    _ = Unmanaged.passRetained(registration)
    return SQLITE_OK
  } catch {
    message?.pointee = calls.allocated("SQLite did not take the file system \(ReadVFS.name)")
    return error.code
  }
}
