internal import SluiceShared

/// What is sent: a GET, or with a body a POST, unless it says otherwise.
package struct HTTPRequest: Sendable {
  package var url: String
  package var method: String?
  package var headers: [(name: String, value: String)] = []
  package var body: String?
  /// Signs it with Signature Version 4.
  package var signing: Signing?

  package struct Signing: Sendable {
    package var credentials: Credentials
    package var region: String
    package var service: String
  }

  package init(_ url: String) { self.url = url }
}

package struct HTTPResponse: Sendable {
  package var status: Int
  package var body: String

  package init(status: Int, body: String) {
    self.status = status
    self.body = body
  }
}

/// There is no answer.
package struct HTTPFailure: Error, Sendable {
  package enum Kind: Sendable {
    /// The name of the host leads nowhere, or no name server answers.
    case noHost
    case noConnection
    case timedOut
    /// The other side's certificate is not believed, or there is nothing to believe it by.
    case certificate
    /// The connection broke in the midst of it, or it was no HTTP.
    case broken
    /// There is no libcurl that serves.
    case noLibrary
    /// Others were before it for too long.
    case notSent
  }

  package var kind: Kind
  /// libcurl's words.
  package var message: String

  package init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }
}

/// Who sends requests: libcurl, or a test.
package protocol HTTPClient: Sendable {
  func send(_ request: HTTPRequest, atMost limit: Duration) -> Result<HTTPResponse, HTTPFailure>
  /// As `send`, beside the caller: `done` is called once, by another thread, which drives others' requests too. So is
  /// `make`, when it is sent; one that waited for too long is not.
  func start(
    atMost limit: Duration, make: @escaping @Sendable () -> HTTPRequest,
    done: @escaping @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void)
}

extension HTTPClient {
  package func start(
    atMost limit: Duration, make: @escaping @Sendable () -> HTTPRequest,
    done: @escaping @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void
  ) {
    startThread { done(send(make(), atMost: limit)) }
  }
}
