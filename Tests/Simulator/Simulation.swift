import SluiceShared

/// Runs seeds, one after the other, in this process.
public struct Simulation: Sendable {
  private let templates: [StoreTemplate]
  private let omitted: Set<SafetyCheck>

  /// `check`: the name of one to leave out.
  public init(omitting check: String? = nil) throws {
    templates = try [512, 4096].map { try StoreTemplate(pageSize: $0) }
    omitted = try Set(
      [check].compactMap { $0 }.map { name in
        guard let check = SafetyCheck(rawValue: name) else {
          throw StoreError(
            .invalid,
            "there is no check \(name); there are \(SafetyCheck.allCases.map(\.rawValue).joined(separator: ", "))"
          )
        }
        return check
      })
  }

  /// The first violation, or nil. `trace` gets a line for everything that happens.
  public func run(seed: UInt64, trace: ((String) -> Void)? = nil) -> (
    what: String?, statistics: World.Statistics
  ) {
    let world = World(
      SimulationPlan(seed: seed), from: templates[Int(seed % UInt64(templates.count))],
      omitting: omitted, trace: trace)
    let what = world.run()
    return (what, world.statistics)
  }
}
