import SluiceShared

@testable import SluiceApplier

/// Of a fleet that gives no store away and takes none.
final class QuietMembership: FleetMembership {
  var isStopping: Bool { false }
  var departures: Int { 0 }
  var wantsMore: Bool { false }
  func patience(isReleased: Bool, isOffered: Bool) -> Duration { .zero }
  func sawRelease() {}
  func released(_ endpoint: HintEndpoint) {}
  func gaveAway() {}
  func tookBack() {}
}
