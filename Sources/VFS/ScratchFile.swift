internal import CSQLite
package import SluiceShared

/// A rollback journal or temporary file of SQLite: in memory while it is small, then an unlinked
/// file on the local disk. It outlives nothing, so its sync does nothing.
package final class ScratchFile: VirtualFile {
  /// Bytes that a group of scratch files share; what would go over it fails with SQLITE_FULL.
  package final class Budget {
    package let limit: Int64
    package fileprivate(set) var used: Int64 = 0
    /// Of these, bytes in memory: what would go over `memoryLimit` goes to the local disk.
    package fileprivate(set) var inMemory = 0
    package let memoryLimit: Int
    /// Bytes that the same group has on the local disk beside these files.
    package var elsewhere: () -> Int64 = { 0 }
    /// Which limit a write ran into, and what one met that failed because of the device.
    package var exhaustion: String?
    package var deviceError: StoreError?

    package init(limit: Int64, memoryLimit: Int = 32 << 20) {
      self.limit = limit
      self.memoryLimit = memoryLimit
    }

    /// What a write that failed is to SQLite: one that filled the disk with what its group has there ran
    /// into a limit, any other met a device at fault.
    fileprivate func failure(_ error: StoreError, _ fileSystem: any FileSystem) -> VFSFailure {
      if error.isFullDisk, fileSystem.isScratchDiskFilled(by: used + elsewhere(), error) {
        exhaustion = "it fills the scratch disk; split it, or give its process a larger TMPDIR"
      } else {
        deviceError = error
      }
      return VFSFailure(SQLITE_FULL)
    }
  }

  private let fileSystem: any FileSystem
  private let budget: Budget
  private var memory: [UInt8] = []
  private var file: (any File)?
  private var length: Int64 = 0
  private let memoryLimit: Int

  package init(_ fileSystem: any FileSystem, _ budget: Budget, memoryLimit: Int = 8 << 20) {
    self.fileSystem = fileSystem
    self.budget = budget
    self.memoryLimit = memoryLimit
  }

  deinit {
    budget.used -= length
    budget.inMemory -= memory.count
  }

  package func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64)
    throws(VFSFailure)
  {
    let count = Int(max(0, min(Int64(buffer.count), length - offset)))
    let wanted = UnsafeMutableRawBufferPointer(rebasing: buffer[0..<count])
    if count > 0 {
      if let file {
        do throws(StoreError) { _ = try file.read(into: wanted, at: offset) } catch {
          budget.deviceError = error
          throw .read
        }
      } else {
        memory.withUnsafeBytes {
          wanted.copyMemory(
            from: UnsafeRawBufferPointer(rebasing: $0[Int(offset)..<Int(offset) + count]))
        }
      }
    }
    guard count == buffer.count else {
      for i in count..<buffer.count { buffer[i] = 0 }
      throw .shortRead
    }
  }

  package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(VFSFailure) {
    let end = offset + Int64(bytes.count)
    if end > length {
      guard budget.used + end - length <= budget.limit else {
        budget.exhaustion =
          "its scratch files take at most \(budget.limit) bytes; split it"
        throw VFSFailure(SQLITE_FULL)
      }
    }
    if file == nil, end > Int64(mostInMemory) { try moveToDisk() }
    if let file {
      do throws(StoreError) { try file.write(bytes, at: offset) } catch {
        throw budget.failure(error, fileSystem)
      }
    } else {
      if end > Int64(memory.count) {
        // No `repeatElement`, which takes a thousand times as long in a debug build.
        let added = Int(end) - memory.count
        budget.inMemory += added
        memory.append(contentsOf: [UInt8](repeating: 0, count: added))
      }
      memory.withUnsafeMutableBytes {
        UnsafeMutableRawBufferPointer(rebasing: $0[Int(offset)..<Int(end)]).copyMemory(from: bytes)
      }
    }
    if end > length {
      budget.used += end - length
      length = end
    }
  }

  private var mostInMemory: Int {
    min(memoryLimit, memory.count + budget.memoryLimit - budget.inMemory)
  }

  private func moveToDisk() throws(VFSFailure) {
    do throws(StoreError) {
      let file = try fileSystem.scratchFile()
      try file.write(memory, at: 0)
      self.file = file
      budget.inMemory -= memory.count
      memory = []
    } catch {
      throw budget.failure(error, fileSystem)
    }
  }

  package func truncate(to size: Int64) throws(VFSFailure) {
    guard size < length else { return }
    budget.used -= length - size
    length = size
    // A rollback journal is emptied at each commit: back into memory.
    if size == 0 { file = nil }
    if let file {
      do throws(StoreError) { try file.resize(to: size) } catch {
        budget.deviceError = error
        throw .truncate
      }
    } else if memory.count > Int(size) {
      budget.inMemory -= memory.count - Int(size)
      memory.removeLast(memory.count - Int(size))
    }
  }

  package func size() throws(VFSFailure) -> Int64 { length }

  /// Undo of what was written since does not matter: power loss ends the process that needs it.
  package var characteristics: Int32 { SQLITE_IOCAP_POWERSAFE_OVERWRITE | SQLITE_IOCAP_SAFE_APPEND }
}

extension FileSystem {
  /// Whether a full scratch disk was filled by who has `used` bytes there.
  ///
  /// The rejection of a batch is for good, so it must be the batch's own fault. The disk is shared: with other
  /// stores' appliers, other programs, what somebody forgot in `/tmp`. Whoever has an eighth of it asks for much,
  /// and must not keep all others waiting because the rest of it is in use for good. Whoever has less would have
  /// had room, were it not for the others: the batch stays where it is, the applier ends and says which disk
  /// is full, and it or another one executes the batch when there is room. A quota is for this user alone, and
  /// no part of the disk.
  package func isScratchDiskFilled(by used: Int64, _ error: StoreError) -> Bool {
    let share = error.isOverQuota ? 0 : (scratchDiskBytes ?? 0) / Limits.partsOfScratchDisk
    return used >= max(Limits.leastScratchBytes, share)
  }
}
