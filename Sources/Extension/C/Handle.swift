internal import SluiceShared

/// What a program in C holds by a pointer, which counts as one reference.
protocol Handle: AnyObject {}

extension Handle {
  /// The pointer for a program, which ends it with `release`.
  func handedOut() -> OpaquePointer { OpaquePointer(Unmanaged.passRetained(self).toOpaque()) }

  static func behind(_ pointer: OpaquePointer?) throws(StoreError) -> Self {
    guard let pointer else {
      throw StoreError(.invalid, "a pointer is NULL that must lead to something; see sluice.h")
    }
    return unmanaged(pointer).takeUnretainedValue()
  }

  /// As `behind`, for who can answer nothing but what NULL has to answer.
  static func known(_ pointer: OpaquePointer?) -> Self? {
    pointer.map { unmanaged($0).takeUnretainedValue() }
  }

  static func release(_ pointer: OpaquePointer?) {
    if let pointer { unmanaged(pointer).release() }
  }

  private static func unmanaged(_ pointer: OpaquePointer) -> Unmanaged<Self> {
    Unmanaged<Self>.fromOpaque(UnsafeRawPointer(pointer))
  }
}

/// What belongs to one process: a child that was forked can end it, and do nothing else with it.
struct Owner {
  private let forks = forksOfProcess()

  var isThisProcess: Bool { forks == forksOfProcess() }

  func check(_ what: String) throws(StoreError) {
    guard isThisProcess else {
      throw StoreError(
        .invalid,
        "the \(what) was made before the process forked; a child opens a writer of its own")
    }
  }
}

/// A text for C, as long as the object.
final class CText {
  let start: UnsafePointer<CChar>

  init(_ text: String) {
    let bytes = text.utf8CString
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: bytes.count)
    for (i, byte) in bytes.enumerated() { (copy + i).initialize(to: byte) }
    start = UnsafePointer(copy)
  }

  deinit { start.deallocate() }
}

/// A C text that must be there, and be UTF-8.
func text(_ bytes: UnsafePointer<CChar>?, _ what: String) throws(StoreError) -> String {
  guard let bytes, let text = String(validatingCString: bytes) else {
    throw StoreError(.invalid, "\(what) is \(bytes == nil ? "NULL" : "not UTF-8")")
  }
  return text
}

/// So many bytes of text.
func text(_ bytes: UnsafeRawPointer?, _ length: Int, _ what: String) throws(StoreError) -> String {
  guard length >= 0, length == 0 || bytes != nil else {
    throw StoreError(.invalid, "\(what) is NULL")
  }
  let buffer = UnsafeRawBufferPointer(start: bytes, count: length)
  guard let text = String(validating: buffer, as: UTF8.self) else {
    throw StoreError(.invalid, "\(what) is not UTF-8")
  }
  return text
}
