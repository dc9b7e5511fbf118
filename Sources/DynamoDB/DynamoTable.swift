package import SluiceLease
package import SluiceShared

/// A table of DynamoDB with a hash key `pk` (S), in which a store has one item that is never deleted.
///
/// GetItem, PutItem and UpdateItem on that one key, signed, over libcurl.
package final class DynamoTable: LockTable, Sendable {
  private let table: String
  private let key: String
  private let service: DynamoService
  private let clock: any Clock
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

  private func call(_ request: DynamoRequest, _ credentials: Credentials) -> HTTPRequest {
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

  private func answer(
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
  private var silent: LockFailure {
    LockFailure(
      isPassing: true,
      "\(settings.endpoint) answers no store of this process; if it stays so, look at routes, the gateway endpoint for DynamoDB, and security groups"
    )
  }

  private func explain(_ failure: HTTPFailure) -> LockFailure {
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
    case .broken:
      return LockFailure(
        isPassing: true, "the connection to \(endpoint) broke (\(failure.message))")
    }
  }
}
