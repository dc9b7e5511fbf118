internal import SluiceShared

/// DynamoDB as a process reaches it: the connections and the credentials, which the items of all its stores share.
///
/// A process may serve hundreds of stores. One after the other they then use a few connections, and whoever gives
/// credentials is asked for them once.
final class DynamoService: Sendable {
  let settings: Settings
  let client: any HTTPClient
  let credentials: CredentialStore
  let gate = SilenceGate()
  let looks = LookBatch()

  private static let known = ProcessLocal<[Settings: DynamoService]> { [:] }

  /// Throws `.invalid` where the settings name credentials that cannot be meant; nothing is sent.
  init(
    _ settings: Settings, client: any HTTPClient, metadata: any HTTPClient,
    _ environment: Environment
  ) throws(StoreError) {
    self.settings = settings
    self.client = client
    credentials = CredentialStore(
      try CredentialSource(settings), client: metadata, clock: environment.clock,
      executor: environment.executor)
  }

  /// That of this process's settings, as environment and profile have them now.
  static func ofProcess(_ environment: Environment) throws(StoreError) -> DynamoService {
    let settings = try Settings.fromProcess()
    if let known = known.withLock({ $0[settings] }) { return known }
    let client = CurlClient(certificates: settings.certificates)
    let made = try DynamoService(settings, client: client, metadata: client, environment)
    return known.withLock { known in
      if let other = known[settings] { return other }
      known[settings] = made
      return made
    }
  }
}
