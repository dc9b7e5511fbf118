import Glibc
import SluiceSimulator

/// How many schedules a test tries: `SLUICE_SEEDS`, or few enough for every build.
func seeds(_ standard: Int) -> Int {
  getenv("SLUICE_SEEDS").flatMap { Int(String(cString: $0)) } ?? standard
}

/// The first of `seeds` whose run finds such a violation; said aloud where `SLUICE_SEEDS` is set.
func firstSeed(
  of seeds: Range<Int>, _ name: String, _ isMeant: (Violation.Kind) -> Bool,
  _ run: (UInt64) -> Violation?
) -> Int? {
  for seed in seeds {
    guard let violation = run(UInt64(seed)), isMeant(violation.kind) else { continue }
    if getenv("SLUICE_SEEDS") != nil { print("\(name): seed \(seed): \(violation)") }
    return seed
  }
  return nil
}
