internal import SluiceLease
internal import SluiceShared

/// Looks at the items of many stores that come at about the same time: one request reads up to a hundred (BatchGetItem).
///
/// A standby of many stores does little else than look. Each item is read as of its last write, as GetItem reads it.
/// Where a role may not do it, or what was read together cannot be told, they are read one by one, at several
/// times the cost.
final class LookBatch: Sendable {
  typealias Done = @Sendable (Result<LockAnswer, LockFailure>) -> Void

  struct Look: Sendable {
    var key: String
    var asked: Duration
    var limit: Duration
    var done: Done
  }

  private struct State {
    /// Of each table.
    var looks: [String: [Look]] = [:]
    var isDenied = false
  }

  private let state = Monitor(State())

  /// Whether a request is to be begun that takes it (`take`): else one that was begun will. nil: it goes by itself.
  func add(_ look: Look, table: String) -> Bool? {
    state.withLock { state in
      guard !state.isDenied else { return nil }
      state.looks[table, default: []].append(look)
      return state.looks[table]?.count == 1
    }
  }

  /// Up to a hundred that came, and whether another request is to be begun for what is left.
  func take(_ table: String) -> (looks: [Look], isMore: Bool) {
    state.withLock { state in
      let looks = state.looks[table] ?? []
      state.looks[table] = Array(looks.dropFirst(Limits.itemsInBatch))
      return (Array(looks.prefix(Limits.itemsInBatch)), looks.count > Limits.itemsInBatch)
    }
  }

  /// This role may not, or this is something that has no such request.
  func deny() { state.withLock { $0.isDenied = true } }
}

extension DynamoTable {
  func look(_ look: LookBatch.Look, _ current: Credentials) {
    switch service.looks.add(look, table: table) {
    case nil: begin(look, current)
    case false?: break
    case true?: lookAtAll(look.limit, current)
    }
  }

  /// The request reads those that have come when it is sent.
  private func lookAtAll(_ limit: Duration, _ current: Credentials) {
    guard service.gate.enter() else {
      for look in taken(limit, current) { look.done(.failure(silent)) }
      return
    }
    let sent = Monitor<[LookBatch.Look]>([])
    let make: @Sendable () -> HTTPRequest = { [self] in
      let looks = taken(limit, current)
      sent.withLock { $0 = looks }
      return call(DynamoRequest(looks: looks.map(\.key), table: table), current)
    }
    service.client.start(atMost: limit, make: make) { [self] result in
      service.gate.leave(result)
      var looks = sent.withLock { $0 }
      if looks.isEmpty { looks = taken(limit, current) }
      switch result {
      // What is too large comes to this, too.
      case .failure(let failure) where failure.kind == .broken:
        for look in looks { begin(look, current) }
      case .failure(let failure):
        for look in looks { look.done(.failure(explain(failure))) }
      case .success(let response): answer(response, to: looks, current)
      }
    }
  }

  private func taken(_ limit: Duration, _ current: Credentials) -> [LookBatch.Look] {
    let (looks, isMore) = service.looks.take(table)
    if isMore { lookAtAll(limit, current) }
    return looks
  }

  private func answer(
    _ response: HTTPResponse, to looks: [LookBatch.Look], _ current: Credentials
  ) {
    let json = try? JSON.parse(response.body)
    if response.status == 200, let json,
      let found = BatchAnswer(json, table: table, keys: looks.map(\.key))
    {
      for look in looks {
        look.done(
          found.left.contains(look.key)
            ? .failure(throttled) : .success(.item(found.items[look.key])))
      }
      return
    }
    let refusal = DynamoRefusal(response, json)
    if refusal.isOfBatches { service.looks.deny() }
    if response.status == 200 || refusal.isOfBatches {
      for look in looks { begin(look, current) }
      return
    }
    let failure = answer(
      response, to: DynamoRequest(looks: looks.map(\.key), table: table), current)
    for look in looks { look.done(failure) }
  }

  private var throttled: LockFailure {
    LockFailure(
      isPassing: true,
      "the table \(table) is throttled; make it on demand, or give it more capacity (some of many items were not read)"
    )
  }
}

/// What an answer says of the items that were asked for.
struct BatchAnswer {
  /// Those that are there.
  private(set) var items: [String: LockItem] = [:]
  /// Those that were not read: the table is throttled.
  private(set) var left: Set<String> = []

  /// nil: it is no such answer.
  init?(_ json: JSON, table: String, keys: [String]) {
    guard case .object? = json["Responses"] else { return nil }
    if case .array(let found)? = json["Responses"]?[table] {
      for item in found {
        guard let key = item["pk"]?["S"]?.string, let item = LockItem(item) else { return nil }
        items[key] = item
      }
    }
    if case .array(let rest)? = json["UnprocessedKeys"]?[table]?["Keys"] {
      left = Set(rest.compactMap { $0["pk"]?["S"]?.string })
    }
  }
}
