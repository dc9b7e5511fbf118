import ArgumentParser

/// A time on the command line, in seconds; fractions are welcome.
struct Seconds: ExpressibleByArgument, CustomStringConvertible {
  let duration: Duration
  let description: String

  init(_ seconds: Int) {
    duration = .seconds(seconds)
    description = String(seconds)
  }

  /// nil unless it is a number from 0 to 10⁹.
  init?(argument: String) {
    guard let seconds = Double(argument), (0...1e9).contains(seconds) else { return nil }
    duration = .seconds(seconds)
    description = argument
  }

  var defaultValueDescription: String { description }
}
