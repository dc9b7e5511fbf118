// Howard Hinnant's civil_from_days and days_from_civil: the proleptic Gregorian calendar.

/// Unix milliseconds as `2026-11-22T10:00:00.123Z`.
package func timestamp(_ time_ms: Int64) -> String {
  let days = (time_ms >= 0 ? time_ms : time_ms - 86_399_999) / 86_400_000
  let rest = time_ms - days * 86_400_000
  let z = days + 719_468
  let era = (z >= 0 ? z : z - 146_096) / 146_097
  let doe = z - era * 146_097
  let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365
  let doy = doe - (365 * yoe + yoe / 4 - yoe / 100)
  let mp = (5 * doy + 2) / 153
  let month = mp < 10 ? mp + 3 : mp - 9
  let year = yoe + era * 400 + (month <= 2 ? 1 : 0)
  let date =
    "\(padded(year, width: 4))-\(padded(month, width: 2))-\(padded(doy - (153 * mp + 2) / 5 + 1, width: 2))"
  let time =
    "\(padded(rest / 3_600_000, width: 2)):\(padded(rest / 60_000 % 60, width: 2)):\(padded(rest / 1000 % 60, width: 2)).\(padded(rest % 1000, width: 3))"
  return "\(date)T\(time)Z"
}

/// A time as RFC 3339 writes it (`2026-11-22T10:00:00.123Z`, `2026-11-22T11:00:00+01:00`) in Unix
/// milliseconds; what is less than one is cut off. nil where it is none.
package func milliseconds(ofTimestamp text: String) -> Int64? {
  var rest = Array(text.utf8)[...]

  func take(_ characters: String) -> Bool {
    guard let first = rest.first, characters.utf8.contains(first) else { return false }
    rest.removeFirst()
    return true
  }
  func number(_ digits: Int, _ range: ClosedRange<Int64>) -> Int64? {
    guard rest.count >= digits else { return nil }
    var value: Int64 = 0
    for byte in rest.prefix(digits) {
      guard (0x30...0x39).contains(byte) else { return nil }
      value = value * 10 + Int64(byte - 0x30)
    }
    rest.removeFirst(digits)
    return range.contains(value) ? value : nil
  }
  func offset() -> Int64? {
    if take("Zz") { return 0 }
    let isWest = rest.first == UInt8(ascii: "-")
    guard take("+-"), let hours = number(2, 0...23), take(":"), let minutes = number(2, 0...59)
    else { return nil }
    return (isWest ? -1 : 1) * (hours * 60 + minutes) * 60_000
  }

  guard let year = number(4, 0...9999), take("-"), let month = number(2, 1...12), take("-"),
    let day = number(2, 1...daysIn(month, of: year)), take("Tt "), let hour = number(2, 0...23),
    take(":"), let minute = number(2, 0...59), take(":"),
    // 60: a leap second, which Unix time counts as the next one.
    let second = number(2, 0...60)
  else { return nil }
  var fraction: Int64 = 0
  if take(".") {
    let digits = rest.prefix { (0x30...0x39).contains($0) }
    guard !digits.isEmpty else { return nil }
    for place in 0..<3 {
      let digit = place < digits.count ? digits[digits.startIndex + place] - 0x30 : 0
      fraction = fraction * 10 + Int64(digit)
    }
    rest.removeFirst(digits.count)
  }
  guard let offset = offset(), rest.isEmpty else { return nil }
  let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second
  return seconds * 1000 + fraction - offset
}

private func daysIn(_ month: Int64, of year: Int64) -> Int64 {
  if month == 2 { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28 }
  return [4, 6, 9, 11].contains(month) ? 30 : 31
}

/// Since 1970-01-01.
private func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
  let year = month <= 2 ? year - 1 : year
  let era = (year >= 0 ? year : year - 399) / 400
  let yearOfEra = year - era * 400
  let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
  return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
}
