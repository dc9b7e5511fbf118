import SluiceFakes
import SluiceShared
import Testing

@Suite struct SimulatedNFSTests {
  @Test func aDiskIsCopied() {
    let disk = MemoryDisk()
    MemoryFileSystem(disk).makeDirectories(["/s"])
    #expect(disk.copy().paths == ["/s"])
  }
}
