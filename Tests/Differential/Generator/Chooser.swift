import SluiceFakes

/// One seed's decisions, in order.
struct Chooser {
  private var random: SeededRandom

  init(seed: UInt64) { random = SeededRandom(seed: seed) }

  mutating func next() -> UInt64 { random.next() }
  mutating func below(_ bound: Int) -> Int { random.below(bound) }
  mutating func chance(_ probability: Double) -> Bool { random.chance(probability) }
  mutating func from(_ range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.count)
  }
  mutating func one<T>(_ choices: [T]) -> T { choices[below(choices.count)] }

  /// One of the choices, each as likely as its weight says.
  mutating func weighted<T>(_ choices: [(Int, T)]) -> T {
    var place = below(choices.reduce(0) { $0 + $1.0 })
    for (weight, choice) in choices {
      if place < weight { return choice }
      place -= weight
    }
    return choices[0].1
  }

  mutating func some<T>(_ choices: [T], _ count: ClosedRange<Int>) -> [T] {
    (0..<from(count)).map { _ in one(choices) }
  }
}
