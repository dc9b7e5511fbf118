internal import CMicrohttpd
internal import Glibc
public import SluiceShared

/// Answers GET /metrics with what a registry holds, for Prometheus. libmicrohttpd is opened for it, and serves
/// on a thread of its own.
public final class MetricsServer: @unchecked Sendable {
  // Sendable: all is constant; `answer`, which another thread calls, only reads.
  private let registry: MetricsRegistry
  private let path: UnsafeMutablePointer<CChar>
  private let type: UnsafeMutablePointer<CChar>
  private var server: OpaquePointer?
  /// The port that it listens at.
  public private(set) var port: UInt16 = 0

  /// `host` is a numeric address, empty for all of this machine's; port 0 is a free one.
  public init(_ registry: MetricsRegistry, host: String, port: UInt16) throws(StoreError) {
    self.registry = registry
    path = strdup("/metrics")
    type = strdup(MetricsRegistry.prometheusType)
    var error = [CChar](repeating: 0, count: 256)
    server = cmicrohttpd_open(
      host, port, path, type, MetricsServer.answer, Unmanaged.passUnretained(self).toOpaque(),
      &error)
    guard let server else {
      let reason = String(
        decoding: error.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
      throw StoreError(
        .io,
        "metrics cannot be shown at \(host.isEmpty ? "*" : host):\(port): \(reason); give another --metrics ADDRESS, or none"
      )
    }
    self.port = cmicrohttpd_port(server)
  }

  deinit {
    // Nobody is answered behind this.
    if let server { cmicrohttpd_close(server) }
    free(path)
    free(type)
  }

  private static let answer: cmicrohttpd_answer = { context, length in
    guard let context, let length else { return nil }
    let server = Unmanaged<MetricsServer>.fromOpaque(context).takeUnretainedValue()
    let text = strdup(server.registry.prometheusText)
    length.pointee = text.map { strlen($0) } ?? 0
    return text
  }
}
