import BenchmarkSupport
import Glibc
import SluiceJournal
import SluiceShared

/// The leading applier killed, and how soon the standby did its work.
struct Takeover {
  var killed: String
  var successor: String
  /// Boot time of the SIGKILL, in nanoseconds, and how long after it the successor's beacon and its
  /// first commit were published.
  var killed_ns: UInt64
  var led_ns: UInt64
  var committed_ns: UInt64

  /// Kills the applier that leads now, and waits for the other's first commit.
  static func force(_ appliers: [ChildProcess], _ log: Log, atMost limit: Duration) throws
    -> Takeover
  {
    let clock = SystemClock()
    var last = try log.present()
    let term = last.segment.header.term
    guard let victim = appliers.first(where: { $0.name == last.segment.header.holder }) else {
      throw RunError("\(last.segment.header.holder) leads, which is none of this run's appliers")
    }
    let killed = clock.bootTime_ns()
    victim.signal(SIGKILL)
    guard victim.wait(atMost: limit) == .killed(signal: SIGKILL) else {
      throw RunError("\(victim.name) could not be killed")
    }
    var led: UInt64?
    while clock.bootTime_ns() - killed < UInt64(limit.wholeMilliseconds) * 1_000_000 {
      let present = try log.present()
      let now = clock.bootTime_ns() - killed
      if present.segment.header.term != term {
        if let led, present.extent.commits > last.extent.commits {
          return Takeover(
            killed: victim.name, successor: present.segment.header.holder, killed_ns: killed,
            led_ns: led, committed_ns: now)
        }
        if led == nil {
          led = now
          last = present
        }
      }
      clock.sleep(.milliseconds(1))
    }
    throw RunError(
      "no other applier did anything within \(limit) after \(victim.name) was killed")
  }
}
