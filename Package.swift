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

func tests(
  _ folder: String, _ dependencies: [Target.Dependency], resources: [String] = []
) -> Target {
  .testTarget(
    name: "Sluice\(folder)Tests", dependencies: dependencies, path: "Tests/\(folder)Tests",
    resources: resources.map { .copy($0) }, swiftSettings: settings)
}

let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let coreMetrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let arguments: Target.Dependency = .product(
  name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
  name: "Sluice",
  products: [
    .library(name: "Sluice", targets: ["Sluice"]),
    .executable(name: "sluice", targets: ["sluice"]),
    // What `make extension` links into one file.
    .library(name: "SluiceExtension", type: .static, targets: ["SluiceExtension"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
  ],
  targets: [
    // The header, and no library: a module that calls one links it.
    .target(name: "CSQLite"),
    .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CJansson", providers: [.apt(["libjansson-dev"])]),
    .systemLibrary(name: "CCrypto", providers: [.apt(["libssl-dev"])]),
    .target(name: "CSystem"),
    // The extension's own header, which programs in C include.
    .systemLibrary(name: "CSluice"),
    .target(name: "CCurl"),
    .target(name: "CMicrohttpd"),
    // The static library: the shared one makes each start of a process 5 ms longer.
    module(
      "Shared", ["CSystem", "CJansson", "CCrypto", coreMetrics], [.linkedLibrary(":libcrypto.a")]),
    module("Journal", ["SluiceShared", "CZstd"]),
    module("Hints", ["SluiceShared"]),
    module("VFS", ["SluiceShared", "CSQLite", "CSystem"]),
    module("SQLite", ["SluiceShared", "SluiceVFS", "CSQLite"], [.linkedLibrary("sqlite3")]),
    module("Metrics", ["SluiceShared", "CMicrohttpd", coreMetrics]),
    module("Lease", ["SluiceShared", "SluiceJournal", coreMetrics]),
    module("DynamoDB", ["SluiceShared", "SluiceLease", "CCurl"]),
    module(
      "Reader",
      ["SluiceShared", "SluiceJournal", "SluiceHints", "SluiceVFS", "CSQLite", coreMetrics]),
    module(
      "Query",
      ["SluiceShared", "SluiceJournal", "SluiceVFS", "SluiceSQLite", "SluiceReader", "CSQLite"]),
    module("Writer", ["SluiceShared", "SluiceJournal", "SluiceHints", coreMetrics]),
    module(
      "Transactions",
      [
        "SluiceShared", "SluiceJournal", "SluiceVFS", "SluiceReader", "SluiceWriter", "CSQLite",
      ]),
    module("Lambda", ["SluiceShared"]),
    module(
      "Extension",
      [
        "SluiceShared", "SluiceJournal", "SluiceVFS", "SluiceReader", "SluiceWriter",
        "SluiceTransactions", "CSQLite", "CSluice", "CSystem",
      ]),
    module(
      "Applier",
      [
        "SluiceShared", "SluiceJournal", "SluiceHints", "SluiceVFS", "SluiceSQLite", "SluiceReader",
        "SluiceLease", "SluiceDynamoDB", "CSQLite", coreMetrics, logging,
      ]),
    // What programs import. Not at `Sources/Sluice`: where case does not count that is the command's folder.
    .target(
      name: "Sluice",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceQuery",
        "SluiceWriter", "SluiceApplier", "SluiceLambda", "SluiceMetrics",
      ],
      path: "Sources/API", swiftSettings: settings),
    .executableTarget(
      name: "sluice",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceQuery",
        "SluiceWriter", "SluiceApplier", "SluiceLease", "SluiceLambda", "SluiceMetrics", "CSQLite",
        coreMetrics, arguments, logging,
      ],
      swiftSettings: settings),
    .target(
      name: "BenchmarkSupport", dependencies: ["SluiceShared"], path: "Benchmarks/Support",
      swiftSettings: settings),
    .executableTarget(
      name: "sluice-demo",
      dependencies: [
        "BenchmarkSupport", "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader",
        "SluiceQuery", "SluiceWriter", arguments,
      ],
      path: "Benchmarks/Demo", swiftSettings: settings),
    .executableTarget(
      name: "sluice-bench",
      dependencies: [
        "BenchmarkSupport", "SluiceShared", "SluiceJournal", "SluiceReader", "SluiceQuery",
        "SluiceWriter", "SluiceApplier", "CSQLite", arguments, logging,
      ],
      path: "Benchmarks/Bench", swiftSettings: settings),
    .executableTarget(
      name: "sluice-nfs-probe",
      dependencies: [
        "BenchmarkSupport", "SluiceFakes", "SluiceShared", "SluiceJournal", "SluiceSQLite",
        "SluiceReader", "SluiceQuery", "SluiceWriter", arguments,
      ],
      path: "Tests/nfs/Probe", swiftSettings: settings),
    .target(name: "CLossy", path: "Tests/Crash/Lossy"),
    .executableTarget(
      name: "sluice-crash",
      dependencies: [
        "BenchmarkSupport", "CLossy", "SluiceFakes", "SluiceShared", "SluiceJournal",
        "SluiceSQLite", "SluiceReader", "SluiceQuery", "SluiceWriter", "SluiceApplier",
        "SluiceLease", arguments, logging,
      ],
      path: "Tests/Crash", exclude: ["Lossy"], swiftSettings: settings),
    .target(
      name: "SluiceFakes", dependencies: ["SluiceShared", logging], path: "Tests/Fakes",
      swiftSettings: settings),
    .target(
      name: "SluiceTeardown", dependencies: ["SluiceShared", "SluiceJournal", "SluiceReader"],
      path: "Tests/Teardown", swiftSettings: settings),
    .target(
      name: "SluiceEdits",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "CSQLite",
      ],
      path: "Tests/Edits", swiftSettings: settings),
    tests(
      "Simulator",
      [
        "SluiceShared", "SluiceJournal", "SluiceReader", "SluiceQuery", "SluiceWriter",
        "SluiceApplier", "SluiceFakes", "SluiceSimulator", "SluiceEdits", logging,
      ], resources: ["Scenarios"]),
    .target(
      name: "SluiceSimulator",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceHints", "SluiceSQLite", "SluiceReader",
        "SluiceQuery", "SluiceWriter", "SluiceApplier", "SluiceLease", "SluiceFakes",
        "SluiceEdits", "CSQLite",
        logging,
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
        "SluiceQuery", "SluiceWriter", "SluiceApplier", "CSQLite", arguments, logging,
      ],
      path: "Tests/Differential", swiftSettings: settings),
    tests("SQLite", ["SluiceShared", "SluiceVFS", "SluiceSQLite", "CSQLite"]),
    tests(
      "Reader",
      [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceQuery",
        "SluiceFakes", "SluiceTeardown", "CSQLite",
      ]),
    tests(
      "Transactions",
      [
        "SluiceShared", "SluiceJournal", "SluiceVFS", "SluiceSQLite", "SluiceWriter",
        "SluiceTransactions", "SluiceFakes", "CSQLite",
      ]),
    tests(
      "Writer",
      ["SluiceShared", "SluiceJournal", "SluiceWriter", "SluiceFakes", "SluiceTeardown"]),
    tests(
      "Journal",
      ["SluiceShared", "SluiceJournal", "SluiceWriter", "SluiceFakes", "SluiceSimulator"],
      resources: ["Golden"]),
    tests(
      "Applier",
      [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceQuery",
        "SluiceWriter", "SluiceApplier", "SluiceHints", "SluiceLease", "SluiceMetrics",
        "SluiceFakes", "SluiceEdits", "SluiceTeardown", "CSQLite", coreMetrics, logging,
      ]),
    tests(
      "Command",
      [
        "sluice", "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceWriter",
        "SluiceEdits", "SluiceTeardown", "CSQLite", arguments, logging,
      ]),
    tests(
      "Process",
      [
        "sluice", "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceQuery",
        "SluiceWriter", "SluiceApplier", "SluiceLease", "SluiceFakes", "SluiceEdits",
        "SluiceTeardown", logging,
      ]),
    tests("Lease", ["SluiceShared", "SluiceLease", "SluiceDynamoDB", "SluiceFakes"]),
    tests("Lambda", ["SluiceShared", "SluiceLambda"]),
    tests("Hints", ["SluiceShared", "SluiceHints", "SluiceFakes"]),
    .testTarget(
      name: "SluiceElectionTests",
      dependencies: [
        "sluice", "SluiceShared", "SluiceJournal", "SluiceLease", "SluiceDynamoDB", "SluiceWriter",
        "SluiceReader", "SluiceQuery", "SluiceApplier", "SluiceTeardown", logging,
      ],
      path: "Tests/ElectionTests", exclude: ["Peers"], swiftSettings: settings),
    // As a program of another package: it sees what is public, and imports one module.
    .testTarget(
      name: "SluiceAPITests", dependencies: ["Sluice", "SluiceTeardown", "CSQLite", coreMetrics],
      path: "Tests/APITests",
      packageAccess: false, swiftSettings: settings),
    tests("Metrics", ["SluiceShared", "SluiceMetrics", coreMetrics]),
    tests("Crash", ["BenchmarkSupport"]),
    tests("Tidy", []),
    tests(
      "Differential",
      [
        "sluice-differential", "BenchmarkSupport", "SluiceFakes", "SluiceShared", "SluiceJournal",
        "SluiceSQLite", "SluiceReader", "SluiceQuery", "SluiceWriter", "SluiceApplier", logging,
      ]),
  ]
)

// Which tests are there, as their folders' names with + in between: a build for few of them, under a
// sanitizer, compiles what these need and nothing else.
if let folders = Context.environment["SLUICE_TESTS"]?.split(separator: "+") {
  var needed: Set<String> = []
  var unseen = folders.map { "Sluice\($0)Tests" }
  while let name = unseen.popLast() {
    guard needed.insert(name).inserted else { continue }
    let target = package.targets.first { $0.name == name }
    for case .byNameItem(let dependency, _) in target?.dependencies ?? [] {
      unseen.append(dependency)
    }
  }
  package.products = []
  package.targets.removeAll { !needed.contains($0.name) }
}

// The fuzzers need libFuzzer's instrumentation and the modules' insides, so an ordinary build leaves
// them out; see `Tests/Fuzz/run`. What reads input is in the command, which is a library then.
if Context.environment["SLUICE_FUZZ"] != nil {
  package.products = [.executable(name: "sluice-fuzz", targets: ["sluice-fuzz"])]
  package.targets.removeAll { $0.name == "sluice" || $0.type == .test }
  package.targets += [
    .target(
      name: "sluice",
      dependencies: [
        "SluiceShared", "SluiceJournal", "SluiceSQLite", "SluiceReader", "SluiceQuery", arguments,
      ],
      path: "Sources/sluice",
      exclude: [
        "Commands", "Functions", "Logging", "Metrics", "Rejected", "Status", "Submitting",
        "ExitCode.swift", "Sluice.swift",
      ]
        // All but the file that a dump is written to.
        + [
          "BatchReport", "CSV", "JSONLines", "LogLine", "Printable", "ProgressLine",
          "RowChange+JSON", "RowFormat", "StatementPlace", "Table",
        ].map { "Output/\($0).swift" },
      swiftSettings: settings),
    .executableTarget(
      name: "sluice-fuzz",
      dependencies: [
        "sluice", "SluiceFakes", "SluiceShared", "SluiceHints", "SluiceJournal", "SluiceSQLite",
        "SluiceReader", "SluiceQuery", "SluiceApplier", "CSQLite",
      ],
      path: "Tests/Fuzz", exclude: ["Dictionaries", "run"], swiftSettings: settings),
  ]
}
