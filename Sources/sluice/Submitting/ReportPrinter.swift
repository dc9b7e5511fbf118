import SluiceShared

/// Prints what became of batches to standard output, each as soon as it is known.
struct ReportPrinter: ~Copyable {
  private let json: Bool
  private var output = OutputFile()
  private(set) var sawRejection = false

  init(json: Bool) { self.json = json }

  mutating func print(_ report: BatchReport, of input: InputBatch? = nil) throws(StoreError) {
    sawRejection = sawRejection || report.isRejected
    let place = input.flatMap { $0.isFromFile ? "\($0.input), line \($0.line)" : nil }
    try output.write((json ? report.json : report.text(place: place)) + "\n")
    try output.flush()
  }
}
