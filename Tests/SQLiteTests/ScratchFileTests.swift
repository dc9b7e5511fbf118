import SluiceSQLite
import SluiceShared
import SluiceVFS
import Testing

@Suite("Scratch files: in memory while they are small, and together within a bound")
struct ScratchFileTests {
  private func file(_ budget: ScratchFile.Budget) -> ScratchFile {
    ScratchFile(PosixFileSystem(), budget, memoryLimit: 1000)
  }

  private func write(_ count: Int, at offset: Int64, _ file: ScratchFile) throws {
    let bytes = [UInt8](repeating: 7, count: count)
    try bytes.withUnsafeBytes { try file.write($0, at: offset) }
  }

  private func read(_ count: Int, _ file: ScratchFile) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { try file.read(into: $0, at: 0) }
    return bytes
  }

  @Test func manySmallOnesShareTheMemory() throws {
    let budget = ScratchFile.Budget(limit: 100_000, memoryLimit: 2500)
    let files = (0..<10).map { _ in file(budget) }
    for offset in stride(from: 0, to: 900, by: 100) {
      for file in files {
        try write(100, at: Int64(offset), file)
        #expect(budget.inMemory <= 2500)
      }
    }
    #expect(budget.used == 9000)
    for file in files { #expect(try read(900, file) == [UInt8](repeating: 7, count: 900)) }
  }

  @Test func memoryIsGivenBack() throws {
    let budget = ScratchFile.Budget(limit: 100_000, memoryLimit: 2500)
    do {
      let small = file(budget)
      try write(900, at: 0, small)
      #expect(budget.inMemory == 900)
      try small.truncate(to: 400)
      #expect(budget.inMemory == 400)
      try write(1100, at: 0, small)
      #expect(budget.inMemory == 0)
      try small.truncate(to: 0)
      try write(300, at: 0, small)
      #expect(budget.inMemory == 300 && budget.used == 300)
    }
    #expect(budget.inMemory == 0 && budget.used == 0)
  }
}
