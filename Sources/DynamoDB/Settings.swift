internal import Glibc
package import SluiceShared

/// Where DynamoDB is, and how it is believed: what AWS's own tools read from environment and profile.
package struct Settings: Hashable, Sendable {
  package let region: String
  /// Without a slash at its end.
  package let endpoint: String
  /// A file of certificates; nil: libcurl's own.
  package let certificates: String?
  let profile: Profile
  let variables: [String: String]

  /// `variables` is the process's environment, `read` reads a file whole, nil where it cannot; `isReadable` says whether
  /// a file is there for this process.
  package init(
    _ variables: [String: String], read: (String) -> String? = Settings.file,
    isReadable: (String) -> Bool = Settings.isReadable
  ) throws(StoreError) {
    self.variables = variables.filter { !$0.value.isEmpty }
    let variables = self.variables
    let home = variables["HOME"] ?? ""
    let name = variables["AWS_PROFILE"] ?? variables["AWS_DEFAULT_PROFILE"]
    profile = Profile(
      name ?? "default",
      config: read(variables["AWS_CONFIG_FILE"] ?? "\(home)/.aws/config"),
      credentials: read(variables["AWS_SHARED_CREDENTIALS_FILE"] ?? "\(home)/.aws/credentials"))
    if let name, !profile.exists {
      throw StoreError(
        .invalid,
        "the profile \(name) of AWS_PROFILE is in neither ~/.aws/config nor ~/.aws/credentials; add it, or unset the variable"
      )
    }
    let region = variables["AWS_REGION"] ?? variables["AWS_DEFAULT_REGION"] ?? profile["region"]
    guard let region else {
      throw StoreError(
        .invalid,
        "no AWS region: set AWS_REGION to the region of the lock table, or `region` in the profile")
    }
    guard Settings.isLabel(region) else {
      throw StoreError(.invalid, "\(region) is no AWS region: set AWS_REGION, such as eu-central-1")
    }
    self.region = region
    endpoint = try Settings.endpoint(variables, profile, region)
    certificates =
      variables["AWS_CA_BUNDLE"] ?? profile["ca_bundle"]
      ?? Settings.bundles.first(where: isReadable)
  }

  private static func endpoint(
    _ variables: [String: String], _ profile: Profile, _ region: String
  ) throws(StoreError) -> String {
    let isIgnored = variables["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]?.lowercased() == "true"
    let given =
      isIgnored
      ? nil
      : variables["AWS_ENDPOINT_URL_DYNAMODB"] ?? variables["AWS_ENDPOINT_URL"]
        ?? profile["endpoint_url"]
    guard var endpoint = given else {
      let domain = region.hasPrefix("cn-") ? "amazonaws.com.cn" : "amazonaws.com"
      return "https://dynamodb.\(region).\(domain)"
    }
    while endpoint.hasSuffix("/") { endpoint.removeLast() }
    guard endpoint.hasPrefix("http://") || endpoint.hasPrefix("https://") else {
      throw StoreError(
        .invalid,
        "the endpoint \(endpoint) is no URL: AWS_ENDPOINT_URL_DYNAMODB begins with https:// or http://"
      )
    }
    return endpoint
  }

  /// Letters, digits and hyphens: it becomes part of a host's name and of a signature.
  private static func isLabel(_ text: String) -> Bool {
    text.utf8.allSatisfy {
      (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-")
    }
  }

  /// Debian's, Red Hat's and Amazon Linux's, Alpine's and others'. libcurl has one compiled in, which is
  /// missing where it was built for another system.
  static let bundles = [
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
  ]

  package static func isReadable(_ path: String) -> Bool { access(path, R_OK) == 0 }

  /// A text file of at most 1 MiB.
  package static func file(_ path: String) -> String? {
    guard let file = fopen(path, "re") else { return nil }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes[..<count], as: UTF8.self)
  }

  /// This process's.
  package static func fromProcess() throws(StoreError) -> Settings {
    var variables: [String: String] = [:]
    for line in environmentOfChildren() {
      guard let equals = line.firstIndex(of: "=") else { continue }
      variables[String(line[..<equals])] = String(line[line.index(after: equals)...])
    }
    return try Settings(variables)
  }
}
