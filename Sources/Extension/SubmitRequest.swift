internal import SluiceJournal
internal import SluiceShared

/// The argument of `PRAGMA sluice_submit`: a batch as a line of `sluice submit --ndjson` has it (`statements`,
/// `guards`, `id`, `results`, `unlisted`), and beside that
///
/// - `wait`: `"applied"`, the default, or `"durable"`: whether its outcome is waited for;
/// - `timeout_ms`: for how long, 30000 where it is left out. Then the answer is `durable`;
/// - `alone`: true to submit nothing while a transaction of the connection is open, one that a SELECT keeps open too.
///   Such a transaction would not see what the batch does, as it would after a statement of its own.
struct SubmitRequest {
  let batch: Batch
  /// How long to wait for the outcome; nil: not at all.
  let timeout: Duration?
  let isAlone: Bool

  init(_ text: String?) throws(StoreError) {
    do throws(DecodingError) {
      guard let text else {
        throw DecodingError("write PRAGMA sluice_submit('{\"statements\": [[\"SQL\"]]}')")
      }
      guard case .object(var members) = try JSON.parse(text) else {
        throw DecodingError("a batch is an object; write {\"statements\": [[\"SQL\"]]}")
      }
      timeout = try Self.timeout(&members)
      isAlone = try Self.isAlone(&members)
      batch = try Batch(json: .object(members))
    } catch {
      throw StoreError(.invalid, "the batch cannot be read: \(error)")
    }
  }

  private static func isAlone(_ members: inout [String: JSON]) throws(DecodingError) -> Bool {
    guard let json = members.removeValue(forKey: "alone") else { return false }
    guard let flag = json.bool else { throw DecodingError("\"alone\" is true or false") }
    return flag
  }

  /// Takes out what is no batch's.
  private static func timeout(_ members: inout [String: JSON]) throws(DecodingError) -> Duration? {
    let limit = members.removeValue(forKey: "timeout_ms")
    let wait = members.removeValue(forKey: "wait")
    switch wait?.string {
    case nil where wait == nil, "applied": break
    case "durable":
      guard limit == nil else {
        throw DecodingError("\"timeout_ms\" goes with \"wait\": \"applied\"")
      }
      return nil
    default: throw DecodingError("\"wait\" is \"applied\" or \"durable\"")
    }
    guard let limit else { return .seconds(30) }
    guard let number = limit.integer, (0...Limits.longestWait_ms).contains(number) else {
      throw DecodingError(
        "\"timeout_ms\" is a whole number of milliseconds, at most \(Limits.longestWait_ms)")
    }
    return .milliseconds(number)
  }
}
