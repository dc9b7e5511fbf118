internal import CSluice
internal import CSystem
internal import SluiceShared

/// The result of a function that a program in C calls: a code, and the text for `sluice_error`.
func result(_ body: () throws(StoreError) -> Void) -> Int32 {
  do throws(StoreError) { try body() } catch {
    csystem_keep_text(error.description)
    return Int32(code(of: error.code))
  }
  return Int32(SLUICE_OK)
}

private func code(of code: StoreError.Code) -> Int {
  switch code {
  case .notSubmitted: SLUICE_NOT_SUBMITTED
  case .outcomeUnknown: SLUICE_OUTCOME_UNKNOWN
  case .backlogFull: SLUICE_BACKLOG_FULL
  case .timeout: SLUICE_TIMEOUT
  case .noSuchStore: SLUICE_NO_SUCH_STORE
  case .invalid: SLUICE_INVALID
  case .limit: SLUICE_LIMIT
  case .busy: SLUICE_BUSY
  case .io: SLUICE_IO
  case .damaged: SLUICE_DAMAGED
  case .foreign: SLUICE_FOREIGN
  case .unsupported: SLUICE_UNSUPPORTED
  default: SLUICE_FAILED
  }
}

/// By their codes, from 0.
private let names: [StaticString] = [
  "ok", "notSubmitted", "outcomeUnknown", "backlogFull", "timeout", "noSuchStore", "invalid",
  "limit",
  "busy", "io", "damaged", "foreign", "unsupported", "failed",
]

@c @implementation
public func sluice_code_name(_ code: Int32) -> UnsafePointer<CChar>? {
  let name = names.indices.contains(Int(code)) ? names[Int(code)] : "failed"
  return UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)
}
