package import SluiceLease
package import SluiceShared

/// A table of DynamoDB with a hash key `pk` (S), in which a store has one item that is never deleted.
///
/// GetItem, PutItem and UpdateItem on that one key, signed, over libcurl.
package final class DynamoTable: LockTable, Sendable {
  let table: String
  private let key: String
  let service: DynamoService
  let clock: any Clock
  private var settings: Settings { service.settings }

  /// Throws `.invalid` where region, endpoint, profile or credentials cannot be meant; nothing is sent.
  package convenience init(table: String, store: StoreID, environment: Environment)
    throws(StoreError)
  {
    self.init(
      table: table, store: store, try DynamoService.ofProcess(environment), environment.clock)
  }

  init(table: String, store: StoreID, _ service: DynamoService, _ clock: any Clock) {
    self.table = table
    key = DynamoTable.key(store)
    self.service = service
    self.clock = clock
  }

  /// That of another store.
  private init(_ other: DynamoTable, key: String) {
    (table, self.key, service, clock) = (other.table, key, other.service, other.clock)
  }

  package static func key(_ store: StoreID) -> String { "sluice#\(store)" }

  package func perform(_ request: LockRequest, atMost limit: Duration) -> Result<
    LockAnswer, LockFailure
  > {
    let started = clock.elapsed()
    switch service.credentials.current(atMost: limit) {
    case .failure(let failure):
      return .failure(LockFailure(isPassing: failure.isPassing, failure.message))
    case .success(let current):
      let request = DynamoRequest(request, table: table, key: key)
      let left = max(.milliseconds(50), limit - (clock.elapsed() - started))
      let result = service.gate.pass {
        service.client.send(call(request, current), atMost: left)
      }
      switch result {
      case nil: return .failure(silent)
      case .failure(let failure): return .failure(explain(failure))
      case .success(let response): return answer(response, to: request, current)
      }
    }
  }

  package func start(
    _ request: LockRequest, atMost limit: Duration,
    done: @escaping @Sendable (Result<LockAnswer, LockFailure>) -> Void
  ) -> Bool {
    // Where credentials have to be waited for, a thread of one's own does.
    guard case .success(let current) = service.credentials.current(atMost: .zero) else {
      return false
    }
    if case .read = request {
      look(LookBatch.Look(key: key, asked: clock.elapsed(), limit: limit, done: done), current)
    } else {
      begin(DynamoRequest(request, table: table, key: key), limit, current, done)
    }
    return true
  }

  /// One of those that could not be read together.
  func begin(_ look: LookBatch.Look, _ current: Credentials) {
    let other = DynamoTable(self, key: look.key)
    let left = max(.milliseconds(50), look.limit - (clock.elapsed() - look.asked))
    other.begin(DynamoRequest(.read, table: table, key: look.key), left, current, look.done)
  }

  private func begin(
    _ request: DynamoRequest, _ limit: Duration, _ current: Credentials,
    _ done: @escaping LookBatch.Done
  ) {
    guard service.gate.enter() else { return done(.failure(silent)) }
    service.client.start(atMost: limit, make: { [self] in call(request, current) }) {
      [self] result in
      service.gate.leave(result)
      switch result {
      case .failure(let failure): done(.failure(explain(failure)))
      case .success(let response): done(answer(response, to: request, current))
      }
    }
  }

  func call(_ request: DynamoRequest, _ credentials: Credentials) -> HTTPRequest {
    var call = HTTPRequest("\(settings.endpoint)/")
    call.headers = [
      ("Content-Type", "application/x-amz-json-1.0"),
      ("X-Amz-Target", "DynamoDB_20120810.\(request.operation)"),
    ]
    if let token = credentials.token { call.headers.append(("X-Amz-Security-Token", token)) }
    call.body = request.body
    call.signing = HTTPRequest.Signing(
      credentials: credentials, region: settings.region, service: "dynamodb")
    return call
  }

  func answer(
    _ response: HTTPResponse, to request: DynamoRequest, _ used: Credentials
  ) -> Result<LockAnswer, LockFailure> {
    let json = try? JSON.parse(response.body)
    if response.status == 200, let json, case .object = json {
      guard request.operation == "GetItem" else { return .success(.written) }
      guard let found = json["Item"] else { return .success(.item(nil)) }
      if let item = LockItem(found) { return .success(.item(item)) }
    }
    let refusal = DynamoRefusal(response, json)
    if refusal.type == "ConditionalCheckFailedException" {
      return .success(.refused(json?["Item"].flatMap { LockItem($0) }))
    }
    if refusal.isOfCredentials { service.credentials.refused(used) }
    return .failure(
      refusal.explained(
        table: table, region: settings.region, endpoint: settings.endpoint, key: key,
        operation: request.operation))
  }

  /// The requests of other stores say why.
  var silent: LockFailure {
    LockFailure(
      isPassing: true,
      "\(settings.endpoint) answers no store of this process; if it stays so, look at routes, the gateway endpoint for DynamoDB, and security groups"
    )
  }

  func explain(_ failure: HTTPFailure) -> LockFailure {
    let endpoint = settings.endpoint
    switch failure.kind {
    case .noLibrary: return LockFailure(isPassing: false, failure.message)
    case .noHost:
      return LockFailure(
        isPassing: true,
        "the host of \(endpoint) is not found (\(failure.message)); see whether the name server answers, and whether the region \(settings.region) is right"
      )
    case .noConnection:
      return LockFailure(
        isPassing: true,
        "no connection to \(endpoint) (\(failure.message)); a private subnet needs a gateway endpoint for DynamoDB, and a security group that lets port 443 out"
      )
    case .timedOut:
      return LockFailure(
        isPassing: true, isLate: true,
        "\(endpoint) does not answer in time (\(failure.message)); if it stays so, look at routes, the gateway endpoint for DynamoDB, and security groups"
      )
    case .certificate:
      return LockFailure(
        isPassing: false,
        "the certificate of \(endpoint) is not believed (\(failure.message)); install ca-certificates, or name a file of certificates in AWS_CA_BUNDLE"
      )
    case .notSent: return .notSent
    case .broken:
      return LockFailure(
        isPassing: true, "the connection to \(endpoint) broke (\(failure.message))")
    }
  }
}
