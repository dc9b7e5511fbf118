import Foundation
import Glibc
import SluiceDynamoDB
import SluiceShared
import SluiceTeardown
import Testing

@Suite(
  "The lease in a table goes over TLS, and does without a name server for a while", .serialized)
struct TransportTests {
  let peers: Peers
  init() throws { peers = try Peers.shared.get() }

  private func tlsProxy(_ directory: String, _ certificate: String) throws -> Int {
    let answer = try peers.ask(
      "tls_proxy",
      ["port": peers.port(.ministack), "certificate": "\(directory)/\(certificate).pem"])
    return Int(try #require(answer["port"]?.integer))
  }

  @Test("Over TLS, faults included, where the certificate is believed; else it says what to do")
  func tls() async throws {
    try await onThread {
      let directory = "\(Place.scratch)/tls-\(UUID().uuidString.prefix(8))"
      try #require(mkdir(directory, 0o700) == 0)
      try peers.ask("authority", ["directory": directory])
      let store = try ElectedStore(peers, .ministack)
      let port = try tlsProxy(directory, "here")
      func variables(_ port: Int, _ bundle: String?) -> [String: String] {
        var variables = ["AWS_ENDPOINT_URL_DYNAMODB": "https://127.0.0.1:\(port)"]
        variables["AWS_CA_BUNDLE"] = bundle
        return variables
      }
      let authority = "\(directory)/authority.pem"
      for (port, bundle) in [(port, nil), (try tlsProxy(directory, "elsewhere"), authority)] {
        let applier = try store.startApplier("first", ttl: 2, variables(port, bundle))
        #expect(try applier.end() == 74)
        #expect(
          applier.errorsSoFar.contains("is not believed")
            && applier.errorsSoFar.contains("AWS_CA_BUNDLE"), "\(applier.errorsSoFar)")
      }
      let applier = try store.startApplier("first", ttl: 10, variables(port, authority))
      try store.waitForLeader("first")
      try peers.ask(
        "faults",
        [
          "port": port,
          "faults": [["kind": "drop", "operation": "UpdateItem", "times": 2] as [String: Any]],
        ])
      // Some renewals, in a fifth of the ttl each.
      for n in 1...40 {
        _ = try store.apply("INSERT INTO t VALUES (\(n))", atMost: .seconds(30))
        usleep(200_000)
      }
      #expect(try store.holder() == "first")
      #expect(!applier.errorsSoFar.contains("no longer leading"))
      applier.signal(SIGTERM)
      #expect(try applier.end() == 0)
      #expect(try store.item()?["state"]?["S"]?.string == "released")
    }
  }

  @Test("libcurl is in no process but those that a table elects")
  func unopened() async throws {
    try await onThread {
      func maps(_ process: Process) throws -> Bool {
        // Its size is said to be 0.
        let maps = try #require(Settings.file("/proc/\(process.id)/maps"))
        #expect(maps.contains("libc.so"))
        return maps.contains("libcurl")
      }
      let directory = "\(Place.scratch)/plain-\(UUID().uuidString.prefix(8))"
      try #require(mkdir(directory, 0o700) == 0)
      let path = "\(directory)/store"
      defer { StoreTeardown(at: #_sourceLocation).verify(path) }
      #expect(try Process(Place.sluice, ["init", path]).end() == 0)
      for arguments in [["apply", path], ["apply", "--all", directory]] {
        let plain = try Process(Place.sluice, arguments + ["--log-level", "info"])
        try wait("it leads") { plain.errorsSoFar.contains("leading") }
        #expect(try !maps(plain), "\(arguments)")
        plain.signal(SIGTERM)
        #expect(try plain.end() == 0)
      }
      let store = try ElectedStore(peers, .ministack)
      let elected = try store.startApplier("first", ttl: 10)
      try store.waitForLeader("first")
      #expect(try maps(elected))
      // Who looks at a store asks no table; this one looks for two seconds.
      let status = try Process(
        Place.sluice, ["log", store.path, "--follow", "--from", "1"])
      usleep(500_000)
      #expect(try status.code == nil && !maps(status))
      status.signal(SIGKILL)
      elected.signal(SIGTERM)
      #expect(try elected.end() == 0)
    }
  }

  /// A name server that never answers keeps `getaddrinfo` for half a minute; so does this.
  private static let deaf = """
    #include <netdb.h>
    #include <unistd.h>
    int getaddrinfo(const char *a, const char *b, const struct addrinfo *c, struct addrinfo **d) {
      (void)a, (void)b, (void)c, (void)d;
      sleep(600);
      return EAI_AGAIN;
    }
    """

  @Test("With a name server that never answers the loop goes on, and a signal ends it at once")
  func deafNameServer() async throws {
    try await onThread {
      let place = "\(Place.scratch)/deaf-\(UUID().uuidString.prefix(8))"
      try Self.deaf.write(toFile: "\(place).c", atomically: true, encoding: .utf8)
      let compiler = try Process(
        "/usr/bin/gcc", ["-shared", "-fPIC", "-o", "\(place).so", "\(place).c"])
      #expect(try compiler.end() == 0, "\(compiler.errorsSoFar)")
      let store = try ElectedStore(peers, .ministack)
      let standby = try store.startApplier(
        "deaf", ttl: 3,
        [
          "AWS_ENDPOINT_URL_DYNAMODB": "http://table.example.test", "LD_PRELOAD": "\(place).so",
        ])
      try wait("its word") { standby.errorsSoFar.contains("the lock table gives no answer") }
      #expect(standby.code == nil)
      // It looks again and again while the name server keeps it waiting.
      let leader = try store.startApplier("first", ttl: 3)
      try store.waitForLeader("first")
      _ = try store.apply("INSERT INTO t VALUES (1)", atMost: .seconds(30))
      #expect(standby.code == nil)
      let started = SystemClock().elapsed()
      standby.signal(SIGTERM)
      #expect(try standby.end() == 0)
      let took = SystemClock().elapsed() - started
      #expect(took < .seconds(5 * patience), "\(took)")
      leader.signal(SIGTERM)
      #expect(try leader.end() == 0)
    }
  }
}
