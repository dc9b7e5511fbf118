import SluiceJournal
import SluiceShared

/// Batches as newline-delimited JSON: each line that is not blank is one (`Batch.init(json:)`).
struct NDJSONReader: BatchSource, ~Copyable {
  private var lines: LineReader

  init(_ file: consuming InputFile) { lines = LineReader(file) }

  /// The next line's batch. Throws `.invalid` naming the input, the line and what is wrong there.
  mutating func next() throws(StoreError) -> InputBatch? {
    while var line = try lines.next() {
      if lines.lineNumber == 1, line.starts(with: byteOrderMark) {
        line.removeFirst(byteOrderMark.count)
      }
      guard !line.allSatisfy(isWhiteSpace) else { continue }
      do throws(DecodingError) {
        let json = try JSON.parse(lean: line)
        line = []
        let batch = try Batch(json: json)
        return InputBatch(batch: batch, input: lines.name, line: lines.lineNumber)
      } catch {
        throw StoreError(input: lines.name, line: lines.lineNumber, error.description)
      }
    }
    return nil
  }
}

private let byteOrderMark: [UInt8] = [0xEF, 0xBB, 0xBF]

private func isWhiteSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
