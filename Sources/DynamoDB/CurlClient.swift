internal import CCurl
internal import Glibc
internal import SluiceShared

/// libcurl, which is opened with the first request, and keeps its connections.
///
/// From any threads: each request has a connection to itself, one that an earlier request left where there is one. So one
/// that is not answered keeps no other waiting.
package final class CurlClient: HTTPClient, Sendable {
  private let certificates: String?
  /// The one that was used last is at the end, and is used next: of many that were needed once, those that are not needed
  /// any more fall silent.
  private let idle = ProcessLocal<[CurlHandle]> { [] }
  /// For those that nobody waits for; made with the first.
  private let group = ProcessLocal<CurlGroup?> { nil }

  /// `certificates`: a file of those that are believed; nil: libcurl's own.
  package init(certificates: String?) { self.certificates = certificates }

  package func send(_ request: HTTPRequest, atMost limit: Duration) -> Result<
    HTTPResponse, HTTPFailure
  > {
    let handle: CurlHandle
    if let kept = idle.withLock({ $0.popLast() }) {
      handle = kept
    } else {
      switch CurlHandle.opened() {
      case .failure(let failure): return .failure(failure)
      case .success(let opened): handle = opened
      }
    }
    defer {
      idle.withLock { if $0.count < Limits.idleConnections { $0.append(handle) } }
    }
    call(request, limit) { ccurl_perform(handle.pointer, $0) }
    return handle.result
  }

  package func start(
    atMost limit: Duration, make: @escaping @Sendable () -> HTTPRequest,
    done: @escaping @Sendable (Result<HTTPResponse, HTTPFailure>) -> Void
  ) {
    let group = group.withLock { group in
      let known = group ?? CurlGroup()
      group = known
      return known
    }
    group.start(
      CurlGroup.Letter(limit: limit, done: done) { [self] in call(make(), $0, $1) })
  }

  /// Makes what libcurl takes, for the time of `body`.
  private func call<R>(
    _ request: HTTPRequest, _ limit: Duration, _ body: (UnsafePointer<ccurl_request>) -> R
  ) -> R {
    let lines = request.headers.filter { !$0.value.isEmpty }
      .map { strdup("\($0.name): \($0.value)") }
    let signing = request.signing
    let strings = [
      request.url, request.method, request.body, certificates,
      signing.map { "aws:amz:\($0.region):\($0.service)" }, signing?.credentials.keyID,
      signing?.credentials.secret,
    ].map { $0.flatMap { strdup($0) } }
    defer { for string in lines + strings { free(string) } }
    let pointers: [UnsafePointer<CChar>?] = lines.map { UnsafePointer($0) } + [nil]
    return pointers.withUnsafeBufferPointer { pointers in
      var call = ccurl_request()
      call.url = UnsafePointer(strings[0])
      call.method = UnsafePointer(strings[1])
      call.body = UnsafePointer(strings[2])
      call.body_length = request.body?.utf8.count ?? 0
      call.headers = pointers.baseAddress
      call.certificates = UnsafePointer(strings[3])
      call.signature = UnsafePointer(strings[4])
      call.key = UnsafePointer(strings[5])
      call.secret = UnsafePointer(strings[6])
      call.limit_ms = Int(max(1, limit.wholeMilliseconds))
      return body(&call)
    }
  }
}

/// Of one process: after a fork the child must not use its parent's connections.
final class CurlHandle: @unchecked Sendable {
  // Sendable: it is kept, or with the one thread that took it from there.
  let pointer: OpaquePointer
  private let process: pid_t

  private init(_ pointer: OpaquePointer) {
    self.pointer = pointer
    process = getpid()
  }

  deinit { if process == getpid() { ccurl_close(pointer) } }

  static func opened() -> Result<CurlHandle, HTTPFailure> {
    var reason = [CChar](repeating: 0, count: 256)
    guard let opened = ccurl_open(&reason) else {
      return .failure(HTTPFailure(.noLibrary, text(reason)))
    }
    return .success(CurlHandle(opened))
  }

  /// Of its last request.
  var result: Result<HTTPResponse, HTTPFailure> {
    guard let response = ccurl_answer(pointer) else {
      return .failure(HTTPFailure(.broken, "no answer"))
    }
    guard response.pointee.code == 0 else {
      let words = withUnsafeBytes(of: response.pointee.error) {
        Array($0.bindMemory(to: CChar.self))
      }
      return .failure(HTTPFailure(kind(response.pointee.code), text(words)))
    }
    let body = response.pointee.body.map {
      String(
        decoding: UnsafeRawBufferPointer(start: $0, count: response.pointee.length), as: UTF8.self)
    }
    return .success(HTTPResponse(status: response.pointee.status, body: body ?? ""))
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
