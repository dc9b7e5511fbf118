import ArgumentParser

/// A length of time on the command line with its unit, such as `7d`, or `forever`.
struct KeepDuration: ExpressibleByArgument, CustomStringConvertible {
  /// nil: for ever.
  let duration: Duration?
  let description: String

  static let forever = "forever"

  /// nil unless it is a whole number from 1 on and one of s, m, h and d, of at most 100 years.
  init?(argument: String) {
    description = argument
    if argument == Self.forever {
      duration = nil
      return
    }
    let seconds: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 24 * 3600]
    guard let unit = argument.last.flatMap({ seconds[$0] }),
      argument.utf8.dropLast().allSatisfy({ (48...57).contains($0) }),
      let number = Int64(argument.dropLast()), (1...3_153_600_000 / unit).contains(number)
    else { return nil }
    duration = .seconds(number * unit)
  }

  /// As it is written: in the largest unit that divides it.
  init(milliseconds: UInt64) {
    duration = .milliseconds(Int64(clamping: milliseconds))
    let units: [(ms: UInt64, name: String)] = [
      (24 * 3_600_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"),
    ]
    let unit = units.first { milliseconds % $0.ms == 0 }
    description = unit.map { "\(milliseconds / $0.ms)\($0.name)" } ?? "\(milliseconds)ms"
  }

  var defaultValueDescription: String { description }

  static func parse(_ text: String) throws -> KeepDuration {
    guard let duration = KeepDuration(argument: text) else {
      throw ValidationError(
        "give a whole number with its unit, s, m, h or d, such as 90s or 7d, or \(forever)")
    }
    return duration
  }
}

/// A number of bytes, such as `500M` or `20G`: of 1024 each.
struct ByteCount: ExpressibleByArgument {
  let bytes: Int64

  /// nil unless it is a whole number from 1 on, followed by nothing, K, M, G or T.
  init?(argument: String) {
    let units: [Character: Int64] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40]
    let unit = argument.last.flatMap { units[$0] }
    let digits = unit == nil ? argument[...] : argument.dropLast()
    guard digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int64(digits),
      (1...Int64.max / (unit ?? 1)).contains(number)
    else { return nil }
    bytes = number * (unit ?? 1)
  }

  static func parse(_ text: String) throws -> ByteCount {
    guard let count = ByteCount(argument: text) else {
      throw ValidationError(
        "give a whole number of bytes, with K, M, G or T behind it for 1024 and its powers, such as 500M"
      )
    }
    return count
  }
}
