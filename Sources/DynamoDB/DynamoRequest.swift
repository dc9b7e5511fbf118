internal import SluiceLease
internal import SluiceShared

/// Requests and items as DynamoDB writes them (JSON 1.0).
///
/// The item: `pk` (S, the key), `lock_id` (S), `expires_at` (N, Unix seconds), as in a table made for a
/// lock around each write; and `holder` (S), `term` (N), `lease_ms` (N), `state` (S).
struct DynamoRequest {
  let operation: String
  let body: String

  init(_ request: LockRequest, table: String, key: String) {
    let table = "\"TableName\": \(quoted(table))"
    let key = "\"pk\": {\"S\": \(quoted(key))}"
    switch request {
    case .read:
      operation = "GetItem"
      body = "{\(table), \"Key\": {\(key)}, \"ConsistentRead\": true}"
    case .put(let item, let condition):
      let (expression, names, values) = DynamoRequest.expression(condition)
      operation = "PutItem"
      body = """
        {\(table), "Item": {\(key), "lock_id": {"S": \(quoted(item.lockID ?? ""))}, \
        "expires_at": {"N": "\(item.expires_s)"}, "holder": {"S": \(quoted(item.holder))}, \
        "term": {"N": "\(item.term)"}, "lease_ms": {"N": "\(item.lease.wholeMilliseconds)"}, \
        "state": {"S": "\(item.state.rawValue)"}}\(DynamoRequest.clauses(expression, names, values))}
        """
    case .update(let item, let condition):
      var (expression, names, values) = DynamoRequest.expression(condition)
      names += [("#lock", "lock_id"), ("#expires", "expires_at"), ("#state", "state")]
      values += [
        (":lock", "{\"S\": \(quoted(item.lockID ?? ""))}"),
        (":expires", "{\"N\": \"\(item.expires_s)\"}"),
        (":state", "{\"S\": \"\(item.state.rawValue)\"}"),
      ]
      operation = "UpdateItem"
      body = """
        {\(table), "Key": {\(key)}, "UpdateExpression": \
        "SET #lock = :lock, #expires = :expires, #state = :state"\
        \(DynamoRequest.clauses(expression, names, values))}
        """
    }
  }

  /// Looks at several items.
  init(looks keys: [String], table: String) {
    // A key that is named twice would be refused.
    let keys = Set(keys).map { "{\"pk\": {\"S\": \(quoted($0))}}" }.joined(separator: ", ")
    operation = "BatchGetItem"
    body = "{\"RequestItems\": {\(quoted(table)): {\"ConsistentRead\": true, \"Keys\": [\(keys)]}}}"
  }

  /// A condition with the names and values that it uses. Names have aliases since some are reserved words.
  private static func expression(_ condition: LockCondition) -> (
    String, names: [(String, String)], values: [(String, String)]
  ) {
    switch condition {
    case .absent: return ("attribute_not_exists(#pk)", [("#pk", "pk")], [])
    case .any: return ("attribute_exists(#pk)", [("#pk", "pk")], [])
    case .unchanged(let lockID?):
      return (
        "#lock = :before", [("#lock", "lock_id")], [(":before", "{\"S\": \(quoted(lockID))}")]
      )
    case .unchanged(nil):
      return (
        // Missing, or no text.
        "attribute_exists(#pk) AND NOT attribute_type(#lock, :type)",
        [("#pk", "pk"), ("#lock", "lock_id")], [(":type", "{\"S\": \"S\"}")]
      )
    case .held(let holder, let term):
      return (
        "#holder = :holder AND #term = :term AND #state = :active",
        [("#holder", "holder"), ("#term", "term"), ("#state", "state")],
        [
          (":holder", "{\"S\": \(quoted(holder))}"), (":term", "{\"N\": \"\(term)\"}"),
          (":active", "{\"S\": \"active\"}"),
        ]
      )
    }
  }

  private static func clauses(
    _ expression: String, _ names: [(String, String)], _ values: [(String, String)]
  ) -> String {
    var seen: Set<String> = []
    let names = names.filter { seen.insert($0.0).inserted }
      .map { "\"\($0.0)\": \"\($0.1)\"" }.joined(separator: ", ")
    let values = values.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ")
    return """
      , "ConditionExpression": "\(expression)", "ExpressionAttributeNames": {\(names)}\
      \(values.isEmpty ? "" : ", \"ExpressionAttributeValues\": {\(values)}"), \
      "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
      """
  }
}

private func quoted(_ text: String) -> String {
  var result = ""
  JSON.append(quoting: text, to: &result)
  return result
}

extension LockItem {
  /// An item as it came; nil where it is none. What somebody else wrote may lack anything but the key.
  init?(_ json: JSON) {
    guard case .object = json else { return nil }
    func number(_ name: String) -> Int64? { json[name]?["N"]?.string.flatMap(LockItem.whole) }
    self.init(
      lockID: json["lock_id"]?["S"]?.string, holder: json["holder"]?["S"]?.string ?? "",
      term: number("term") ?? 0, lease: .milliseconds(max(0, number("lease_ms") ?? 0)),
      state: json["state"]?["S"]?.string.flatMap(State.init) ?? .active,
      expires_s: number("expires_at") ?? 0)
  }

  /// DynamoDB's numbers have up to 38 digits, and others write seconds with a fraction.
  private static func whole(_ text: String) -> Int64? {
    Int64(text) ?? Double(text).flatMap { abs($0) < 1e18 ? Int64($0) : nil }
  }
}
