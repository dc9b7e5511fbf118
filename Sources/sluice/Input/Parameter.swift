import ArgumentParser
import SluiceShared

/// An SQL parameter on the command line: what is a number in JSON's notation is one, everything else
/// is text. So 007, 1., +1 and a number that 64 bits do not hold stay the texts that they are.
struct Parameter: ExpressibleByArgument {
  let value: SQLValue

  init(argument: String) { value = Parameter.value(Parameter.unmarked(argument)) }

  private static func value(_ text: String) -> SQLValue {
    switch number(text) {
    case .integer(let number)?: .integer(number)
    case .real(let number)?: .real(number)
    default: .text(text)
    }
  }

  private static func number(_ text: String) -> JSON? {
    // JSON allows white space around a value.
    guard let first = text.utf8.first, first == UInt8(ascii: "-") || isDigit(first),
      let last = text.utf8.last, isDigit(last)
    else { return nil }
    return try? JSON.parse(text)
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  // The argument parser takes -5 for options. A NUL, which no argument can have, in front of it
  // makes it a value.
  private static let mark: Character = "\0"

  /// `arguments` with each negative number before `--` marked.
  static func marked(_ arguments: [String]) -> [String] {
    let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
    return arguments[..<end].map { argument in
      argument.hasPrefix("-") && number(argument) != nil ? "\(mark)\(argument)" : argument
    } + arguments[end...]
  }

  static func unmarked(_ text: String) -> String { text.filter { $0 != mark } }
}
