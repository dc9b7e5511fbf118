internal import CCrypto

/// SHA-256 (FIPS 180-4), 32 bytes.
package enum SHA256 {
  package static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
    var state = SHA256_CTX()
    // These fail only where a context is used after it was finished.
    SHA256_Init(&state)
    SHA256_Update(&state, bytes.baseAddress, bytes.count)
    return [UInt8](unsafeUninitializedCapacity: Int(SHA256_DIGEST_LENGTH)) { digest, count in
      SHA256_Final(digest.baseAddress, &state)
      count = Int(SHA256_DIGEST_LENGTH)
    }
  }
}

extension SHA256 {
  private static let blockBytes = 64

  /// HMAC (RFC 2104) of a message with a key of up to 64 bytes; 32 bytes.
  package static func authenticate(_ message: [UInt8], key: [UInt8]) -> [UInt8] {
    precondition(key.count <= blockBytes, "a longer key is hashed first, and none here is")
    let padded = key + [UInt8](repeating: 0, count: blockBytes - key.count)
    let inner = (padded.map { $0 ^ 0x36 } + message).withUnsafeBytes { hash($0) }
    return (padded.map { $0 ^ 0x5c } + inner).withUnsafeBytes { hash($0) }
  }
}
