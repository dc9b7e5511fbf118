import SluiceFakes
import SluiceLease
import SluiceShared

/// A table in this process, whose answers a test decides, over a clock that a test moves.
final class ScriptedTable: LockTable, Sendable {
  struct State {
    var item: LockItem?
    var requests: [LockRequest] = []
    /// Before each request: seconds that it takes on its way there and back; failures; nothing.
    var faults: [Fault] = []
  }

  enum Fault {
    /// Carried out after the first time, answered after the second.
    case slow(there: Duration, back: Duration)
    /// Carried out; the answer is lost.
    case unanswered
    /// Not carried out.
    case lost
    case refused(LockFailure)
    /// Carried out twice; the second answer.
    case twice
  }

  let state = Monitor(State())
  let clock = ManualClock()

  var item: LockItem? {
    get { state.withLock { $0.item } }
    set { state.withLock { $0.item = newValue } }
  }

  func next(_ faults: Fault...) { state.withLock { $0.faults = faults } }
  var requests: Int { state.withLock { $0.requests.count } }

  var reads: Int {
    state.withLock { state in
      state.requests.count { if case .read = $0 { true } else { false } }
    }
  }

  func perform(_ request: LockRequest, atMost limit: Duration) -> Result<LockAnswer, LockFailure> {
    let fault = state.withLock { state in
      state.requests.append(request)
      return state.faults.isEmpty ? nil : state.faults.removeFirst()
    }
    let noAnswer = LockFailure(isPassing: true, "no answer")
    switch fault {
    case nil: return .success(carryOut(request))
    case .slow(let there, let back):
      clock.sleep(there)
      let answer = carryOut(request)
      clock.sleep(back)
      return .success(answer)
    case .unanswered:
      _ = carryOut(request)
      clock.sleep(limit)
      return .failure(noAnswer)
    case .lost:
      clock.sleep(limit)
      return .failure(noAnswer)
    case .refused(let failure): return .failure(failure)
    case .twice:
      _ = carryOut(request)
      return .success(carryOut(request))
    }
  }

  private func carryOut(_ request: LockRequest) -> LockAnswer {
    state.withLock { state in
      switch request {
      case .read: return .item(state.item)
      case .put(let new, let condition):
        guard condition.holds(of: state.item) else { return .refused(state.item) }
        state.item = new
        return .written
      case .update(let new, let condition):
        guard condition.holds(of: state.item), state.item != nil else {
          return .refused(state.item)
        }
        state.item?.lockID = new.lockID
        state.item?.state = new.state
        state.item?.expires_s = new.expires_s
        return .written
      }
    }
  }
}
