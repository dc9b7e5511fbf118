public import CSluice
internal import SluiceJournal
internal import SluiceReader
internal import SluiceShared

@c @implementation
public func sluice_store_status(
  _ store: UnsafePointer<CChar>?, _ status: UnsafeMutablePointer<sluice_status>?, _ size: Int
) -> Int32 {
  result { () throws(StoreError) in
    guard let status, size > 0 else {
      throw StoreError(.invalid, "there is no room for the status; pass sizeof(sluice_status)")
    }
    let environment = Environment.withoutThreads
    let layout = StoreLayout(try text(store, "the store's path"))
    let present = try Log(of: StoreHandle(at: layout, environment)).present()
    var read = sluice_status(present, now_ms: environment.clock.wallTime_ms())
    let room = UnsafeMutableRawBufferPointer(start: status, count: size)
    room.initializeMemory(as: UInt8.self, repeating: 0)
    withUnsafeBytes(of: &read) {
      room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0.prefix(size)))
    }
  }
}

extension sluice_status {
  fileprivate init(_ present: Log.Present, now_ms: Int64) {
    let (beacon, header) = (present.beacon, present.segment.header)
    self.init()
    txid = beacon.extent.txid.rawValue
    committed_ms = beacon.extent.time_ms
    beat_age_ms = max(0, now_ms - beacon.time_ms)
    term = header.term
    let state =
      switch beacon.state {
      // Segment 1 is `init`'s.
      case .released: header.number == 1 ? SLUICE_APPLIER_NONE : SLUICE_APPLIER_RELEASED
      case .active:
        beat_age_ms > beacon.status.longestSilence_ms
          ? SLUICE_APPLIER_SILENT : SLUICE_APPLIER_ACTIVE
      }
    applier = Int32(state)
    let stated = beacon.status
    backlog_batches = stated.backlogBatches
    backlog_bytes = stated.backlogBytes
    backlog_oldest_ms = stated.oldest_ms
    (rejected, missing) = (stated.rejected, stated.missing)
    (quarantined, ignored) = (UInt64(stated.quarantined), stated.ignored)
  }
}

@c @implementation
public func sluice_uri(
  _ store: UnsafePointer<CChar>?, _ parameters: UnsafePointer<CChar>?,
  _ uri: UnsafeMutablePointer<CChar>?, _ room: Int
) -> Int32 {
  result { () throws(StoreError) in
    var made = ReadVFS.uri(StoreLayout(try text(store, "the store's path")).root)
    if parameters != nil { made += "&" + (try text(parameters, "the text of parameters")) }
    let bytes = made.utf8CString
    guard let uri, bytes.count <= room else {
      throw StoreError(.limit, "the URI needs \(bytes.count) bytes, and there is room for \(room)")
    }
    for (i, byte) in bytes.enumerated() { uri[i] = byte }
  }
}

@c @implementation
public func sluice_apply(
  _ store: UnsafePointer<CChar>?, _ command: UnsafePointer<CChar>?, _ timeout_ms: Int64
) -> Int32 {
  result { () throws(StoreError) in
    let path = try text(store, "the store's path")
    let program = command == nil ? "sluice" : try text(command, "the command's path")
    guard timeout_ms >= 0 else { throw StoreError(.invalid, "a timeout of \(timeout_ms) ms") }
    try DrainingApplier(store: path, program: program)
      .finish(within: .milliseconds(min(timeout_ms, Limits.longestWait_ms)))
  }
}
