internal import CCurl
internal import SluiceShared

/// Requests that nobody waits for, of all stores of a process, on one thread.
///
/// A thread for each would be woken for each, and one that was just woken takes several times as long for it as one that
/// has done the same a moment before. So what is due at about the same time is sent together, and what is answered at
/// about the same time is taken together.
final class CurlGroup: @unchecked Sendable {
  // Sendable: `state` has its lock, and all else belongs to the one thread.
  struct Letter: Sendable {
    typealias Begin = (UnsafePointer<ccurl_request>) -> Bool
    let asked = SystemClock().elapsed()
    let limit: Duration
    let done: @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void
    /// Makes the request, which may take so long, and begins it. False: it has failed already.
    let begin: @Sendable (Duration, Begin) -> Bool
  }

  private struct State {
    var letters: [Letter] = []
    var isServed = false
    /// The thread waits there for answers; nil: it works, or waits for letters.
    var waitsIn: OpaquePointer?
  }

  private let state = Monitor(State())
  private let clock = SystemClock()
  private var group: OpaquePointer?
  private var idle: [CurlHandle] = []
  private var waiting: [Letter] = []
  private var underWay: [OpaquePointer: (handle: CurlHandle, letter: Letter)] = [:]

  func start(_ letter: Letter) {
    let (isServed, isFirst, group) = state.withLock { state in
      defer { state.isServed = true }
      state.letters.append(letter)
      return (state.isServed, state.letters.count == 1, state.waitsIn)
    }
    if !isServed { return startThread { [self] in serve() } }
    // Behind the first one it comes anyway.
    guard isFirst else { return }
    if let group { ccurl_wake(group) } else { state.wakeOne() }
  }

  private func serve() -> Never {
    while true {
      rest()
      // Others come in the same moment.
      clock.sleep(Limits.pauseForRequests)
      waiting += state.withLock { state in
        defer { (state.letters, state.waitsIn) = ([], nil) }
        return state.letters
      }
      beginAll()
      guard let group else { continue }
      ccurl_go_on(group)
      while let pointer = ccurl_next(group) { end(pointer) }
    }
  }

  /// Until there is something to do.
  private func rest() {
    guard let group, !underWay.isEmpty else {
      if waiting.isEmpty { state.wait { $0.letters.isEmpty ? nil : () } }
      return
    }
    let hasRoom = underWay.count < Limits.groupedRequests
    let isEmpty = state.withLock { state in
      if hasRoom, state.letters.isEmpty { state.waitsIn = group }
      return state.letters.isEmpty
    }
    if !hasRoom || isEmpty {
      ccurl_wait(group, Int32(Limits.longestUnheededStop.wholeMilliseconds))
    }
  }

  private func beginAll() {
    let now = clock.elapsed()
    // An answer that comes too late is worth nothing, and would cost the other side the same.
    waiting.removeAll { letter in
      guard now - letter.asked > letter.limit * 3 / 4 else { return false }
      letter.done(.failure(HTTPFailure(.notSent, "too many requests wait")))
      return true
    }
    let count = min(waiting.count, Limits.groupedRequests - underWay.count)
    for letter in waiting.prefix(count) { begin(letter, letter.limit - (now - letter.asked)) }
    waiting.removeFirst(count)
  }

  private func begin(_ letter: Letter, _ left: Duration) {
    let handle: CurlHandle
    switch idle.popLast().map({ .success($0) }) ?? CurlHandle.opened() {
    case .failure(let failure): return letter.done(.failure(failure))
    case .success(let opened): handle = opened
    }
    if group == nil { group = ccurl_group_open(Limits.groupedRequests) }
    guard let group else {
      return letter.done(.failure(HTTPFailure(.noLibrary, "libcurl has no memory for requests")))
    }
    if letter.begin(left, { ccurl_begin(group, handle.pointer, $0) }) {
      underWay[handle.pointer] = (handle, letter)
    } else {
      end(handle, letter)
    }
  }

  private func end(_ pointer: OpaquePointer) {
    guard let (handle, letter) = underWay.removeValue(forKey: pointer) else { return }
    end(handle, letter)
  }

  private func end(_ handle: CurlHandle, _ letter: Letter) {
    let result = handle.result
    idle.append(handle)
    letter.done(result)
  }
}
