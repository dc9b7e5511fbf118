import ArgumentParser

/// What runs in the NFS clients of `make nfs`, beside the command itself: writers and readers that
/// say what they were told and what they saw, the one who holds that against the store at the end,
/// and who counts requests to the file server.
@main
struct Probe: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sluice-nfs-probe",
    abstract: "Writers, readers, verification and request counts on a real NFS.",
    subcommands: [
      WriteRole.self, ReadRole.self, VerifyRole.self, RequestCounts.self, CommitLoad.self,
      Requests.self, Budget.self, Gap.self, Rate.self, FloodRole.self, AskRole.self,
      ServerAhead.self, SpeedRole.self,
    ])
}
