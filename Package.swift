// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

/// A module of the library: target `Sluice<folder>` at `Sources/<folder>`.
func module(
  _ folder: String, _ dependencies: [Target.Dependency], _ linkerSettings: [LinkerSetting] = []
) -> Target {
  .target(
    name: "Sluice\(folder)", dependencies: dependencies, path: "Sources/\(folder)",
    swiftSettings: settings, linkerSettings: linkerSettings)
}

func tests(_ folder: String, _ dependencies: [Target.Dependency]) -> Target {
  .testTarget(
    name: "Sluice\(folder)Tests", dependencies: dependencies, path: "Tests/\(folder)Tests",
    resources: folder == "Journal" ? [.copy("Golden")] : [], swiftSettings: settings)
}

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "Sluice",
  products: [
    .library(
      name: "Sluice",
      targets: [
        "SluiceShared", "SluiceJournal", "SluiceReader", "SluiceWriter", "SluiceApplier",
        "SluiceLease",
      ]),
    .executable(name: "sluice", targets: ["sluice"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  ],
  targets: [
    .systemLibrary(name: "CSQLite", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CJansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CCrypto", providers: [.apt(["libssl-dev"])]),
    .target(name: "CSystem"),
    // The static library: the shared one makes each start of a process 5 ms longer.
    module("Shared", ["CSystem", "CJansson", "CCrypto"], [.linkedLibrary(":libcrypto.a")]),
    module("Journal", ["SluiceShared", "CZstd"]),
    module("SQLite", ["SluiceShared", "CSQLite"]),
    module("Lease", ["SluiceShared", "SluiceJournal"]),
    module("Reader", ["SluiceShared", "SluiceJournal", "SluiceSQLite", "CSQLite"]),
    module("Writer", ["SluiceShared", "SluiceJournal"]),
    module(
      "Applier",
      [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceLease", "CSQLite",
        logging,
      ]),
    .executableTarget(
      name: "sluice",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceWriter",
        "SluiceApplier", "SluiceLease", "CSQLite", arguments, logging,
      ],
      swiftSettings: settings),
    .target(
      name: "BenchmarkSupport", dependencies: ["SluiceShared"], path: "Benchmarks/Support",
      swiftSettings: settings),
    .executableTarget(
      name: "sluice-demo",
      dependencies: [
        "BenchmarkSupport", "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader",
        "SluiceWriter", arguments,
      ],
      path: "Benchmarks/Demo", swiftSettings: settings),
    .executableTarget(
      name: "sluice-bench",
      dependencies: [
        "BenchmarkSupport", "SluiceShared", "SluiceJournal", "SluiceReader", "SluiceWriter",
        "SluiceApplier", "CSQLite", arguments, logging,
      ],
      path: "Benchmarks/Bench", swiftSettings: settings),
    .executableTarget(
      name: "sluice-nfs-probe",
      dependencies: [
        "BenchmarkSupport", "SluiceFakes", "SluiceShared", "SluiceJournal", "SluiceReader",
        "SluiceWriter", arguments,
      ],
      path: "Tests/nfs/Probe", swiftSettings: settings),
    .target(name: "CLossy", path: "Tests/Crash/Lossy"),
    .executableTarget(
      name: "sluice-crash",
      dependencies: [
        "BenchmarkSupport", "CLossy", "SluiceFakes", "SluiceShared", "SluiceJournal",
        "SluiceSQLite", "SluiceReader", "SluiceWriter", "SluiceApplier", "SluiceLease", arguments,
        logging,
      ],
      path: "Tests/Crash", exclude: ["Lossy"], swiftSettings: settings),
    .target(
      name: "SluiceFakes", dependencies: ["SluiceShared", logging], path: "Tests/Fakes",
      swiftSettings: settings),
    tests("Simulator", ["SluiceShared", "SluiceFakes", "SluiceSimulator"]),
    .target(
      name: "SluiceSimulator",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceWriter",
        "SluiceApplier", "SluiceLease", "SluiceFakes", "CSQLite", logging,
      ],
      path: "Tests/Simulator", swiftSettings: settings),
    .executableTarget(
      name: "sluice-simulate",
      dependencies: ["SluiceShared", "SluiceSimulator", arguments],
      path: "Tests/Simulate", swiftSettings: settings),
    .executableTarget(
      name: "sluice-differential",
      dependencies: [
        "SluiceFakes", "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader",
        "SluiceWriter", "SluiceApplier", "CSQLite", arguments, logging,
      ],
      path: "Tests/Differential", swiftSettings: settings),
    tests("SQLite", ["SluiceShared", "SluiceSQLite", "CSQLite"]),
    tests("Reader", ["SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "CSQLite"]),
    tests("Writer", ["SluiceShared", "SluiceJournal", "SluiceWriter"]),
    tests(
      "Journal",
      ["SluiceShared", "SluiceJournal", "SluiceWriter", "SluiceFakes", "SluiceSimulator"]),
    tests(
      "Applier",
      [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceWriter",
        "SluiceApplier", "SluiceLease", "SluiceFakes", logging,
      ]),
    tests(
      "Command",
      ["sluice", "SluiceShared", "SluiceJournal", "SluiceSQLite", arguments, logging]),
    tests(
      "Process",
      [
        "sluice", "SluiceShared", "SluiceJournal", "SluiceReader", "SluiceWriter", "SluiceApplier",
        "SluiceLease", "SluiceFakes", logging,
      ]),
    tests("Crash", ["BenchmarkSupport"]),
    tests(
      "Differential",
      [
        "sluice-differential", "BenchmarkSupport", "SluiceFakes", "SluiceShared", "SluiceJournal",
        "SluiceSQLite", "SluiceReader", "SluiceWriter", "SluiceApplier", logging,
      ]),
  ]
)

// The fuzzers need libFuzzer's instrumentation and the modules' insides, so an ordinary build leaves
// them out; see `Tests/Fuzz/run`. What reads input is in the command, which is a library then.
if Context.environment["SLUICE_FUZZ"] != nil {
  package.products = [.executable(name: "sluice-fuzz", targets: ["sluice-fuzz"])]
  package.targets.removeAll { $0.name == "sluice" || $0.type == .test }
  package.targets += [
    .target(
      name: "sluice",
      dependencies: ["SluiceShared", "SluiceJournal", "SluiceSQLite", arguments],
      path: "Sources/sluice",
      exclude: [
        "Commands", "Dump", "Logging", "Output", "Status", "Submitting", "ExitCode.swift",
        "Sluice.swift",
      ],
      swiftSettings: settings),
    .executableTarget(
      name: "sluice-fuzz",
      dependencies: [
        "sluice", "SluiceFakes", "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader",
        "SluiceApplier", "CSQLite",
      ],
      path: "Tests/Fuzz", exclude: ["Dictionaries", "run"], swiftSettings: settings),
  ]
}
