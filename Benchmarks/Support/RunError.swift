/// Why a run cannot go on: one sentence that says what to do.
public struct RunError: Error, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}
