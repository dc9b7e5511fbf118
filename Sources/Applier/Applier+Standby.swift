internal import Logging
internal import SluiceHints
internal import SluiceJournal
internal import SluiceLease
internal import SluiceShared

/// What a standby remembers from one look at the beacon to the next.
struct Standing {
  /// Milliseconds that the next pause is longer by: standbys do not look all at once.
  var jitter: UInt64 = 0
  /// The beacon, and since when it is what it is, as far as was seen (boot time).
  var beat: (seen: LeaseObservation, since: Duration)?
  /// A hint said that the term has ended, and that is believed: never where `lookAfterRelease` is made.
  var believesRelease = false
}

/// How a standby looks at the beacon, and waits until its next look.
extension Applier {
  enum Look {
    case leads(Leader)
    /// `hints`: where the beacon's holder takes them.
    case rests(Duration, Beat, hints: HintEndpoint?)
  }

  /// What a look finds of the leader's beat.
  enum Beat {
    /// Another beacon than at the last look.
    case new
    /// The same, and its holder said that it would be.
    case awaited
    /// The same for longer than that.
    case late
  }

  func beginStanding() {
    options.logger.info("standing by", metadata: ["store": "\(layout.root)"])
    standing = Standing(jitter: environment.random() % 50)
  }

  /// Looks at the beacon, and claims where the lease allows it.
  func look() throws(StoreError) -> Look {
    var beat = Beat.late
    var newest = try LeaseObservation.newest(of: log, &observed)
    let hints = newest?.hints
    newest?.heard = line.lastAnswer(from: hints)
    if let newest {
      let now = environment.clock.elapsed()
      if newest != standing.beat?.seen {
        standing.beat = (newest, now)
        beat = .new
      } else if now - (standing.beat?.since ?? now) <= newest.nextBeat * 5 / 4 {
        beat = .awaited
      }
      options.metrics?.sees(beatAge: now - (standing.beat?.since ?? now))
    }
    if let seen = newest, try mayClaim(seen), !holdsBack(seen) {
      try Applier.checkScratch(environment)
      try checkWorker()
      do throws(StoreError) {
        if let leader = try claim(seen) { return .leads(leader) }
      } catch {
        guard error.endsOnlyTheTerm || madeRoom(for: error) else { throw error }
        options.logger.warning("claim given up", metadata: ["reason": "\(error)"])
      }
      // Somebody else was faster; losers do not come back all at once.
      observed = nil
      standing.jitter = environment.random() % 100
    } else if isPreparationDue(newest) {
      // What it meets counts when this process claims.
      if options.many == nil { try? prepare() }
      lastPrepared = (environment.clock.elapsed(), newest?.txid ?? .zero)
      _ = try hasOwnKind()
    }
    defer { standing.jitter = 0 }
    // One that rests is looked at less often: within a second, where it is to end in order without a hint.
    let rests = (newest?.nextBeat ?? .zero) > .seconds(2)
    let pause = max(options.standbyPoll, rests ? .seconds(1) : .zero)
    return .rests(pause + .milliseconds(Int64(standing.jitter)), beat, hints: hints)
  }

  private func mayClaim(_ seen: LeaseObservation) throws(StoreError) -> Bool {
    if standing.believesRelease {
      standing.believesRelease = false
      return true
    }
    return try lease.mayClaim(seen)
  }

  /// A hint says that the term has ended: a reason to look, and no more.
  func hearRelease() { standing.believesRelease = !environment.makes(.lookAfterRelease) }

  /// Where nothing was published since, there is nothing new to prepare for, for a while.
  private func isPreparationDue(_ seen: LeaseObservation?) -> Bool {
    guard let lastPrepared else { return true }
    let age = environment.clock.elapsed() - lastPrepared.at
    guard options.many == nil else { return age >= Limits.longestUnpreparedRest }
    guard worker?.isThere ?? true, line.isHeard, seen?.txid == lastPrepared.txid else {
      return age >= options.leaseTime / 2
    }
    return age >= Limits.longestUnpreparedRest
  }

  /// Waits for `pause`; for longer while the leader's beacon moves and the leader answers hints, and until it
  /// says that its term has ended. That it leads only the beacon shows: it is looked at now and then, and as
  /// often as without hints from when the leader falls silent.
  func rest(_ pause: Duration, _ beat: Beat, _ shouldStop: () -> Bool) {
    let clock = environment.clock
    let began = clock.elapsed()
    let question = Hint(.standby)
    let end = began + longestUnlookedRest
    while beat != .late, !shouldStop(), line.ask([question]) {
      if case .released? = line.wait(
        atMost: min(end - clock.elapsed(), Limits.longestUnheededStop))?
        .kind
      {
        return hearRelease()
      }
      guard clock.elapsed() < end, line.isHeard else { break }
    }
    clock.sleep(began + pause - clock.elapsed())
  }

  /// While the leader answers. A beat comes within two fifths of the lease, or when the beacon says, and an item
  /// moves within a half.
  private var longestUnlookedRest: Duration {
    guard lease.nextLook == nil else { return options.leaseTime }
    let nextBeat = standing.beat?.seen.nextBeat ?? .zero
    return min(options.leaseTime, max(options.leaseTime * 3 / 5, nextBeat))
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
