public import SluiceShared

/// What Lambda offers a program in its environment: events are fetched from it, and answered.
///
/// A program for `provided.al2023` is a loop over `serve`. It blocks, and makes no thread: Lambda freezes the
/// environment while nothing is to be done, for any length of time, and what a thread was at would be cut in two.
public struct RuntimeAPI: Sendable {
  /// One event.
  public struct Invocation: Sendable {
    /// The same where Lambda tries an asynchronous event again.
    public let requestID: String
    /// When Lambda ends the environment; Unix time.
    public let deadline_ms: Int64
    public let event: [UInt8]

    /// How much of its time is left; negative where none is.
    public var remaining: Duration { remaining(SystemClock()) }

    package func remaining(_ clock: any Clock) -> Duration {
      .milliseconds(deadline_ms - clock.wallTime_ms())
    }
  }

  private let host: HTTPHost
  private static let prefix = "/2018-06-01/runtime"

  /// `address` is AWS_LAMBDA_RUNTIME_API: host and port.
  public init(address: String) throws(StoreError) { host = try HTTPHost(address) }

  /// Answers events with what `function` returns, JSON, one after another. Where it throws, the event failed: the
  /// caller is told the error's code and sentence, and the next event is fetched. Returns only by an error: when the
  /// API is gone.
  public func serve(_ function: (Invocation) throws -> String) throws(StoreError) -> Never {
    while true {
      let invocation = try next()
      let answer: String
      do { answer = try function(invocation) } catch {
        try fail(with: error, invocation)
        continue
      }
      guard answer.utf8.count <= Limits.functionAnswerBytes else {
        let limit = StoreError(
          .limit,
          "the answer has \(answer.utf8.count) bytes, Lambda takes \(Limits.functionAnswerBytes); ask for less at a time"
        )
        try fail(with: limit, invocation)
        continue
      }
      try post("/invocation/\(invocation.requestID)/response", answer)
    }
  }

  /// Waits for the next event, however long; the environment is frozen meanwhile.
  func next() throws(StoreError) -> Invocation {
    let response = try host.exchange("GET", Self.prefix + "/invocation/next")
    guard response.status == 200, let id = response.headers["lambda-runtime-aws-request-id"],
      let deadline_ms = response.headers["lambda-runtime-deadline-ms"].flatMap(Int64.init)
    else {
      throw StoreError(
        .io, "Lambda's API gives no event, but status \(response.status); end this environment")
    }
    return Invocation(requestID: id, deadline_ms: deadline_ms, event: response.body)
  }

  /// Tells Lambda that there is nothing to serve with, before the first event. The process ends then.
  public func failStart(with error: any Error) throws(StoreError) {
    try post("/init/error", Self.describe(error))
  }

  private func fail(with error: any Error, _ invocation: Invocation) throws(StoreError) {
    try post("/invocation/\(invocation.requestID)/error", Self.describe(error))
  }

  private func post(_ path: String, _ body: String) throws(StoreError) {
    // Refused is what comes too late: the caller was told so, and this environment goes on.
    _ = try host.exchange("POST", Self.prefix + path, Array(body.utf8))
  }

  private static func describe(_ error: any Error) -> String {
    var text = "{\"errorType\": "
    JSON.append(quoting: (error as? StoreError)?.code.rawValue ?? "failed", to: &text)
    text += ", \"errorMessage\": "
    let message = (error as? any CustomStringConvertible)?.description
    JSON.append(quoting: message ?? "the function failed, and cannot say why", to: &text)
    return text + ", \"stackTrace\": []}"
  }
}
