internal import CSQLite
internal import SluiceReader
internal import SluiceSQLite
internal import SluiceShared
internal import SluiceVFS

/// The pages of a database, wherever they lie.
protocol DatabasePages: AnyObject {
  var pageSize: Int { get }
  var pageCount: UInt32 { get }
  /// Fills `buffer` with one page, from 1 to `pageCount`.
  func read(page: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StoreError)
}

extension Snapshot: DatabasePages {}

/// SQLite on pages that nobody writes to while it reads.
final class DatabaseReader {
  // Before the registration, which has to outlive it.
  let connection: Connection
  private let file: PagesFile
  private let registration: VFSRegistration

  init(
    _ pages: any DatabasePages, _ extensions: [LoadableExtension], _ environment: Environment
  ) throws(StoreError) {
    let file = PagesFile(pages)
    self.file = file
    let name =
      "sluice-pages-\(hexadecimal(environment.random(), width: 16))\(hexadecimal(environment.random(), width: 16))"
    registration = VFSRegistration(name: name, PagesFileSystem(file))
    do throws(SQLiteError) {
      connection = try Connection(
        path: PagesFileSystem.path, flags: [.readOnly, .noMutex], vfs: name)
    } catch {
      throw file.failure ?? StoreError(.io, "SQLite cannot open what is to be read: \(error)")
    }
    try connection.load(extensions)
  }

  /// What is read; to be set between two statements. Page 1's change counter tells SQLite.
  var pages: any DatabasePages {
    get { file.pages }
    set { file.pages = newValue }
  }

  /// Why the pages could not be read.
  var failure: StoreError? { file.failure }

  /// Runs `body`, and says of its failure what the pages say.
  func reading<R>(_ body: (Connection) throws(SQLiteError) -> R) throws(StoreError) -> R {
    do throws(SQLiteError) { return try body(connection) } catch {
      throw file.failure
        ?? StoreError(.damaged, "a database that is to be compared cannot be read: \(error)")
    }
  }
}

private final class PagesFileSystem: VirtualFileSystem, @unchecked Sendable {
  // Sendable: used by the one connection of one reader; the registration does not touch it.
  private let file: PagesFile
  static let path = "/pages"

  init(_ file: PagesFile) { self.file = file }

  func open(_ name: VFSName, flags: Int32) throws(VFSFailure)
    -> (file: any VirtualFile, flags: Int32)?
  {
    guard flags & SQLITE_OPEN_MAIN_DB != 0 else { throw VFSFailure(SQLITE_CANTOPEN) }
    return (file, flags)
  }

  func currentTime_ms() -> Int64 { 0 }
}

private final class PagesFile: VirtualFile {
  var pages: any DatabasePages
  private(set) var failure: StoreError?

  init(_ pages: any DatabasePages) { self.pages = pages }

  func size() throws(VFSFailure) -> Int64 { Int64(pages.pageCount) * Int64(pages.pageSize) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    let isWhole: Bool
    do throws(StoreError) {
      isWhole = try PageSpan.fill(buffer, from: offset, pageSize: pages.pageSize) {
        (page, part) throws(StoreError) in
        guard page <= pages.pageCount else { return false }
        try pages.read(page: page, into: part)
        return true
      }
    } catch {
      failure = error
      throw error.code == .damaged ? .corruptFile : .read
    }
    guard isWhole else { throw .shortRead }
  }
}
