import Foundation
import Glibc
import SluiceDynamoDB
import SluiceLease
import SluiceShared
import Testing

/// Which implementation of DynamoDB.
enum Peer: String, CaseIterable, CustomTestStringConvertible {
  /// Checks signatures, tokens and what a user may do; conditions are atomic.
  case ministack
  /// Behind one thread, so that they are here too.
  case moto

  var testDescription: String { rawValue }
}

/// The peers and the helper, started once for all tests; they end with this process.
final class Peers: Sendable {
  static let shared = Result { try Peers() }

  private let processes: [Peer: Process]
  private let ports: [Peer: Int]
  private let helper: Process
  /// The number of the last command.
  private let last = Monitor(0)
  static let region = "eu-central-1"
  /// An IAM user of ministack's that may only use locks' items, so that its signature is checked.
  let user: Monitor<(keyID: String, secret: String)> = Monitor(("test", "test"))

  private init() throws {
    try #require(
      access(Place.python, X_OK) == 0,
      "\(Place.python) is missing: `make test` makes it; it needs python3-venv and a package index")
    var processes: [Peer: Process] = [:]
    for peer in Peer.allCases {
      processes[peer] = try Process(Place.python, [Place.peers, peer.rawValue])
    }
    helper = try Process(Place.python, [Place.peers, "helper"])
    var ports: [Peer: Int] = [:]
    for (peer, process) in processes {
      try wait("\(peer)'s port: \(process.errorsSoFar)", atMost: 60) {
        let line = process.outputSoFar.split(separator: "\n").first { $0.hasPrefix("{\"port") }
        ports[peer] = line.flatMap { try? JSON.parse(String($0)) }?["port"]?.integer.map { Int($0) }
        try #require(process.code == nil, "\(peer) ended: \(process.errorsSoFar)")
        return ports[peer] != nil
      }
    }
    self.processes = processes
    self.ports = ports
    try makeUser()
  }

  func port(_ peer: Peer) -> Int { ports[peer] ?? 0 }

  // MARK: The helper

  /// Sends a command; returns the answer.
  @discardableResult
  func ask(_ what: String, _ arguments: [String: Any] = [:]) throws -> JSON {
    let number = last.withLock { last in
      last += 1
      return last
    }
    var command = arguments
    command["do"] = what
    command["number"] = number
    let line = try JSONSerialization.data(withJSONObject: command)
    helper.write(String(decoding: line, as: UTF8.self) + "\n")
    var answer: JSON?
    try wait("the helper's answer to \(what): \(helper.errorsSoFar)", atMost: 60) {
      let starts = [",", "}"].map { "{\"number\": \(number)\($0)" }
      // A line that has no end yet is on its way.
      let lines = helper.outputSoFar.split(separator: "\n", omittingEmptySubsequences: false)
      let text = lines.dropLast().first { line in
        starts.contains { line.hasPrefix($0) }
      }
      answer = try text.map { try JSON.parse(String($0)) }
      try #require(helper.code == nil, "the helper ended: \(helper.errorsSoFar)")
      return answer != nil
    }
    let found = try #require(answer)
    try #require(found["failure"] == nil, "\(what): \(found["failure"]?.string ?? "")")
    return found
  }

  /// What boto3 is answered; nil: with the error `code`.
  @discardableResult
  func boto(
    _ peer: Peer, _ operation: String, _ arguments: [String: Any], service: String = "dynamodb"
  ) throws -> JSON {
    let answer = try ask(
      "call",
      [
        "port": port(peer), "service": service, "operation": operation, "arguments": arguments,
      ])
    try #require(answer["error"] == nil, "\(operation): \(answer["error"]?.string ?? "")")
    return try #require(answer["answer"])
  }

  // MARK: What there is

  /// A table as `django_sqlite_efs` and its like have it: a hash key `pk`, and items with `lock_id` and
  /// `expires_at`, one of which is there.
  func table(on peer: Peer) throws -> String {
    let name = "locks-\(UUID().uuidString.prefix(8))"
    try boto(
      peer, "create_table",
      [
        "TableName": name, "KeySchema": [["AttributeName": "pk", "KeyType": "HASH"]],
        "AttributeDefinitions": [["AttributeName": "pk", "AttributeType": "S"]],
        "BillingMode": "PAY_PER_REQUEST",
      ])
    try boto(
      peer, "put_item",
      [
        "TableName": name,
        "Item": [
          "pk": ["S": "database#/mnt/efs/db.sqlite3"], "lock_id": ["S": "0b4f"],
          "expires_at": ["N": "1795885462.25"],
        ],
      ])
    return name
  }

  func item(_ peer: Peer, _ table: String, _ store: StoreID) throws -> JSON? {
    try boto(
      peer, "get_item",
      ["TableName": table, "Key": ["pk": ["S": DynamoTable.key(store)]], "ConsistentRead": true]
    )["Item"]
  }

  /// Changes attributes of the item, whoever holds it.
  func tamper(_ peer: Peer, _ table: String, _ store: StoreID, _ changes: [String: Any]) throws {
    for (name, value) in changes {
      try boto(
        peer, "update_item",
        [
          "TableName": table, "Key": ["pk": ["S": DynamoTable.key(store)]],
          "UpdateExpression": "SET #name = :value", "ExpressionAttributeNames": ["#name": name],
          "ExpressionAttributeValues": [":value": value],
        ])
    }
  }

  private func makeUser() throws {
    let policy = """
      {"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Action": ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:BatchGetItem"],
        "Resource": "arn:aws:dynamodb:*:*:table/locks-*"}]}
      """
    try boto(.ministack, "create_user", ["UserName": "applier"], service: "iam")
    try boto(
      .ministack, "put_user_policy",
      ["UserName": "applier", "PolicyName": "lease", "PolicyDocument": policy], service: "iam")
    let key = try boto(.ministack, "create_access_key", ["UserName": "applier"], service: "iam")
    let made = (
      keyID: try #require(key["AccessKey"]?["AccessKeyId"]?.string),
      secret: try #require(key["AccessKey"]?["SecretAccessKey"]?.string)
    )
    user.withLock { $0 = made }
  }

  // MARK: Settings

  /// The environment of a process that uses the peer, or what listens on `port` in its place.
  func variables(_ peer: Peer, through port: Int? = nil) -> [String: String] {
    let user = user.withLock { $0 }
    return [
      "AWS_REGION": Peers.region, "AWS_ACCESS_KEY_ID": user.keyID,
      "AWS_SECRET_ACCESS_KEY": user.secret,
      "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:\(port ?? self.port(peer))",
    ]
  }
}

/// A proxy between a process and its peer, which counts what arrives and does to it what it is told.
struct FaultProxy {
  let port: Int
  private let peers: Peers

  init(_ peers: Peers, to peer: Peer) throws {
    self.peers = peers
    port = Int(
      try #require(try peers.ask("proxy", ["port": peers.port(peer)])["port"]?.integer))
  }

  /// One that listens nowhere else: `times` times, negative for ever.
  func inject(
    _ kind: String, _ operation: String, times: Int = 1, seconds: Double = 0, status: Int = 500,
    body: String = ""
  ) throws {
    try peers.ask(
      "faults",
      [
        "port": port,
        "faults": [
          [
            "kind": kind, "operation": operation, "times": times, "seconds": seconds,
            "status": status, "body": body,
          ] as [String: Any]
        ],
      ])
  }

  func heal() throws { try peers.ask("faults", ["port": port, "faults": [] as [String]]) }

  /// Each request that arrived: seconds on some clock, and what it was.
  func seen() throws -> [(at: Double, operation: String)] {
    guard case .array(let entries) = try peers.ask("seen", ["port": port])["seen"] else {
      return []
    }
    return entries.compactMap { entry in
      guard case .array(let pair) = entry, let at = pair.first?.string.flatMap(Double.init),
        let operation = pair.last?.string
      else { return nil }
      return (at, operation)
    }
  }
}
