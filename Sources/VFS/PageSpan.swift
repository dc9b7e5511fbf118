package import SluiceShared

/// Bytes of a file that is made of pages, wherever they begin and end.
///
/// SQLite reads in pages of the size that it knows last; where the file has another one by now, it finds that out
/// from page 1, read in the old size.
package enum PageSpan {
  /// Fills `buffer` from `offset` on. `read` fills one page, and says whether it is there; zeros are where it is not.
  /// Returns whether all pages are there.
  package static func fill(
    _ buffer: UnsafeMutableRawBufferPointer, from offset: Int64, pageSize: Int,
    _ read: (_ page: UInt32, _ bytes: UnsafeMutableRawBufferPointer) throws(StoreError) -> Bool
  ) throws(StoreError) -> Bool {
    var isWhole = true
    var done = 0
    while done < buffer.count {
      let (index, start) = (offset + Int64(done)).quotientAndRemainder(dividingBy: Int64(pageSize))
      let count = min(pageSize - Int(start), buffer.count - done)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[done..<done + count])
      let page = UInt32(clamping: index + 1)
      if count == pageSize {
        if try !read(page, part) {
          part.initializeMemory(as: UInt8.self, repeating: 0)
          isWhole = false
        }
      } else {
        let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 64)
        defer { whole.deallocate() }
        if try read(page, whole) {
          part.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: whole[Int(start)..<Int(start) + count]))
        } else {
          part.initializeMemory(as: UInt8.self, repeating: 0)
          isWhole = false
        }
      }
      done += count
    }
    return isWhole
  }
}
