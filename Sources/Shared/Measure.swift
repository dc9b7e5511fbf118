package import CoreMetrics

/// What is measured, through swift-metrics: whoever runs a process says where it goes
/// (`MetricsSystem.bootstrap`) before a store is opened in it; otherwise it goes nowhere.
///
/// All have the dimension `store`, the store's directory, but for the file operations of a process.
package enum Measure: String, CaseIterable, Sendable {
  // What writers see.
  case submitSeconds = "sluice_submit_seconds"
  case submitFailures = "sluice_submit_failures_total"
  case flushBatches = "sluice_flush_batches"
  case flushBytes = "sluice_flush_bytes"
  // What readers see.
  case refreshSeconds = "sluice_refresh_seconds"
  case snapshots = "sluice_snapshots_total"
  // Who leads.
  case leading = "sluice_leading"
  case leaseAge = "sluice_lease_age_seconds"
  case terms = "sluice_terms_total"
  case lostTerms = "sluice_terms_lost_total"
  // What a leader has before it.
  case backlogBatches = "sluice_backlog_batches"
  case backlogBytes = "sluice_backlog_bytes"
  case oldestBatch = "sluice_oldest_batch_seconds"
  case journalWriters = "sluice_journal_writers"
  // What it did.
  case txid = "sluice_txid"
  case commitSeconds = "sluice_commit_seconds"
  case commitBatches = "sluice_commit_batches"
  case commitBytes = "sluice_commit_bytes"
  case rejected = "sluice_rejected_batches"
  case quarantined = "sluice_quarantined_segments"
  case ignored = "sluice_ignored_files"
  case missing = "sluice_missing_batches"
  case checkpoints = "sluice_checkpoints_total"
  case checkpointFailures = "sluice_checkpoint_failures_total"
  case hintsReceived = "sluice_hints_received"
  case hintsUseful = "sluice_hints_useful"
  case hintsSent = "sluice_hints_sent"
  // What it asked others.
  case fileOperations = "sluice_file_operations_total"
  case fileErrors = "sluice_file_errors_total"
  case lockRequests = "sluice_lock_table_requests_total"
  case lockFailures = "sluice_lock_table_failures_total"
  case lockSeconds = "sluice_lock_table_seconds"

  /// What it says, for people.
  package var help: String {
    switch self {
    case .submitSeconds: "From a submit until its batches are durable."
    case .submitFailures: "Submits that failed."
    case .flushBatches: "Batches in one write into the journal."
    case .flushBytes: "Bytes of the batches in one write into the journal, before compression."
    case .refreshSeconds: "Asking the file server what is published, and reading it."
    case .snapshots:
      "Snapshots handed out; source is cache (nothing was asked), shared (another's answer) or refresh."
    case .leading: "1 while this process leads the store, else 0."
    case .leaseAge:
      "For how long the beacon has been what it is: of a standby as it sees it, of a leader between two beats."
    case .terms: "Terms that this process began."
    case .lostTerms: "Of them those that another applier or an overdue lease ended."
    case .backlogBatches: "Batches that are durable and not applied."
    case .backlogBytes: "Their bytes."
    case .oldestBatch: "For how long the oldest of them has waited, at most."
    case .journalWriters: "Writers with files in the journal."
    case .txid: "The last batch that was published."
    case .commitSeconds: "Executing one group of batches and writing its commit."
    case .commitBatches: "Batches in one commit."
    case .commitBytes: "Bytes of one commit in the log."
    case .rejected: "Batches rejected since the store was made."
    case .quarantined: "Journal segments in quarantine."
    case .ignored: "Files in the journal that are ignored."
    case .missing: "Batches that were missing between others of their writer."
    case .checkpoints: "Checkpoints made."
    case .checkpointFailures: "Checkpoints that failed."
    case .hintsReceived: "Hints that this process received since it began."
    case .hintsUseful: "Looks into the journal for their sake that found something."
    case .hintsSent: "Hints that this process sent to who waits."
    case .fileOperations:
      "Operations on files and directories; one is one request to the file server or some."
    case .fileErrors: "Operations on files and directories that failed."
    case .lockRequests: "Requests to the table that elects the applier."
    case .lockFailures: "Of them those without an answer of use."
    case .lockSeconds: "From such a request to its answer."
    }
  }
}

extension Measure {
  package typealias Dimensions = [(String, String)]

  package func counter(_ dimensions: Dimensions) -> Counter {
    Counter(label: rawValue, dimensions: dimensions)
  }

  package func gauge(_ dimensions: Dimensions) -> Gauge {
    Gauge(label: rawValue, dimensions: dimensions)
  }

  /// For sizes, of which how they are distributed is of interest.
  package func sizes(_ dimensions: Dimensions) -> Recorder {
    Recorder(label: rawValue, dimensions: dimensions, aggregate: true)
  }

  package func timer(_ dimensions: Dimensions) -> Timer {
    Timer(label: rawValue, dimensions: dimensions)
  }
}

extension Timer {
  package func record(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    recordNanoseconds(
      seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue
        &+ attoseconds / 1_000_000_000)
  }
}
