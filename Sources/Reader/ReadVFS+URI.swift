internal import SluiceShared

extension ReadVFS {
  /// The URI of the store at `root`. The slash at its end says that it is a store, also where the file system
  /// that SQLite could look at has nothing there.
  package static func uri(_ root: String) -> String {
    let path = escaped(root)
    return "file:\(path.hasPrefix("/") ? "//" : "")\(path)/?vfs=\(name)"
  }
}

/// The path with what means something in a URI escaped.
private func escaped(_ path: String) -> String {
  var text = ""
  for byte in path.utf8 {
    switch byte {
    case UInt8(ascii: "?"), UInt8(ascii: "#"), UInt8(ascii: "%"), 0..<0x20, 0x7F...:
      text += "%" + hexadecimal(byte, width: 2)
    default: text.unicodeScalars.append(Unicode.Scalar(byte))
    }
  }
  return text
}
