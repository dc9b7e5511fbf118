internal import Glibc
internal import SluiceShared

/// The endpoints that give a container or an instance the credentials of its role.
struct MetadataService {
  private let client: any HTTPClient
  /// For one request: they are on this host, or the next one.
  private static let limit = Duration.seconds(1)

  init(_ client: any HTTPClient) { self.client = client }

  func container(_ url: String, _ authorization: CredentialSource.Authorization) -> Result<
    Credentials, CredentialFailure
  > {
    var request = HTTPRequest(url)
    switch authorization {
    case .none: break
    case .token(let token): request.headers = [("Authorization", token)]
    case .file(let path):
      guard let token = Settings.file(path) else {
        return .failure(
          CredentialFailure(
            isPassing: true,
            "the file of AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE, \(path), cannot be read; see whether the pod's volume has it"
          ))
      }
      request.headers = [("Authorization", String(token.trimmed))]
    }
    // One header, and no other behind it.
    guard request.headers.allSatisfy({ !$0.value.contains(where: \.isNewline) }) else {
      return .failure(
        CredentialFailure("the container's authorization token has more than one line"))
    }
    return answer(to: request, "the container's credentials")
      .flatMap { CredentialSource.decode($0, origin: "of \(MetadataHost.name(in: url))") }
  }

  /// IMDSv2: a token first, then the role's name, then its credentials.
  func instance(_ endpoint: String) -> Result<Credentials, CredentialFailure> {
    var begin = HTTPRequest("\(endpoint)/latest/api/token")
    begin.method = "PUT"
    begin.headers = [("X-aws-ec2-metadata-token-ttl-seconds", "300")]
    return answer(to: begin, "the instance's metadata").flatMap { token in
      guard MetadataService.isOneWord(token) else {
        return .failure(CredentialFailure("the instance's metadata gives a token that is none"))
      }
      let path = "\(endpoint)/latest/meta-data/iam/security-credentials/"
      var request = HTTPRequest(path)
      request.headers = [("X-aws-ec2-metadata-token", String(token.trimmed))]
      return answer(to: request, "the instance's role").flatMap { names in
        guard let role = names.split(whereSeparator: \.isNewline).first,
          MetadataService.isOneWord(role)
        else {
          return .failure(
            CredentialFailure(
              isPassing: true, "this instance has no role; attach an instance profile to it"))
        }
        request.url = path + role
        return answer(to: request, "the instance's credentials")
          .flatMap { CredentialSource.decode($0, origin: "of \(endpoint)") }
      }
    }
  }

  /// It becomes part of a header or a path.
  private static func isOneWord(_ text: some StringProtocol) -> Bool {
    !text.trimmed.isEmpty && text.trimmed.utf8.allSatisfy { (0x21...0x7E).contains($0) }
  }

  private func answer(to request: HTTPRequest, _ what: String) -> Result<String, CredentialFailure>
  {
    switch client.send(request, atMost: MetadataService.limit) {
    case .success(let response) where response.status == 200: return .success(response.body)
    case .success(let response):
      return .failure(
        CredentialFailure(
          isPassing: true,
          "no AWS credentials: \(MetadataHost.name(in: request.url)) answers \(what) with status \(response.status); see whether the task, pod or instance has a role"
        ))
    case .failure(let failure):
      return .failure(
        CredentialFailure(
          isPassing: failure.kind != .noLibrary,
          failure.kind == .noLibrary
            ? failure.message
            : "no AWS credentials: nothing is in the environment or the profile, and \(MetadataHost.name(in: request.url)) does not answer (\(failure.message)); set AWS_PROFILE or the keys' variables, or give the task, pod or instance a role (in a container on EC2 the metadata service needs a hop limit of 2)"
        ))
    }
  }
}

/// Where the token of a container may be sent to without encryption.
enum MetadataHost {
  /// The URL without its path, which may be a secret.
  static func name(in url: String) -> String {
    guard let scheme = url.firstRange(of: "://") else {
      return url.prefix { $0 != "/" }.description
    }
    return String(
      url[..<scheme.upperBound] + url[scheme.upperBound...].prefix { $0 != "/" && $0 != "?" })
  }

  static func isAllowed(_ url: String) -> Bool {
    if url.hasPrefix("https://") { return true }
    guard url.hasPrefix("http://") else { return false }
    let authority = url.dropFirst(7).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard !authority.contains("@"), !authority.contains("\\") else { return false }
    if authority.hasPrefix("[") {
      guard let end = authority.firstIndex(of: "]"),
        isPort(authority[authority.index(after: end)...])
      else { return false }
      return ["::1", "fd00:ec2::23"].contains(
        authority[authority.index(after: authority.startIndex)..<end].lowercased())
    }
    let host = authority.prefix { $0 != ":" }
    guard isPort(authority[host.endIndex...]) else { return false }
    return ["localhost", "169.254.170.2", "169.254.170.23"].contains(host.lowercased())
      || isLoopback(host)
  }

  /// 127.0.0.0/8, written out.
  private static func isLoopback(_ host: Substring) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127"
      && parts.allSatisfy { part in
        (1...3).contains(part.utf8.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
          && UInt8(part) != nil
      }
  }

  /// Nothing, or a colon and digits.
  private static func isPort(_ text: Substring) -> Bool {
    text.isEmpty
      || text.first == ":" && text.count > 1
        && text.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
  }
}
