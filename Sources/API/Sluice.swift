/// All that a program imports: `import Sluice` has the API of each module below.
@_exported public import SluiceApplier
@_exported public import SluiceJournal
@_exported public import SluiceLambda
@_exported public import SluiceMetrics
@_exported public import SluiceQuery
@_exported public import SluiceReader
@_exported public import SluiceShared
@_exported public import SluiceWriter

@_exported public import class SluiceSQLite.LoadableExtension
