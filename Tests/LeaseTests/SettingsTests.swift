import SluiceFakes
import SluiceShared
import Testing

@testable import SluiceDynamoDB

@Suite("Region, endpoint and credentials are found where AWS's own tools find them")
struct SettingsTests {
  private static let files = [
    "/home/me/.aws/config": """
    # as written by hand
    [default]
    region = eu-north-1
    [profile work]
    region=eu-central-1
      endpoint_url = https://dynamodb.example/
    aws_access_key_id = old
    [profile tool]
    region = eu-central-1
    credential_process = /bin/tool --for me
    [profile role]
    region = eu-central-1
    role_arn = arn:aws:iam::1:role/x
    """,
    "/home/me/.aws/credentials": """
    [work]
    aws_access_key_id = AKIA
    aws_secret_access_key = a/b+c=
    """,
  ]

  private func settings(_ variables: [String: String]) throws(StoreError) -> Settings {
    try Settings(["HOME": "/home/me"].merging(variables) { $1 }) { SettingsTests.files[$0] }
  }

  @Test func regions() throws {
    #expect(try settings([:]).region == "eu-north-1")
    #expect(try settings([:]).endpoint == "https://dynamodb.eu-north-1.amazonaws.com")
    #expect(try settings(["AWS_DEFAULT_REGION": "us-east-1"]).region == "us-east-1")
    let both = ["AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "cn-north-1"]
    #expect(try settings(both).endpoint == "https://dynamodb.cn-north-1.amazonaws.com.cn")
    #expect(try settings(["AWS_PROFILE": "work"]).region == "eu-central-1")
    for (variables, words) in [
      (["HOME": "/"], "no AWS region"), (["AWS_REGION": "a/b"], "is no AWS region"),
      (["AWS_PROFILE": "nobody"], "the profile nobody"),
      (["AWS_ENDPOINT_URL": "dynamodb"], "is no URL"),
    ] {
      let error = #expect(throws: StoreError.self) { try settings(variables) }
      #expect(error?.code == .invalid && error?.message.contains(words) == true)
    }
  }

  @Test func endpoints() throws {
    let all = [
      "AWS_PROFILE": "work", "AWS_ENDPOINT_URL": "http://a:1/",
      "AWS_ENDPOINT_URL_DYNAMODB": "http://b:2",
    ]
    #expect(try settings(all).endpoint == "http://b:2")
    var some = all
    some["AWS_ENDPOINT_URL_DYNAMODB"] = ""
    #expect(try settings(some).endpoint == "http://a:1")
    some["AWS_ENDPOINT_URL"] = nil
    #expect(try settings(some).endpoint == "https://dynamodb.example")
    some["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
    #expect(try settings(some).endpoint == "https://dynamodb.eu-central-1.amazonaws.com")
    #expect(try settings(["AWS_CA_BUNDLE": "/x.pem"]).certificates == "/x.pem")
  }

  @Test func sources() throws {
    func source(_ variables: [String: String]) throws(StoreError) -> CredentialSource {
      try CredentialSource(try settings(variables))
    }
    let keys = [
      "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
    ]
    guard case .environment(let found) = try source(keys) else {
      Issue.record("not from the environment")
      return
    }
    #expect(found == Credentials(keyID: "AKIA", secret: "s", token: "t"))
    guard case .profile("work", let read) = try source(["AWS_PROFILE": "work"]) else {
      Issue.record("not from the profile")
      return
    }
    #expect(read() == Credentials(keyID: "AKIA", secret: "a/b+c="))
    guard case .process("tool", "/bin/tool --for me") = try source(["AWS_PROFILE": "tool"]) else {
      Issue.record("not from the process")
      return
    }
    let relative = ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"]
    guard case .container("http://169.254.170.2/v2/x", .none) = try source(relative) else {
      Issue.record("not from the container")
      return
    }
    let pod = [
      "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
      "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token", "AWS_WEB_IDENTITY_TOKEN_FILE": "/other",
    ]
    guard case .container(_, .file("/token")) = try source(pod) else {
      Issue.record("not from the pod's identity")
      return
    }
    guard case .instance("http://169.254.169.254") = try source([:]) else {
      Issue.record("not from the instance")
      return
    }
    for (variables, words) in [
      (["AWS_WEB_IDENTITY_TOKEN_FILE": "/x", "AWS_ROLE_ARN": "y"], "EKS Pod Identity"),
      (["AWS_PROFILE": "role"], "credential_process"),
      (["AWS_ACCESS_KEY_ID": "x"], "only one of"),
      (["AWS_EC2_METADATA_DISABLED": "true"], "no AWS credentials"),
      (["AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://10.0.0.1/x"], "only https"),
      (["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "@evil.example/x"], "does not begin with /"),
    ] {
      let error = #expect(throws: StoreError.self) { try source(variables) }
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
  }

  @Test(
    "A token goes in the clear only to hosts that AWS names",
    arguments: [
      ("https://anywhere.example/x", true), ("http://localhost/x", true),
      ("http://LOCALHOST:80/x", true), ("http://127.0.0.1:51679/creds", true),
      ("http://127.8.9.10", true), ("http://[::1]:1/x", true), ("http://169.254.170.2/x", true),
      ("http://169.254.170.23/v1/credentials", true), ("http://[fd00:ec2::23]/v1", true),
      ("http://169.254.169.254/x", false), ("http://127.0.0.1.evil.example/x", false),
      ("http://localhost@evil.example/x", false), ("http://127.0.0.1@evil.example", false),
      ("http://evil.example#127.0.0.1", false), ("http://[::1].evil.example/x", false),
      ("http://127.0.0/x", false), ("http://127.0.0.256/x", false), ("http://127.0.0.1:x/", false),
      ("ftp://127.0.0.1/x", false), ("http://[fd00:ec2::24]/x", false),
      ("http://127.0.0.1\\@evil.example/", false), ("//127.0.0.1", false), ("", false),
    ])
  func hosts(url: String, isAllowed: Bool) { #expect(MetadataHost.isAllowed(url) == isAllowed) }
}

@Suite("Credentials are renewed before they expire, and used while they last")
struct CredentialStoreTests {
  /// Answers with credentials that last as long as a test says.
  private final class Client: HTTPClient, Sendable {
    let state = Monitor((calls: 0, expires_ms: Int64(0), answers: true, tokens: [String]()))

    func send(_ request: HTTPRequest, atMost limit: Duration) -> Result<HTTPResponse, HTTPFailure> {
      state.withLock { state in
        state.calls += 1
        state.tokens += request.headers.map(\.value)
        guard state.answers else { return .failure(HTTPFailure(.timedOut, "too late")) }
        let body = """
          {"AccessKeyId": "key \(state.calls)", "SecretAccessKey": "s", "Token": "t", \
          "Expiration": "\(timestamp(state.expires_ms))"}
          """
        return .success(HTTPResponse(status: 200, body: body))
      }
    }
  }

  private let client = Client()
  private let clock = ManualClock()
  private let executor = Later()

  /// Runs what is detached when a test says so.
  private final class Later: Executor, Sendable {
    let work = Monitor<[@Sendable () -> Void]>([])
    /// At once.
    let isInline = Monitor(true)
    func start(_ work: @escaping @Sendable () -> Void) -> any StartedWork {
      InlineExecutor().start(work)
    }
    func detach(_ body: @escaping @Sendable () -> Void) {
      if isInline.withLock({ $0 }) { return body() }
      work.withLock { $0.append(body) }
    }
    func concurrently(_ count: Int, _ body: @Sendable (Int) -> Void) {}
    func run() {
      let bodies = work.withLock { work in
        defer { work = [] }
        return work
      }
      for body in bodies { body() }
    }
  }

  private func store() -> CredentialStore {
    CredentialStore(
      .container(url: "http://169.254.170.2/x", .none), client: client, clock: clock,
      executor: executor)
  }

  private func lasts(_ duration: Duration) {
    let until_ms = clock.wallTime_ms() + duration.wholeMilliseconds
    client.state.withLock { $0.expires_ms = until_ms }
  }

  @Test func fifteenMinutesBefore() throws {
    let store = store()
    lasts(.seconds(3600))
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
    clock.sleep(.seconds(44 * 60))
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
    executor.run()
    #expect(client.state.withLock { $0.calls } == 1)
    clock.sleep(.seconds(2 * 60))
    executor.isInline.withLock { $0 = false }
    // Nobody waits for the new ones.
    lasts(.seconds(3600))
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
    executor.run()
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 2")
    #expect(client.state.withLock { $0.calls } == 2)
  }

  @Test func theOldOnesWhileTheyLast() throws {
    let store = store()
    lasts(.seconds(3600))
    _ = try store.current(atMost: .seconds(1)).get()
    client.state.withLock { $0.answers = false }
    clock.sleep(.seconds(46 * 60))
    for _ in 0..<13 {
      #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
      executor.run()
      clock.sleep(.seconds(60))
    }
    // It is asked for again now and then, and not with each request.
    #expect((3...14).contains(client.state.withLock { $0.calls }))
    clock.sleep(.seconds(60))
    let failure = #expect(throws: CredentialFailure.self) {
      try store.current(atMost: .seconds(1)).get()
    }
    #expect(failure?.isPassing == true)
    client.state.withLock { $0.answers = true }
    lasts(.seconds(3600))
    // Not at once again.
    #expect(throws: CredentialFailure.self) { try store.current(atMost: .seconds(1)).get() }
    clock.sleep(.seconds(5))
    _ = try store.current(atMost: .seconds(1)).get()
    // Expired when they come.
    client.state.withLock { $0.expires_ms = 1 }
    let late = self.store().current(atMost: .seconds(1))
    let expired = #expect(throws: CredentialFailure.self) { try late.get() }
    #expect(expired?.message.contains("expired at 1970-01-01") == true)
  }

  /// The server says that they are no good.
  @Test func refused() throws {
    let store = store()
    lasts(.seconds(3600))
    let first = try store.current(atMost: .seconds(1)).get()
    clock.sleep(.seconds(5))
    store.refused(first)
    // Its words are told, not that there are none.
    #expect(try store.current(atMost: .seconds(1)).get() == first)
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 2")
    store.refused(first)
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 2")
    #expect(client.state.withLock { $0.calls } == 2)
  }

  /// Older ones than those that there are, or expired ones, as from a cache.
  @Test func onlyBetterOnes() throws {
    let store = store()
    lasts(.seconds(14 * 60))
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
    for older in [Duration.seconds(10 * 60), .seconds(-60)] {
      clock.sleep(.seconds(31))
      lasts(older)
      for _ in 0..<2 { #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1") }
    }
    #expect(client.state.withLock { $0.calls } == 3)
  }

  /// A source that does not answer costs a caller no more than its own time.
  @Test func aSourceThatHangs() throws {
    executor.isInline.withLock { $0 = false }
    let store = store()
    let started = SystemClock().elapsed()
    let failure = #expect(throws: CredentialFailure.self) {
      try store.current(atMost: .milliseconds(50)).get()
    }
    #expect(failure?.isPassing == true && failure?.message.contains("not there yet") == true)
    #expect(SystemClock().elapsed() - started < .seconds(20))
    lasts(.seconds(3600))
    executor.run()
    #expect(try store.current(atMost: .seconds(1)).get().keyID == "key 1")
  }

  @Test(
    "What is no credentials is told",
    arguments: [
      "", "{}", "[]", #"{"AccessKeyId": "", "SecretAccessKey": "x"}"#,
      #"{"AccessKeyId": "x", "SecretAccessKey": "y", "Expiration": "soon"}"#,
    ])
  func useless(_ text: String) {
    #expect(throws: CredentialFailure.self) {
      try CredentialSource.decode(text, origin: "of a test").get()
    }
  }

  @Test func aProcessThatDoesNotEnd() {
    let started = SystemClock().elapsed()
    let failure = #expect(throws: CredentialFailure.self) {
      try CredentialProcess.run("sleep 60 & sleep 60", of: "p", limit_ms: 100).get()
    }
    #expect(failure?.message.contains("did not end") == true)
    #expect(SystemClock().elapsed() - started < .seconds(30))
    #expect(throws: CredentialFailure.self) {
      try CredentialProcess.run("yes", of: "p", limit_ms: 20_000).get()
    }
    // It closed its output and goes on.
    let closed = #expect(throws: CredentialFailure.self) {
      try CredentialProcess.run("exec >&-; sleep 60", of: "p", limit_ms: 100).get()
    }
    #expect(closed?.message.contains("did not end") == true)
    #expect(SystemClock().elapsed() - started < .seconds(30))
  }
}
