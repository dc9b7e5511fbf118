internal import SluiceLease
internal import SluiceShared

/// An answer that is an error, and what to do about it.
struct DynamoRefusal {
  private let status: Int
  /// Behind its namespace; empty where the answer has none.
  let type: String
  private let words: String

  private static let expiries: Set = ["ExpiredTokenException", "ExpiredToken"]
  private static let strangers: Set = [
    "UnrecognizedClientException", "InvalidClientTokenId", "InvalidToken",
  ]

  init(_ response: HTTPResponse, _ json: JSON?) {
    status = response.status
    let type = json?["__type"]?.string ?? json?["code"]?.string ?? ""
    self.type = String(type.split(separator: "#").last ?? "")
    let message = json?["message"]?.string ?? json?["Message"]?.string
    // Its first line, and not much of that: it may quote what it was sent.
    let text = message ?? response.body
    words = String(text.prefix { !$0.isNewline }.prefix(200))
  }

  /// New ones may help.
  var isOfCredentials: Bool {
    DynamoRefusal.expiries.contains(type) || DynamoRefusal.strangers.contains(type)
  }

  /// It may be allowed, or known, where each is asked for by itself.
  var isOfBatches: Bool {
    [
      "AccessDeniedException", "AccessDenied", "UnknownOperationException", "UnknownOperation",
      "ValidationException",
    ].contains(type)
  }

  func explained(
    table: String, region: String, endpoint: String, key: String, operation: String
  ) -> LockFailure {
    let said = "\(type.isEmpty ? "status \(status)" : type)\(words.isEmpty ? "" : ": \(words)")"
    func fixed(_ advice: String) -> LockFailure {
      LockFailure(isPassing: false, "\(advice) (\(said))")
    }
    func passing(_ advice: String) -> LockFailure {
      LockFailure(isPassing: true, "\(advice) (\(said))")
    }
    switch type {
    case "ResourceNotFoundException":
      return fixed(
        "the table \(table) is not in \(region) at \(endpoint); make it, with the hash key pk (S), or correct AWS_REGION or the store's lease (`sluice config`)"
      )
    case "AccessDeniedException", "AccessDenied":
      return fixed(
        "\(operation) on the table \(table) in \(region) is denied; allow dynamodb:GetItem, PutItem and UpdateItem with the leading key \(key) to this role"
      )
    case _ where DynamoRefusal.expiries.contains(type):
      return passing(
        "the AWS credentials have expired; they are asked for anew, but variables stay as they are: start this process with new ones"
      )
    case _ where DynamoRefusal.strangers.contains(type):
      return fixed(
        "AWS does not know these credentials in \(region); correct the keys, or AWS_REGION, or enable the region"
      )
    case "InvalidSignatureException", "SignatureDoesNotMatch", "IncompleteSignatureException",
      "MissingAuthenticationTokenException", "MissingAuthenticationToken", "RequestExpired":
      let isClock = words.contains("expired") || words.contains("not yet current")
      return isClock
        ? passing("the signature's time is not believed; set this host's clock")
        : fixed(
          "the signature is refused; correct AWS_SECRET_ACCESS_KEY, or AWS_REGION, which must be the endpoint's"
        )
    case "ValidationException":
      return fixed(
        "the table \(table) is none for locks; it needs the hash key pk (S) and no sort key")
    case "ProvisionedThroughputExceededException", "ThrottlingException", "Throttling",
      "RequestLimitExceeded", "ThrottledException":
      return passing(
        "the table \(table) is throttled; make it on demand, or give it more capacity")
    case _ where status >= 500: return passing("\(endpoint) has an error of its own; try again")
    case _ where status == 200: return passing("\(endpoint) answers with what cannot be read")
    case _ where status == 403 || status == 401:
      return fixed(
        "\(endpoint) refuses the credentials; correct the keys, or AWS_REGION, and the role's rights"
      )
    default:
      return passing("\(endpoint) answers with what DynamoDB does not say; is it DynamoDB?")
    }
  }
}
