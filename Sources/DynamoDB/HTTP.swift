internal import CCurl
internal import Glibc
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
}

/// libcurl, which is opened with the first request, and keeps its connections.
///
/// From any threads: each request has a connection to itself, one that an earlier request left where there is one. So one
/// that is not answered keeps no other waiting.
package final class CurlClient: HTTPClient, Sendable {
  private let certificates: String?
  /// The one that was used last is at the end, and is used next: of many that were needed once, those that are not needed
  /// any more fall silent.
  private let idle = ProcessLocal<[Handle]> { [] }

  /// `certificates`: a file of those that are believed; nil: libcurl's own.
  package init(certificates: String?) { self.certificates = certificates }

  /// Of one process: after a fork the child must not use its parent's connections.
  private final class Handle: @unchecked Sendable {
    // Sendable: it is in `idle`, or with the one thread that took it from there.
    let pointer: OpaquePointer
    let process: pid_t

    init(_ pointer: OpaquePointer) {
      self.pointer = pointer
      process = getpid()
    }

    deinit { if process == getpid() { ccurl_close(pointer) } }
  }

  package func send(_ request: HTTPRequest, atMost limit: Duration) -> Result<
    HTTPResponse, HTTPFailure
  > {
    let handle: Handle
    if let kept = idle.withLock({ $0.popLast() }) {
      handle = kept
    } else {
      var reason = [CChar](repeating: 0, count: 256)
      guard let opened = ccurl_open(&reason) else {
        return .failure(HTTPFailure(.noLibrary, text(reason)))
      }
      handle = Handle(opened)
    }
    defer {
      idle.withLock { if $0.count < Limits.idleConnections { $0.append(handle) } }
    }
    return perform(request, limit, handle.pointer)
  }

  private func perform(_ request: HTTPRequest, _ limit: Duration, _ handle: OpaquePointer)
    -> Result<HTTPResponse, HTTPFailure>
  {
    // Copies for the time of the call.
    let headers = request.headers.filter { !$0.value.isEmpty }
      .map { strdup("\($0.name): \($0.value)") }
    let signing = request.signing
    let strings = [
      request.url, request.method, request.body,
      signing.map { "aws:amz:\($0.region):\($0.service)" }, signing?.credentials.keyID,
      signing?.credentials.secret, certificates,
    ].map { $0.flatMap { strdup($0) } }
    defer { for string in headers + strings { free(string) } }
    var lines: [UnsafePointer<CChar>?] = headers.map { UnsafePointer($0) } + [nil]
    var response = ccurl_response()
    defer { ccurl_free(&response) }
    lines.withUnsafeMutableBufferPointer { lines in
      var call = ccurl_request()
      call.url = UnsafePointer(strings[0])
      call.method = UnsafePointer(strings[1])
      call.body = UnsafePointer(strings[2])
      call.body_length = request.body?.utf8.count ?? 0
      call.headers = UnsafePointer(lines.baseAddress)
      call.signature = UnsafePointer(strings[3])
      call.key = UnsafePointer(strings[4])
      call.secret = UnsafePointer(strings[5])
      call.certificates = UnsafePointer(strings[6])
      call.limit_ms = Int(max(1, limit.wholeMilliseconds))
      ccurl_perform(handle, &call, &response)
    }
    guard response.code == 0 else {
      let words = withUnsafeBytes(of: response.error) { Array($0.bindMemory(to: CChar.self)) }
      return .failure(HTTPFailure(kind(response.code), text(words)))
    }
    let body = response.body.map {
      String(decoding: UnsafeRawBufferPointer(start: $0, count: response.length), as: UTF8.self)
    }
    return .success(HTTPResponse(status: response.status, body: body ?? ""))
  }

  private func kind(_ code: Int32) -> HTTPFailure.Kind {
    switch Int(code) {
    case CCURL_NO_HOST: .noHost
    case CCURL_NO_CONNECTION: .noConnection
    case CCURL_TIMED_OUT: .timedOut
    case CCURL_CERTIFICATE, CCURL_CERTIFICATES: .certificate
    default: .broken
    }
  }
}

private func text(_ bytes: [CChar]) -> String {
  String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
