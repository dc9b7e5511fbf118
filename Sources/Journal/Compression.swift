internal import CZstd
internal import SluiceShared

/// How the bytes of a section or a page are stored.
package enum Codec: UInt8, Sendable {
  case raw = 0
  case zstd = 1
}

/// A zstd compression context, kept because making one costs more than compressing a page.
package final class Compressor {
  private let context: OpaquePointer
  private var scratch: [UInt8] = []
  /// What a large text took is given back.
  private static let mostKept = 4 << 20

  package init() {
    guard let context = ZSTD_createCCtx() else { preconditionFailure("zstd: out of memory") }
    self.context = context
  }

  deinit { ZSTD_freeCCtx(context) }

  /// Appends the compressed form of `bytes`; false, and nothing appended, where that is not shorter.
  package func append(
    _ bytes: UnsafeRawBufferPointer, level: Int32, to output: inout [UInt8]
  ) -> Bool {
    let bound = ZSTD_compressBound(bytes.count)
    if scratch.count < bound { scratch = [UInt8](repeating: 0, count: bound) }
    let count = scratch.withUnsafeMutableBytes {
      ZSTD_compressCCtx(context, $0.baseAddress, $0.count, bytes.baseAddress, bytes.count, level)
    }
    defer { if scratch.count > Compressor.mostKept { scratch = [] } }
    guard ZSTD_isError(count) == 0, count < bytes.count else { return false }
    output.append(contentsOf: scratch[0..<count])
    return true
  }
}

/// A zstd decompression context.
package final class Decompressor {
  /// Made when it is first needed: 100 KiB and more, and much that is read is not compressed.
  private var context: OpaquePointer?

  package init() {}

  deinit { ZSTD_freeDCtx(context) }

  /// Fills `output` exactly; false where the input is damaged or its size is another one.
  package func decompress(
    _ bytes: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
  ) -> Bool {
    if context == nil { context = ZSTD_createDCtx() }
    guard let context else { preconditionFailure("zstd: out of memory") }
    let count = ZSTD_decompressDCtx(
      context, output.baseAddress, output.count, bytes.baseAddress, bytes.count)
    return ZSTD_isError(count) == 0 && count == output.count
  }

  /// Whether `count` bytes can come out, looked at before memory is taken for them: zstd's own header
  /// says how many, where it says anything, and a block of at most 128 KiB takes at least four bytes.
  private static func mayHold(_ bytes: UnsafeRawBufferPointer, count: Int) -> Bool {
    let stated = ZSTD_getFrameContentSize(bytes.baseAddress, bytes.count)
    // The two largest numbers mean "does not say" and "is no zstd".
    guard stated == UInt64(count) || stated >= UInt64.max - 1 else { return false }
    return count / (128 << 10) <= bytes.count / 4
  }

  /// The content of `bytes`, which must be exactly `count` bytes long.
  package func decompress(_ bytes: UnsafeRawBufferPointer, count: Int) -> [UInt8]? {
    guard Decompressor.mayHold(bytes, count: count) else { return nil }
    var whole = false
    let output = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      whole = decompress(bytes, into: UnsafeMutableRawBufferPointer(buffer))
      filled = whole ? count : 0
    }
    return whole ? output : nil
  }
}
