/// Text or blob bytes as SQLite hands them out: a length, and a pointer that is NULL only for an
/// empty blob or when memory ran out; the latter traps, as it does everywhere in Swift.
func bytes(_ start: UnsafeRawPointer?, _ count: Int32) -> UnsafeRawBufferPointer {
  precondition(start != nil || count == 0, "SQLite is out of memory")
  return UnsafeRawBufferPointer(start: start, count: Int(count))
}

/// A pointer that SQLite does not take for NULL, also for an empty buffer.
func nonNull(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer {
  let empty: StaticString = ""
  return bytes.baseAddress ?? UnsafeRawPointer(empty.utf8Start)
}
