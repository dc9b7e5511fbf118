import SluiceJournal
import SluiceShared
import Testing

@Suite("A checkpoint is a database and its page checksums; either file alone is none")
struct CheckpointListingTests {
  private let listing = CheckpointListing([
    StoreLayout.checkpointName(TxID(30)), StoreLayout.sidecarName(TxID(30)),
    StoreLayout.sidecarName(TxID(10)), StoreLayout.checkpointName(TxID(10)),
    StoreLayout.checkpointName(TxID(20)), StoreLayout.sidecarName(TxID(40)),
    StoreLayout.temporaryName(StoreLayout.checkpointName(TxID(40)), 7), "30.sqlite", "notes",
  ])

  @Test func halvesAreToldApart() {
    #expect(listing.whole == [TxID(10), TxID(30)])
    #expect(listing.databasesAlone == [TxID(20)] && listing.sidecarsAlone == [TxID(40)])
    #expect(listing.unfinished == [TxID(40)])
    #expect(listing.databases == [TxID(10), TxID(20), TxID(30)])
  }

  @Test func theNewestIsOfNoBatchBehindTheLast() {
    #expect(listing.newest(upTo: TxID(9)) == nil)
    #expect(listing.newest(upTo: TxID(29)) == TxID(10))
    #expect(listing.newest(upTo: TxID(30)) == TxID(30))
    #expect(listing.newest(upTo: TxID(50)) == TxID(30))
  }
}
