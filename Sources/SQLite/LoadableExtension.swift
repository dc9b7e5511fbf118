internal import CSQLite
internal import CSystem
internal import Glibc
package import SluiceShared

/// A loadable extension of SQLite, held in memory so that what is loaded is what was verified.
///
/// The file itself lies where others have rights, and on a file system that may be mounted without
/// the right to execute, or go away under a mapping. So its bytes are copied into a file without a
/// name (memfd_create(2)), and the dynamic linker loads that.
public final class LoadableExtension: Sendable {
  /// What people call it: the file's name without directory and suffix.
  package let name: String
  /// Kept open for as long as the process may load it: the dynamic linker knows a library by its
  /// path, and another file under the same number would be taken for this one.
  private let descriptor: Int32

  /// Takes the bytes of a shared library. Throws `.unsupported` where this host cannot load it.
  package init(name: String, bytes: [UInt8]) throws(StoreError) {
    if let reason = unsuitable(bytes) {
      throw StoreError(.unsupported, "the extension \(name) cannot be loaded here: \(reason)")
    }
    let descriptor = bytes.withUnsafeBytes {
      csystem_memory_file("sluice-extension", $0.baseAddress, $0.count)
    }
    guard descriptor >= 0 else {
      throw StoreError(
        .io,
        "there is no memory for the extension \(name): \(String(cString: strerror(-descriptor)))",
        errno: -descriptor)
    }
    self.name = name
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// The function that SQLite's own loader looks for in a file of that name, after
  /// `sqlite3_extension_init`: `sqlite3_vec_init` for `vec0` and for `libvec0`.
  package static func entryPoint(of name: String) -> String {
    var bytes = name.utf8.prefix { $0 != UInt8(ascii: ".") }[...]
    if bytes.starts(with: "lib".utf8) { bytes = bytes.dropFirst(3) }
    var letters = ""
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"): letters.unicodeScalars.append(.init(byte))
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): letters.unicodeScalars.append(.init(byte | 0x20))
      default: break
      }
    }
    return "sqlite3_\(letters)_init"
  }

  fileprivate var path: String { "/proc/self/fd/\(descriptor)" }
}

extension Connection {
  /// Loads extensions for this connection, in their order (`sqlite3_load_extension`). The right to
  /// load any is given for these calls only, and never to SQL.
  package func load(_ extensions: [LoadableExtension]) throws(StoreError) {
    for one in extensions {
      do throws(SQLiteError) {
        try setConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, true)
        defer { try? setConfig(SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, false) }
        do throws(SQLiteError) { try load(one.path, "sqlite3_extension_init") } catch {
          try load(one.path, LoadableExtension.entryPoint(of: one.name))
        }
      } catch {
        throw StoreError(
          .unsupported,
          "the extension \(one.name) cannot be loaded here: \(error.message); what it needs beside SQLite must be installed on each host"
        )
      }
    }
  }

  private func load(_ path: String, _ entryPoint: String) throws(SQLiteError) {
    var text: UnsafeMutablePointer<CChar>?
    let code = sqlite3_load_extension(handle, path, entryPoint, &text)
    defer { sqlite3_free(text) }
    guard code == SQLITE_OK else {
      throw SQLiteError(code: code, message: text.map { String(cString: $0) } ?? "error \(code)")
    }
  }

  /// Waits so long for others' locks before a call fails with SQLITE_BUSY (`sqlite3_busy_timeout`).
  package func setBusyTimeout(_ limit: Duration) {
    let (seconds, attoseconds) = limit.components
    let ms = min(Int64(Int32.max), max(0, seconds) * 1000 + attoseconds / 1_000_000_000_000_000)
    sqlite3_busy_timeout(handle, Int32(ms))
  }
}

/// Why this process cannot load `bytes`; nil where they look as they should. The dynamic linker's own
/// words for another processor's library are "cannot open shared object file".
private func unsuitable(_ bytes: [UInt8]) -> String? {
  guard bytes.count > 64, bytes.starts(with: Array("\u{7F}ELF".utf8)) else {
    return "it is no shared library of Linux (ELF)"
  }
  let machine = UInt16(bytes[18]) | UInt16(bytes[19]) << 8
  #if arch(x86_64)
    let own: UInt16 = 62
  #elseif arch(arm64)
    let own: UInt16 = 183
  #else
    let own = machine
  #endif
  guard machine == own, bytes[4] == 2, bytes[5] == 1 else {
    return
      "it is built for \(processor(machine)), and this host is \(processor(own)); all appliers of a store with extensions need the same kind of processor"
  }
  return nil
}

private func processor(_ machine: UInt16) -> String {
  switch machine {
  case 3: "32-bit x86"
  case 40: "32-bit ARM"
  case 62: "x86-64"
  case 183: "64-bit ARM"
  case 243: "RISC-V"
  default: "machine \(machine)"
  }
}
