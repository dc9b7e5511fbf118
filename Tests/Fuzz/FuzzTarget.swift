import Glibc
import SluiceShared

/// One decoder under attack: what the fuzzer hands it, and what must hold whatever that is.
///
/// A target ends the process (`demand`) when a promise about the decoder is broken; libFuzzer keeps
/// the input. Everything else that a decoder may do with bytes, refusing them above all, is fine.
struct FuzzTarget: Sendable {
  let name: String
  /// Longer inputs find nothing that shorter ones do not.
  let mostBytes: Int
  /// A byte array a seed, for a fuzzer that begins with nothing else.
  let seeds: @Sendable (GoldenBytes) throws -> [[UInt8]]
  let run: @Sendable (UnsafeRawBufferPointer) -> Void

  static let all: [FuzzTarget] = [
    journalSegment, journalFrame, batch, pageBatch, pageParts, commitFrame, logSegment, beacon,
    mark,
    checkpointSidecar,
    storeDescription, ndjson, sqlScript, hints,
  ]
}

/// All demands are turned into their opposite: to see that the seeds get as far as one.
private let isPlanted = getenv("SLUICE_FUZZ_PLANT") != nil

/// Ends the process where `condition` does not hold: to the fuzzer a crash.
func demand(
  _ condition: @autoclosure () throws -> Bool, _ what: @autoclosure () -> String,
  file: StaticString = #fileID, line: UInt = #line
) {
  let holds: Bool
  do { holds = try condition() } catch { broken("\(what()): \(error)", file: file, line: line) }
  if holds == isPlanted { broken(what(), file: file, line: line) }
}

/// What must not fail, since a decoder has just accepted what it is about.
func must<R>(
  _ what: String, file: StaticString = #fileID, line: UInt = #line, _ body: () throws -> R
) -> R {
  do { return try body() } catch { broken("\(what): \(error)", file: file, line: line) }
}

func broken(_ what: String, file: StaticString = #fileID, line: UInt = #line) -> Never {
  fatalError(what, file: file, line: line)
}

/// What a file or a frame says is checked before it is believed; `StoreError` and `DecodingError` are
/// the ways to refuse it.
func refusable(_ body: () throws -> Void) {
  do { try body() } catch is StoreError {} catch is DecodingError {} catch {
    broken("refused with \(error), which is no StoreError and no DecodingError")
  }
}
