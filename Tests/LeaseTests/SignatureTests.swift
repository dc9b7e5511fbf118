import SluiceShared
import Testing

@testable import SluiceDynamoDB

@Suite("Requests are signed as AWS's own tools sign them")
struct SignatureTests {
  /// 2026-11-22T10:00:00Z.
  private static let time_ms: Int64 = 1_795_341_600_000

  private func authorization(
    _ url: String, secret: String, token: String? = nil, by signature: Signature = Signature(),
    body: String = "{\"TableName\": \"locks\"}", at time_ms: Int64 = Self.time_ms
  ) -> String? {
    var request = HTTPRequest(url)
    request.headers = [
      ("Content-Type", "application/x-amz-json-1.0"),
      ("X-Amz-Target", "DynamoDB_20120810.GetItem"),
    ]
    if let token { request.headers.append(("X-Amz-Security-Token", token)) }
    request.body = body
    let signing = HTTPRequest.Signing(
      credentials: Credentials(keyID: "AKID", secret: secret, token: token),
      region: "eu-central-1", service: "dynamodb")
    let headers = signature.headers(of: request, signing, at: time_ms)
    #expect(headers.contains { $0.name == "X-Amz-Date" && $0.value.hasPrefix("2026112") })
    #expect(headers.contains { $0.name == "Host" && url.contains("//\($0.value)/") })
    return headers.first { $0.name == "Authorization" }?.value
  }

  @Test("botocore 1.43 makes the same of the same")
  func vectors() {
    let scope = "Credential=AKID/20261122/eu-central-1/dynamodb/aws4_request"
    #expect(
      authorization("https://dynamodb.eu-central-1.amazonaws.com/", secret: "s3cr3t/+key")
        == "AWS4-HMAC-SHA256 \(scope), SignedHeaders=content-type;host;x-amz-date;x-amz-target, Signature=1d63e6254803f1cfc92b56b7b6f0a2e037c0936902932fe8eb6c12b1a3a112d6"
    )
    // A port, a path, a token, and a secret that is longer than a block of the hash.
    #expect(
      authorization(
        "http://127.0.0.1:8000/here/", secret: String(repeating: "x", count: 70),
        token: "tok+en==")
        == "AWS4-HMAC-SHA256 \(scope), SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, Signature=d1b694a771bfff8651dd23940e020ada2f853afee12790e867aec96479f3a43a"
    )
  }

  @Test("A key that was derived before serves the same secret on the same day, and no other")
  func derived() {
    let url = "https://dynamodb.eu-central-1.amazonaws.com/"
    let signature = Signature()
    for (secret, hours) in [("a", 0), ("a", 1), ("b", 1), ("a", 24), ("a", 0)] as [(String, Int64)]
    {
      let time_ms = Self.time_ms + hours * 3_600_000
      let kept = authorization(url, secret: secret, by: signature, at: time_ms)
      #expect(kept == authorization(url, secret: secret, at: time_ms))
    }
    #expect(authorization(url, secret: "a") != authorization(url, secret: "b"))
    #expect(authorization(url, secret: "a") != authorization(url, secret: "a", body: "{}"))
  }
}
