internal import SluiceShared

/// Signature Version 4 of requests without a query: the headers that they are sent with.
///
/// Not libcurl's, which derives the key anew for each request, at ten times the cost: processes with many stores send
/// hundreds a second.
final class Signature: Sendable {
  private struct Scope: Hashable {
    var secret, date, region, service: String
    var text: String { "\(date)/\(region)/\(service)/aws4_request" }
  }

  /// What was derived last: a key holds for a day, a time for a second.
  private struct Known {
    var key: (scope: Scope, bytes: [UInt8])?
    var time: (second: Int64, text: String)?
    var place: (url: String, host: String, path: String)?
  }

  private let known = Monitor(Known())

  /// All headers: those of the request, its host, the time (Unix milliseconds), and the signature over these.
  func headers(of request: HTTPRequest, _ signing: HTTPRequest.Signing, at time_ms: Int64)
    -> [(name: String, value: String)]
  {
    let time = time(time_ms)
    let (host, path) = place(request.url)
    var headers = request.headers.filter { !$0.value.isEmpty }
    headers += [("Host", host), ("X-Amz-Date", time)]
    let signed = headers.map { (name: $0.name.lowercased(), value: $0.value) }
      .sorted { $0.name < $1.name }
    let names = signed.map(\.name).joined(separator: ";")
    var canonical = "\(request.method ?? (request.body == nil ? "GET" : "POST"))\n\(path)\n\n"
    for header in signed { canonical += "\(header.name):\(header.value)\n" }
    canonical += "\n\(names)\n\(Signature.hash(request.body ?? ""))"
    let scope = Scope(
      secret: signing.credentials.secret,
      date: String(decoding: time.utf8.prefix(8), as: UTF8.self),
      region: signing.region, service: signing.service)
    let text = "AWS4-HMAC-SHA256\n\(time)\n\(scope.text)\n\(Signature.hash(canonical))"
    let signature = Signature.hexadecimal(
      SHA256.authenticate(Array(text.utf8), key: key(of: scope)))
    headers.append(
      (
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=\(signing.credentials.keyID)/\(scope.text), SignedHeaders=\(names), Signature=\(signature)"
      ))
    return headers
  }

  private func key(of scope: Scope) -> [UInt8] {
    if let known = known.withLock({ $0.key }), known.scope == scope { return known.bytes }
    var key = Array("AWS4\(scope.secret)".utf8)
    // As RFC 2104 has it for one that is longer than a block.
    if key.count > 64 { key = key.withUnsafeBytes { SHA256.hash($0) } }
    for part in [scope.date, scope.region, scope.service, "aws4_request"] {
      key = SHA256.authenticate(Array(part.utf8), key: key)
    }
    known.withLock { [key] in $0.key = (scope, key) }
    return key
  }

  /// As a request to that URL names them.
  private func place(_ url: String) -> (host: String, path: String) {
    if let known = known.withLock({ $0.place }), known.url == url {
      return (known.host, known.path)
    }
    let start = url.firstRange(of: "://")?.upperBound ?? url.startIndex
    let slash = url[start...].firstIndex(of: "/") ?? url.endIndex
    let path = slash == url.endIndex ? "/" : String(url[slash...])
    let host = String(url[start..<slash])
    known.withLock { $0.place = (url, host, path) }
    return (host, path)
  }

  /// `20261122T100000Z`.
  private func time(_ time_ms: Int64) -> String {
    let second = time_ms / 1000
    if let known = known.withLock({ $0.time }), known.second == second { return known.text }
    let text = timestamp(time_ms).prefix(19).filter { $0 != "-" && $0 != ":" } + "Z"
    known.withLock { $0.time = (second, text) }
    return text
  }

  private static func hash(_ text: String) -> String {
    var text = text
    return hexadecimal(text.withUTF8 { SHA256.hash(UnsafeRawBufferPointer($0)) })
  }

  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    return String(unsafeUninitializedCapacity: 2 * bytes.count) { place in
      for (i, byte) in bytes.enumerated() {
        place[2 * i] = digits[Int(byte >> 4)]
        place[2 * i + 1] = digits[Int(byte & 15)]
      }
      return 2 * bytes.count
    }
  }
}
