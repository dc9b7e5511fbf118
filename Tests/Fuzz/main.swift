import Glibc

// sluice-fuzz TARGET [libFuzzer's arguments]   fuzzes one decoder, or runs the inputs that are named
// sluice-fuzz --list                           the targets, and the most bytes of an input
// sluice-fuzz --seeds TARGET GOLDEN DIRECTORY  writes the seeds of a target
//
// Built with `-sanitize=fuzzer`, which brings libFuzzer; its own `main` is not used, so that one
// binary serves all targets.

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
  _ count: UnsafeMutablePointer<Int32>,
  _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
  _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

nonisolated(unsafe) private var chosen = FuzzTarget.all[0]

private func usage() -> Never {
  print("usage: sluice-fuzz TARGET [libFuzzer's arguments] | --list | --seeds …")
  exit(64)
}

private func find(_ name: String) -> FuzzTarget {
  guard let target = FuzzTarget.all.first(where: { $0.name == name }) else { usage() }
  return target
}

let arguments = CommandLine.arguments
guard arguments.count >= 2 else { usage() }
switch arguments[1] {
case "--list":
  for target in FuzzTarget.all { print(target.name, target.mostBytes) }
case "--seeds":
  guard arguments.count == 5 else { usage() }
  for (i, seed) in try find(arguments[2]).seeds(GoldenBytes(directory: arguments[3])).enumerated() {
    try writeFile("\(arguments[4])/seed-\(i)", seed)
  }
default:
  chosen = find(arguments[1])
  // libFuzzer must not see the target's name, which it would take for a corpus.
  var rest: [UnsafeMutablePointer<CChar>?] = [strdup(arguments[0])]
  rest += arguments[2...].map { strdup($0) }
  var count = Int32(rest.count)
  rest.append(nil)
  let code = rest.withUnsafeMutableBufferPointer { buffer in
    var base = buffer.baseAddress
    return runDriver(&count, &base) { bytes, count in
      chosen.run(UnsafeRawBufferPointer(start: bytes, count: count))
      return 0
    }
  }
  exit(code)
}
