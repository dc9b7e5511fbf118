import Glibc
import SluiceShared
import Testing

@testable import sluice

/// An empty file without a name.
func temporaryDescriptor() throws -> Int32 {
  var path = Array("/tmp/sluice-test-XXXXXX".utf8CString)
  let descriptor = mkstemp(&path)
  try #require(descriptor >= 0)
  unlink(path)
  return descriptor
}

/// An open file that holds `bytes`, at its beginning.
func descriptor(_ bytes: [UInt8]) throws -> Int32 {
  let descriptor = try temporaryDescriptor()
  var written = 0
  while written < bytes.count {
    let count = bytes[written...].withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    try #require(count > 0)
    written += count
  }
  try #require(lseek(descriptor, 0, SEEK_SET) == 0)
  return descriptor
}

/// An input that holds `bytes`; messages call it "input".
func input(_ bytes: [UInt8]) throws -> InputFile {
  InputFile(descriptor: try descriptor(bytes), name: "input")
}

func input(_ text: String) throws -> InputFile { try input(Array(text.utf8)) }

/// All batches of `source`.
func batches(_ source: consuming some BatchSource & ~Copyable) throws(StoreError) -> [InputBatch] {
  var batches: [InputBatch] = []
  while let batch = try source.next() { batches.append(batch) }
  return batches
}

/// The error that `body` ends with.
func storeError(_ body: () throws -> Void) -> StoreError? {
  #expect(throws: StoreError.self, performing: body)
}
