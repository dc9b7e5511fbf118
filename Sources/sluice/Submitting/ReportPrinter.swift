import SluiceShared

/// Prints what became of batches to standard output, each as soon as it is known.
struct ReportPrinter: ~Copyable {
  private let json: Bool
  private var output = OutputFile()
  private(set) var sawRejection = false
  /// So many batches were reported.
  private(set) var count = 0

  init(json: Bool) { self.json = json }

  mutating func print(_ report: BatchReport, of input: InputBatch? = nil) throws(StoreError) {
    sawRejection = sawRejection || report.isRejected
    count += 1
    try output.write((json ? report.json(of: input) : report.text(of: input)) + "\n")
    try output.flush()
    for note in input?.notes ?? [] { Sluice.warn(note) }
  }

  /// What is no batch's outcome.
  mutating func tell(_ text: String, _ object: JSONObject) throws(StoreError) {
    try output.write((json ? object.text : text) + "\n")
    try output.flush()
  }
}
