import Glibc
import SluiceFakes
import SluiceShared
import Synchronization

extension Environment {
  /// The real environment, with `hook` between it and the files.
  static func hooked(_ hook: @escaping FileHook) -> Environment {
    var environment = Environment.posix()
    environment.fileSystem = HookedFileSystem(PosixFileSystem(), hook)
    return environment
  }
}

/// A device that fails: at the n-th operation that changes something, and from then on where the
/// fault lasts.
final class FailingDevice: Sendable {
  private let count = Atomic<Int>(0)
  private let isRepaired = Atomic<Bool>(false)
  private let place: Int
  private let lasts: Bool
  private let code: Int32

  init(at place: Int, lasts: Bool, _ code: Int32) {
    self.place = place
    self.lasts = lasts
    self.code = code
  }

  var hasFailed: Bool { count.load(ordering: .relaxed) >= place }

  func repair() { isRepaired.store(true, ordering: .relaxed) }

  var environment: Environment { .hooked { [self] in fate($0) } }

  private func fate(_ operation: FileOperation) -> FileFate {
    switch operation.action {
    case .create, .link, .syncDirectory, .write, .sync, .resize, .replaceSymbolicLink: break
    default: return .done
    }
    guard !isRepaired.load(ordering: .relaxed) else { return .done }
    let now = count.wrappingAdd(1, ordering: .relaxed).newValue
    guard now == place || (lasts && now > place) else { return .done }
    let error = StoreError(
      .io, "\(operation.action) failed: \(String(cString: strerror(code)))", path: operation.path,
      errno: code)
    return operation.action == .write && now % 2 == 0
      ? .failsTorn(pieceBytes: 0, error) : .fails(error)
  }
}
