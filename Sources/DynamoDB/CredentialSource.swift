internal import SluiceShared

/// Where credentials come from: the first of AWS's standard places that has something.
enum CredentialSource: Sendable {
  /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, as Lambda sets them.
  case environment(Credentials)
  /// Static keys of a profile; the files are read anew where the server refuses them, for somebody may
  /// have changed them.
  case profile(name: String, @Sendable () -> Credentials?)
  /// A profile's `credential_process`.
  case process(profile: String, command: String)
  /// ECS, and EKS Pod Identity.
  case container(url: String, Authorization)
  /// EC2, by the second version of its metadata service.
  case instance(endpoint: String)

  enum Authorization: Sendable {
    case none
    case token(String)
    /// The token changes; the file is read anew with each request.
    case file(String)
  }

  /// Completes "the credentials …".
  var origin: String {
    switch self {
    case .environment: "in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    case .profile(let name, _): "of the profile \(name)"
    case .process(let profile, _): "from the credential_process of the profile \(profile)"
    case .container(let url, _): "from \(MetadataHost.name(in: url))"
    case .instance(let endpoint): "from \(endpoint) (the instance's role)"
    }
  }

  init(_ settings: Settings) throws(StoreError) {
    let variables = settings.variables
    let profile = settings.profile
    let names = (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"])
    if let keyID = names.0, let secret = names.1 {
      self = .environment(
        Credentials(keyID: keyID, secret: secret, token: variables["AWS_SESSION_TOKEN"]))
    } else if names.0 != nil || names.1 != nil {
      throw StoreError(
        .invalid,
        "only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set; set both, or neither")
    } else if profile.credentials != nil {
      self = .profile(name: profile.name) {
        (try? Settings(variables))?.profile.credentials ?? profile.credentials
      }
    } else if let command = profile["credential_process"] {
      self = .process(profile: profile.name, command: command)
    } else if let setting = ["role_arn", "sso_session", "sso_account_id"].first(
      where: { profile[$0] != nil })
    {
      throw StoreError(
        .invalid,
        "the profile \(profile.name) needs \(setting), which Sluice does not do; give it a credential_process, such as `aws configure export-credentials --profile \(profile.name)`"
      )
    } else if let path = variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
      guard path.hasPrefix("/") else {
        throw StoreError(
          .invalid,
          "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with /; ECS sets it, so leave it as it is"
        )
      }
      self = .container(url: "http://169.254.170.2\(path)", Self.authorization(variables))
    } else if let url = variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] {
      guard MetadataHost.isAllowed(url) else {
        throw StoreError(
          .invalid,
          "AWS_CONTAINER_CREDENTIALS_FULL_URI names the host \(MetadataHost.name(in: url)), and only https, or http to this host, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23] is safe; correct it"
        )
      }
      self = .container(url: url, Self.authorization(variables))
    } else if variables["AWS_WEB_IDENTITY_TOKEN_FILE"] != nil {
      throw StoreError(
        .invalid,
        "AWS_WEB_IDENTITY_TOKEN_FILE is set (IAM roles for service accounts), which Sluice does not do; give the pod its role by EKS Pod Identity"
      )
    } else if variables["AWS_EC2_METADATA_DISABLED"]?.lowercased() == "true" {
      throw StoreError(
        .invalid,
        "no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or give the task, pod or instance a role"
      )
    } else {
      var endpoint =
        variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
        ?? (variables["AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"]?.lowercased() == "ipv6"
          ? "http://[fd00:ec2::254]" : "http://169.254.169.254")
      while endpoint.hasSuffix("/") { endpoint.removeLast() }
      self = .instance(endpoint: endpoint)
    }
  }

  private static func authorization(_ variables: [String: String]) -> Authorization {
    if let path = variables["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] { return .file(path) }
    return variables["AWS_CONTAINER_AUTHORIZATION_TOKEN"].map { .token($0) } ?? .none
  }

  func fetch(_ client: any HTTPClient) -> Result<Credentials, CredentialFailure> {
    switch self {
    case .environment(let credentials): return .success(credentials)
    case .profile(let name, let read):
      return read().map { .success($0) }
        ?? .failure(CredentialFailure("the profile \(name) has no keys any more; add them"))
    case .process(let profile, let command):
      return CredentialProcess.run(command, of: profile).flatMap { text in
        CredentialSource.decode(text, origin: "of credential_process")
      }
    case .container(let url, let authorization):
      return MetadataService(client).container(url, authorization)
    case .instance(let endpoint): return MetadataService(client).instance(endpoint)
    }
  }

  /// What container endpoints, the metadata service and `credential_process` answer.
  static func decode(_ text: String, origin: String) -> Result<Credentials, CredentialFailure> {
    guard let json = try? JSON.parse(text), let keyID = json["AccessKeyId"]?.string,
      let secret = json["SecretAccessKey"]?.string, !keyID.isEmpty, !secret.isEmpty
    else {
      return .failure(
        CredentialFailure(
          isPassing: true,
          "the answer \(origin) has no AccessKeyId and SecretAccessKey; look at what it answers"))
    }
    var expires_ms: Int64?
    if let expiration = json["Expiration"]?.string {
      guard let time_ms = milliseconds(ofTimestamp: expiration) else {
        return .failure(
          CredentialFailure("the answer \(origin) has an Expiration that is no time: \(expiration)")
        )
      }
      expires_ms = time_ms
    }
    let token = json["Token"]?.string ?? json["SessionToken"]?.string
    return .success(
      Credentials(
        keyID: keyID, secret: secret, token: token.flatMap { $0.isEmpty ? nil : $0 },
        expires_ms: expires_ms))
  }
}

extension Profile {
  /// Static keys.
  var credentials: Credentials? {
    guard let keyID = self["aws_access_key_id"], let secret = self["aws_secret_access_key"] else {
      return nil
    }
    return Credentials(keyID: keyID, secret: secret, token: self["aws_session_token"])
  }
}
