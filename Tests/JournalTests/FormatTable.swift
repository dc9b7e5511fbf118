import Foundation
import Testing

/// A table of docs/FORMAT.md that says what lies where: its columns are `at`, `size`, `field`.
struct FormatTable {
  struct Row {
    var at: Int
    /// Bytes; nil: as many as there are.
    var size: Int?
    var field: String
  }

  var rows: [Row] = []

  static func text() throws -> String {
    let root = URL(filePath: #filePath).appending(path: "../../..").standardized
    return try String(contentsOf: root.appending(path: "docs/FORMAT.md"), encoding: .utf8)
  }

  /// The lines of the first table behind `heading`, as cells, without the names of its columns.
  static func cells(behind heading: String) throws -> [[String]] {
    let lines = try text().split(separator: "\n", omittingEmptySubsequences: false)
    let start = try #require(lines.firstIndex { $0 == heading }, "\(heading)")
    let table = lines[start...].drop { !$0.hasPrefix("|") }.prefix { $0.hasPrefix("|") }
    return table.dropFirst(2).map { line in
      line.split(separator: "|", omittingEmptySubsequences: false).dropFirst().dropLast()
        .map { $0.trimmingCharacters(in: .whitespaces) }
    }
  }

  /// The table behind `heading` with a row for each field that lies at a number.
  init(behind heading: String) throws {
    let sizes = ["u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8]
    for cells in try Self.cells(behind: heading) {
      guard let at = Int(cells[0]) else { continue }
      rows.append(Row(at: at, size: sizes[cells[1]] ?? Int(cells[1]), field: cells[2]))
    }
  }

  /// What `bytes` have where each row says, compared with `expected`, in the rows' order: what the field begins with in
  /// the document, and its bytes. No row and no byte before the last row may be left out.
  func check(_ bytes: [UInt8], _ expected: [(field: String, bytes: [UInt8])]) {
    #expect(rows.count == expected.count)
    var end = 0
    for (row, expected) in zip(rows, expected) {
      #expect(row.field.hasPrefix(expected.field), "“\(row.field)” is not “\(expected.field)…”")
      #expect(row.at >= end, "“\(row.field)” begins in the field before it")
      let gap = bytes[end..<max(end, row.at)]
      #expect(gap.allSatisfy { $0 == 0 }, "before “\(row.field)” there is what the table lacks")
      if let size = row.size {
        #expect(size == expected.bytes.count, "“\(row.field)” has \(expected.bytes.count) bytes")
      }
      let found = bytes[row.at...].prefix(expected.bytes.count)
      #expect(Array(found) == expected.bytes, "“\(row.field)” is not at \(row.at)")
      end = row.at + expected.bytes.count
    }
  }
}

/// A number as it lies in a file.
func little(_ number: some FixedWidthInteger) -> [UInt8] {
  withUnsafeBytes(of: number.littleEndian) { Array($0) }
}
