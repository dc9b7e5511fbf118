internal import Logging
internal import SluiceHints
internal import SluiceShared

/// How a standby waits until its next look at the beacon.
extension Applier {
  /// Waits for `pause`; for longer while the leader's beacon moves and the leader answers hints, and until it
  /// says that its term has ended. That it leads only the beacon shows: it is looked at now and then, and as
  /// often as without hints from when the leader falls silent.
  func rest(_ pause: Duration, isBeating: Bool, _ shouldStop: () -> Bool) {
    let clock = environment.clock
    let began = clock.elapsed()
    let question = Hint(.standby)
    // The leader's beat moves within two fifths of the lease.
    let end = began + options.leaseTime * 3 / 5
    while isBeating, !shouldStop(), line.ask([question]) {
      if case .released? = line.wait(
        atMost: min(end - clock.elapsed(), Limits.longestUnheededStop))?
        .kind
      {
        return
      }
      guard clock.elapsed() < end, line.isHeard else { break }
    }
    clock.sleep(began + pause - clock.elapsed())
  }

  /// Where hints are taken; nil: nowhere. Throws `.io` where the address that was given cannot be had.
  static func desk(_ options: ApplierOptions, _ environment: Environment) throws(StoreError)
    -> HintDesk?
  {
    guard let address = options.hints, !options.drains, options.assistance == nil else {
      return nil
    }
    do throws(StoreError) { return try HintDesk(at: address, environment) } catch {
      // Nobody asked for this one by name, and everything works without.
      guard address.isLoopback, address.port == 0 else { throw error }
      options.logger.warning("no hints are taken", metadata: ["reason": "\(error)"])
      return nil
    }
  }
}
