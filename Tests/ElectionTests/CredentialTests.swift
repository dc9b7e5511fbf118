import Foundation
import Glibc
import SluiceLease
import SluiceShared
import Testing

@testable import SluiceDynamoDB

/// Real endpoints that give credentials, and a table that looks at them.
@Suite("Credentials come from where AWS's own tools find them", .serialized)
struct CredentialTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  /// Reads the item of a store, with credentials from where `variables` say.
  private func read(_ table: String, _ variables: [String: String]) throws -> Result<
    LockAnswer, LockFailure
  > {
    var all = peers.variables(.ministack)
    all["AWS_ACCESS_KEY_ID"] = nil
    all["AWS_SECRET_ACCESS_KEY"] = nil
    all.merge(variables) { $1 }
    let service = try DynamoService(
      try Settings(all), client: CurlClient(certificates: nil),
      metadata: CurlClient(certificates: nil), .posix())
    return DynamoTable(table: table, store: StoreID(high: 1, low: 1), service, SystemClock())
      .perform(.read, atMost: .seconds(5))
  }

  private var document: [String: String] {
    let user = peers.user.withLock { $0 }
    return [
      "AccessKeyId": user.keyID, "SecretAccessKey": user.secret,
      "Expiration": "2096-01-01T00:00:00Z",
    ]
  }

  @Test("A profile's keys, and its credential_process")
  func profiles() async throws {
    try await onThread {
      let table = try peers.table(on: .ministack)
      let user = peers.user.withLock { $0 }
      let config = "\(Place.scratch)/config-\(UUID().uuidString)"
      let json = String(decoding: try JSONEncoder().encode(document), as: UTF8.self)
      try """
      [profile keys]
      aws_access_key_id = \(user.keyID)
      aws_secret_access_key = \(user.secret)
      [profile process]
      credential_process = printf '%s' '\(json)'
      [profile failing]
      credential_process = echo no >&2; exit 3
      """.write(toFile: config, atomically: true, encoding: .utf8)
      for profile in ["keys", "process"] {
        _ = try read(table, ["AWS_PROFILE": profile, "AWS_CONFIG_FILE": config]).get()
      }
      let failure = #expect(throws: LockFailure.self) {
        try read(table, ["AWS_PROFILE": "failing", "AWS_CONFIG_FILE": config]).get()
      }
      #expect(failure?.message.contains("failed with status 3") == true)
    }
  }

  @Test("Temporary ones, with their token")
  func temporary() async throws {
    try await onThread {
      let table = try peers.table(on: .ministack)
      let session = try peers.boto(.ministack, "get_session_token", [:], service: "sts")
      let given = try #require(session["Credentials"])
      let variables = [
        "AWS_ACCESS_KEY_ID": try #require(given["AccessKeyId"]?.string),
        "AWS_SECRET_ACCESS_KEY": try #require(given["SecretAccessKey"]?.string),
        "AWS_SESSION_TOKEN": try #require(given["SessionToken"]?.string),
      ]
      _ = try read(table, variables).get()
      for (name, words) in [
        ("AWS_SESSION_TOKEN", "does not know these credentials"),
        ("AWS_SECRET_ACCESS_KEY", "the signature is refused"),
      ] {
        let failure = #expect(throws: LockFailure.self) {
          try read(table, variables.merging([name: "another"]) { $1 }).get()
        }
        #expect(failure?.message.contains(words) == true, "\(failure?.message ?? "")")
      }
    }
  }

  @Test("A container's endpoint, with a token that changes; and the instance's metadata")
  func endpoints() async throws {
    try await onThread {
      let table = try peers.table(on: .ministack)
      let port = try #require(try peers.ask("metadata")["port"]?.integer)
      let token = "\(Place.scratch)/token-\(UUID().uuidString)"
      let variables = [
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:\(port)/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": token,
      ]
      // One process, whose file changes.
      var all = variables
      all["AWS_REGION"] = Peers.region
      let source = try CredentialSource(try Settings(all))
      for word in ["one", "two"] {
        try peers.ask("grant", ["port": Int(port), "token": word, "credentials": document])
        try "\(word)\n".write(toFile: token, atomically: true, encoding: .utf8)
        #expect(
          try source.fetch(CurlClient(certificates: nil)).get().keyID == document["AccessKeyId"])
        _ = try read(table, variables).get()
      }
      try "wrong".write(toFile: token, atomically: true, encoding: .utf8)
      let refused = #expect(throws: LockFailure.self) { try read(table, variables).get() }
      #expect(refused?.isPassing == true && refused?.message.contains("status 400") == true)
      try FileManager.default.removeItem(atPath: token)
      let missing = #expect(throws: LockFailure.self) { try read(table, variables).get() }
      #expect(missing?.message.contains("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") == true)
      // The second version of the instance's metadata service, as ministack has it.
      let endpoint = "http://127.0.0.1:\(peers.port(.ministack))"
      let instance = CredentialSource.instance(endpoint: endpoint)
        .fetch(CurlClient(certificates: nil))
      #expect(try !instance.get().keyID.isEmpty && instance.get().expires_ms != nil)
      let nobody = #expect(throws: LockFailure.self) {
        try read(table, ["AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"]).get()
      }
      #expect(nobody?.message.contains("no AWS credentials") == true)
    }
  }
}
