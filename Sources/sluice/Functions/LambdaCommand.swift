import ArgumentParser
import Glibc
import SluiceLambda
import SluiceSQLite
import SluiceShared

/// What the functions' zip starts: `bootstrap` gives it the function's handler.
struct LambdaCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "lambda", abstract: "Serve the events of an AWS Lambda function.",
    discussion: """
      The store is $SLUICE_STORE; with $SLUICE_ASSIST set, the writer applies batches itself where nobody \
      leads. The writer's event is a batch, as `submit --ndjson` has them; the \
      reader's is {"sql": "…", "parameters": […]}.
      """,
    shouldDisplay: false)

  enum Handler: String, ExpressibleByArgument { case writer, reader }

  @Argument(help: "The function's handler.")
  var handler: Handler

  func run() throws {
    let begin_ns = SystemClock().bootTime_ns()
    let api = try RuntimeAPI(address: Self.variable("AWS_LAMBDA_RUNTIME_API"))
    let function: any FunctionHandler
    do {
      let store = try Self.variable("SLUICE_STORE")
      function =
        switch handler {
        case .writer: try WriterFunction(store, assists: getenv("SLUICE_ASSIST") != nil)
        case .reader: try ReaderFunction(store)
        }
    } catch {
      try api.failStart(with: error)
      throw error
    }
    let start_us = (SystemClock().bootTime_ns() - begin_ns) / 1000
    Sluice.warn("\(handler.rawValue) ready in \(start_us) µs")
    try api.serve { invocation in
      do { return try function.answer(invocation) } catch let error as SQLiteError {
        throw StoreError(.sqlite, "\(error)")
      }
    }
  }

  private static func variable(_ name: String) throws(StoreError) -> String {
    guard let value = getenv(name), value.pointee != 0 else {
      throw StoreError(
        .invalid, "\(name) is not set; this command is for AWS Lambda, see docs/OPERATIONS.md")
    }
    return String(cString: value)
  }
}

/// What answers a function's events.
protocol FunctionHandler {
  /// JSON. An error makes the invocation one that failed.
  func answer(_ invocation: RuntimeAPI.Invocation) throws -> String
}

extension RuntimeAPI.Invocation {
  func json() throws(StoreError) -> JSON {
    var result: Result<JSON, DecodingError> = .failure(DecodingError("empty"))
    event.withUnsafeBytes { bytes in
      do throws(DecodingError) { result = .success(try JSON.parse(bytes)) } catch {
        result = .failure(error)
      }
    }
    switch result {
    case .success(let json): return json
    case .failure(let error): throw StoreError(.invalid, "the event: \(error)")
    }
  }
}

extension StoreError.Code {
  /// What a caller is told of SQL that SQLite refuses.
  fileprivate static let sqlite = StoreError.Code(rawValue: "SQLiteError")
}
