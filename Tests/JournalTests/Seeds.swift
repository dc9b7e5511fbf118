import Glibc

/// How many schedules a test tries: `SLUICE_SEEDS`, or few enough for every build.
func seeds(_ standard: Int) -> Int {
  getenv("SLUICE_SEEDS").flatMap { Int(String(cString: $0)) } ?? standard
}
