/// A read in a reader's diary: what it saw, and when at the earliest and the latest.
struct Sighting {
  var began_ms: Int64
  var ended_ms: Int64
  var txid: UInt64

  init?(_ line: Substring) {
    let words = line.split(separator: " ")
    guard words.count == 4, words[0] == "read", let began = Int64(words[1]),
      let ended = Int64(words[2]), let txid = UInt64(words[3])
    else { return nil }
    (began_ms, ended_ms, self.txid) = (began, ended, txid)
  }
}
