internal import SluiceHints
internal import SluiceJournal
package import SluiceShared

/// Waits until a store has published more than somebody who follows it has seen.
///
/// It looks at the newest beacon as a reader does: often, and the more seldom the better the applier's hints can
/// be relied on. What a hint says is not believed: it ends a pause, and what was published the beacon says. Used
/// by one thread at a time.
package final class NewsWait {
  private let log: Log
  private let line: HintLine
  private let environment: Environment
  private var clock: any Clock { environment.clock }
  /// When there was something new last.
  private var lastNews: Duration

  /// Where no applier answers: "behind by less than a poll".
  private static let pause = Duration.milliseconds(50)
  /// Where one answers, and its answers have not proven themselves yet. One that is lost is asked for anew in time.
  private static let heardPause = Duration.milliseconds(250)

  /// Throws as `PageStore` does.
  package init(path: String, environment: Environment) throws(StoreError) {
    log = Log(of: try StoreHandle(at: StoreLayout(path), environment))
    line = HintLine(environment)
    self.environment = environment
    lastNews = environment.clock.elapsed()
  }

  /// Returns when more than `txid` is published: the last batch that is. nil after `limit`, where the store cannot be
  /// read now, or when `shouldStop` says so, which is asked several times a second.
  @discardableResult
  package func wait(
    behind txid: TxID, atMost limit: Duration = .seconds(60), shouldStop: () -> Bool = { false }
  ) -> TxID? {
    let end = clock.elapsed() + limit
    while !shouldStop(), clock.elapsed() < end {
      guard let present = try? log.present() else {
        // Whoever follows meets what is in the way, and tells.
        clock.sleep(Self.pause)
        return nil
      }
      guard present.extent.txid <= txid else {
        lastNews = clock.elapsed()
        return present.extent.txid
      }
      let isActive = present.beacon.state == .active && !present.isClosed
      line.aim(at: isActive ? present.beacon.status.hints.endpoint : nil)
      let hint = rest(behind: txid, until: end, shouldStop)
      if let hint, !environment.makes(.lookAfterNews) { return hint.txid }
    }
    return nil
  }

  /// Until the next look. Returns the hint that ended it.
  private func rest(behind txid: TxID, until end: Duration, _ shouldStop: () -> Bool) -> Hint? {
    let began = clock.elapsed()
    let question = Hint(.follower, txid: txid)
    while !shouldStop(), line.ask([question]) {
      let next = min(end, began + pause(began))
      let now = clock.elapsed()
      guard now < next else { return nil }
      let hint = line.wait(atMost: min(next - now, Limits.longestUnheededStop))
      if let hint, hint.kind == .published { return hint }
    }
    clock.sleep(max(.zero, min(end, began + Self.pause) - clock.elapsed()))
    return nil
  }

  private func pause(_ now: Duration) -> Duration {
    if line.isTrusted {
      return min(
        Limits.longestHintedPause, max(Limits.shortestHintedPause, (now - lastNews) / 8))
    }
    return line.isHeard ? Self.heardPause : Self.pause
  }
}
