import SluiceShared
import Testing

@testable import SluiceDynamoDB

@Suite("Certificates are found where the system has them, unless somebody says where")
struct CertificateTests {
  /// With these files on the host, of which all that is in `profile` is the text of the configuration.
  private func certificates(
    _ variables: [String: String] = [:], profile: String = "", on host: Set<String>
  ) throws(StoreError) -> String? {
    let all = ["HOME": "/home/me", "AWS_REGION": "eu-central-1"].merging(variables) { $1 }
    return try Settings(
      all, read: { $0 == "/home/me/.aws/config" ? profile : nil },
      isReadable: { host.contains($0) }
    ).certificates
  }

  private static let systems = [
    "Debian": "/etc/ssl/certs/ca-certificates.crt",
    "Red Hat and Amazon Linux": "/etc/pki/tls/certs/ca-bundle.crt", "Alpine": "/etc/ssl/cert.pem",
    "SUSE": "/etc/ssl/ca-bundle.pem",
  ]

  @Test("Each system's place, and of several the first that can be read")
  func systems() throws {
    #expect(Set(Settings.bundles) == Set(Self.systems.values))
    for (system, path) in Self.systems {
      #expect(try certificates(on: [path, "/etc/passwd"]) == path, "\(system)")
    }
    var left = Settings.bundles
    while !left.isEmpty {
      #expect(try certificates(on: Set(left)) == left[0])
      left.removeFirst()
    }
    // libcurl's own.
    #expect(try certificates(on: ["/etc/passwd"]) == nil)
  }

  @Test("AWS_CA_BUNDLE comes first, then the profile's ca_bundle, whatever the system has")
  func given() throws {
    let host = Set(Settings.bundles)
    let profile = "[default]\nca_bundle = /profile.pem\n"
    let variable = ["AWS_CA_BUNDLE": "/variable.pem"]
    #expect(try certificates(variable, profile: profile, on: host) == "/variable.pem")
    #expect(try certificates(profile: profile, on: host) == "/profile.pem")
    // An empty variable is none.
    #expect(try certificates(["AWS_CA_BUNDLE": ""], on: host) == Settings.bundles[0])
    // It is not looked for: that it is missing is told with the first request.
    #expect(try certificates(variable, on: []) == "/variable.pem")
  }

  @Test("A host that has such a file is found to have it")
  func here() throws {
    let settings = try Settings(["AWS_REGION": "eu-central-1"], read: { _ in nil })
    let there = Settings.bundles.first { Settings.file($0) != nil }
    #expect(settings.certificates == there)
  }
}

@Suite("A task in ECS gets its role's credentials from the agent on its host")
struct ContainerCredentialTests {
  /// Keeps what was asked, and answers as the agent does.
  private final class Agent: HTTPClient, Sendable {
    let asked = Monitor<[HTTPRequest]>([])
    let status: Int

    init(status: Int = 200) { self.status = status }

    func send(_ request: HTTPRequest, atMost limit: Duration) -> Result<HTTPResponse, HTTPFailure> {
      asked.withLock { $0.append(request) }
      let body = """
        {"RoleArn": "arn:aws:iam::1:role/applier", "AccessKeyId": "ASIA", "SecretAccessKey": "s",
         "Token": "t", "Expiration": "2026-11-30T12:00:00Z"}
        """
      return .success(HTTPResponse(status: status, body: status == 200 ? body : "{}"))
    }
  }

  private func source(_ variables: [String: String]) throws -> CredentialSource {
    let all = ["AWS_REGION": "eu-central-1"].merging(variables) { $1 }
    return try CredentialSource(try Settings(all, read: { _ in nil }))
  }

  private static let relative = [
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0b4f-11"
  ]

  @Test("The relative URI is asked of 169.254.170.2, by a GET that is not signed and has no token")
  func relative() throws {
    let agent = Agent()
    let found = try source(Self.relative).fetch(agent).get()
    #expect(
      found
        == Credentials(
          keyID: "ASIA", secret: "s", token: "t", expires_ms: 1_796_040_000_000))
    let asked = agent.asked.withLock { $0 }
    #expect(asked.map(\.url) == ["http://169.254.170.2/v2/credentials/0b4f-11"])
    let request = try #require(asked.first)
    #expect(request.method == nil && request.body == nil && request.signing == nil)
    #expect(request.headers.isEmpty)
  }

  @Test("With a token where there is one, and before the full URI")
  func token() throws {
    let agent = Agent()
    let variables = Self.relative.merging([
      "AWS_CONTAINER_AUTHORIZATION_TOKEN": "word",
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/x",
    ]) { $1 }
    _ = try source(variables).fetch(agent).get()
    let request = try #require(agent.asked.withLock { $0 }.first)
    #expect(request.url.hasPrefix("http://169.254.170.2/v2/"))
    #expect(request.headers.map(\.name) == ["Authorization"])
    #expect(request.headers.map(\.value) == ["word"])
  }

  @Test("A refusal is told with the host and without the path, and may pass")
  func refused() throws {
    let failure = #expect(throws: CredentialFailure.self) {
      try source(Self.relative).fetch(Agent(status: 404)).get()
    }
    let told = try #require(failure)
    #expect(told.isPassing && told.message.contains("status 404"))
    #expect(told.message.contains("http://169.254.170.2 "))
    #expect(!told.message.contains("0b4f-11"))
  }
}
