internal import CCrypto

/// SHA-256 (FIPS 180-4), 32 bytes.
public enum SHA256 {
  public static func hash(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
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
