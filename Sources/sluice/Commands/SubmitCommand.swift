import ArgumentParser
import SluiceJournal
import SluiceSQLite
import SluiceShared

struct SubmitCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "submit",
    abstract: "Submit batches of SQL and wait until they are applied.",
    discussion: """
      A batch is done as a whole or not at all. It is durable before anything else happens: a \
      time-out (exit code 69) or an interrupt does not take it back, so give it a key with --id if \
      you may have to submit it again; a key is applied once within 24 hours.

        sluice submit STORE "INSERT INTO item(name) VALUES (?)" bolt
        sluice submit STORE "DELETE FROM item WHERE id = ? RETURNING *" 7 --results
        sluice submit STORE "UPDATE stock SET n = n - 1" --id order-4711
        sqlite3 old.sqlite .dump | sluice submit STORE --sql -
        sluice submit STORE --sql big.sql --split 10000 --id import-1
        sluice submit STORE --ndjson batches.ndjson --json

      PARAMETERS  5, -5 and 2.5e3 are numbers, as in JSON; everything else is text, also 007. Put -- \
      in front of texts that begin with a dash. Where a text looks like a number, and the column \
      does not make a text of it by its type, use --ndjson: there "5" is a text.

      NDJSON  Each line is a batch; only "statements" is required. A parameter is null, 1 (an \
      integer), 1.0 (a real), "text" or {"base64": "…"}:

        {"id": "order-4711",
         "statements": [["INSERT INTO t VALUES (?,?)", [1, "a"]],
                        ["UPDATE n SET n = n + 1"],
                        {"sql": "INSERT INTO t VALUES (?,?)",
                         "rows": [[2, "b"], [3, "c"]]}],
         "guards": [["SELECT count(*) = 0 FROM t WHERE id = ?", [1]]],
         "results": true}

      (all of it on one line). A guard that does not return exactly one true value rejects its batch. \
      With "unlisted": true a rejection is told here only, and not listed by `sluice rejected`. Many lines are in \
      flight at once; they are applied, and reported, in the order of the input.

      SCRIPTS  --sql takes what the sqlite3 shell reads, in UTF-8 or UTF-16. BEGIN and COMMIT are left \
      out, PRAGMA foreign_keys holds for what stands behind it, settings of a connection do nothing. \
      With --split the batches belong together: each is submitted when the one before it is applied, \
      foreign keys are judged at the end of the last, and after a rejection it stops, says what is \
      done and how to go on. With --id that is to run the same command again within 24 hours.

      --assist  Where nobody leads, this process applies what waits, its own batches and others', for as \
      long as it waits and a moment more, then gives the lease back. It needs an applier's rights.

      OUTPUT  A line for each batch, in order. With --json an object, what does not apply left out:

        {"status": "durable"|"applied"|"rejected"|"duplicate",
         "txid": 12, "changes": 1, "lastRowID": 7, "rows": [[…]],
         "id": "key", "error": {"code": "…", "message": "…",
                                "input": "big.sql", "line": 11, "statement": "INSERT …"}}

      A duplicate has the txid and the rest of the first batch with its key.
      """)

  enum Wait: String, CaseIterable, ExpressibleByArgument { case applied, durable }

  @OptionGroup var place: StoreArgument

  @Argument(help: "The batch's SQL: one statement, or several without parameters.")
  var sql: String?

  @Argument(help: "The parameters of the SQL's one statement.")
  var parameters: [Parameter] = []

  @Option(
    help: ArgumentHelp(
      "Batches from a file, - for standard input; a line each.", valueName: "FILE|-"),
    completion: .file())
  var ndjson: String?

  @Option(
    name: .customLong("sql"),
    help: ArgumentHelp(
      "An SQL script from a file, - for standard input, as one batch.", valueName: "FILE|-"),
    completion: .file())
  var script: String?

  @Option(
    help: ArgumentHelp(
      "With --sql: make a batch of every N statements, or 16 MiB; their keys are KEY/1, KEY/2 ….",
      valueName: "N"))
  var split: Int?

  @Option(
    help: ArgumentHelp(
      "With --split: leave out the first N batches, which were applied before.", valueName: "N"))
  var skip: Int?

  @Flag(help: "With --split: do not stop where a batch is rejected; many are in flight at once.")
  var keepGoing = false

  @Option(
    help: ArgumentHelp(
      "The batch's idempotency key; it is applied once in 24 hours, however often it is submitted.",
      valueName: "KEY"))
  var id: String?

  @Option(help: "Wait until a batch is applied, or only until it is durable.")
  var wait = Wait.applied

  @Option(
    help: ArgumentHelp("How long to wait for the outcome of a batch, in seconds.", valueName: "S"))
  var timeout = Seconds(30)

  @Flag(help: "Where no applier leads, apply batches here; needs an applier's rights.")
  var assist = false

  @Option(
    help: ArgumentHelp(
      "With --assist: how long a leader may be silent, in seconds, as `sluice apply --ttl` has it.",
      valueName: "S"))
  var ttl: Seconds?

  @Flag(help: "Print the rows that the SQL returns, up to 1 MiB (not with --ndjson, --sql).")
  var results = false

  @Flag(help: "Print a JSON object for each batch.")
  var json = false

  func validate() throws {
    try Path.check(ndjson, "--ndjson")
    try Path.check(script, "--sql")
    guard [sql, ndjson, script].count(where: { $0 != nil }) == 1 else {
      throw ValidationError("give one of SQL, --ndjson FILE and --sql FILE")
    }
    if split != nil, script == nil { throw ValidationError("--split goes with --sql FILE") }
    if skip != nil || keepGoing, split == nil {
      throw ValidationError("--skip and --keep-going go with --split N")
    }
    if let skip, skip < 0 { throw ValidationError("--skip leaves out 0 batches or more") }
    if skip != nil, keepGoing || wait == .durable {
      throw ValidationError("--skip goes with neither --keep-going nor --wait durable")
    }
    if id != nil, ndjson != nil {
      throw ValidationError("with --ndjson each line has its own \"id\"; leave out --id")
    }
    if results, sql == nil {
      throw ValidationError("--results goes with SQL; in --ndjson say \"results\": true")
    }
    if results, wait == .durable {
      throw ValidationError("--results cannot be had with --wait durable")
    }
    if assist, wait == .durable {
      throw ValidationError("--assist is for who waits for outcomes; leave out --wait durable")
    }
    if ttl != nil, !assist { throw ValidationError("--ttl goes with --assist") }
    if let ttl { try ApplyCommand.check(ttl: ttl) }
  }

  func run() throws {
    let submission = Submission(
      store: place.store, waitsForOutcome: wait == .applied, timeout: timeout,
      assistance: assist
        ? SubmitAssistance(store: place.store, ttl: ttl?.duration ?? .seconds(10)) : nil)
    defer { submission.assistance?.finish() }
    var printer = ReportPrinter(json: json)
    if let sql {
      let input = InputBatch(
        batch: try batch(sql), input: "the SQL", line: 1, isFromFile: false)
      try submission.submitOnce(input, &printer)
    } else if let script {
      try submit(script: script, submission, &printer)
    } else if let ndjson {
      try submission.submitAll(NDJSONReader(InputFile(ndjson)), &printer)
    }
    if printer.count == 0 {
      Sluice.warn("there is no batch in \(inputName); nothing was submitted")
    }
    if printer.sawRejection { throw ExitCode.batchRejected }
  }

  private var inputName: String {
    let path = script ?? ndjson ?? "the SQL"
    return path == "-" ? InputFile.standardInput : path
  }

  private func submit(script: String, _ submission: Submission, _ printer: inout ReportPrinter)
    throws
  {
    let command = "sluice submit \(place.store.quotedForShell) --sql \(script.quotedForShell)"
    let given = id.map { " --id \($0.quotedForShell)" } ?? ""
    var reader = try SQLScriptReader(
      InputFile(script), key: id, statementsPerBatch: split, command: command + given)
    guard let split else {
      if let input = try reader.next() { try submission.submitOnce(input, &printer) }
      return
    }
    guard wait == .applied, !keepGoing else {
      return try submission.submitAll(reader, &printer)
    }
    let pieces = PieceSubmission(
      submission: submission, command: "\(command)\(given) --split \(split)", hasKey: id != nil,
      skipped: skip ?? 0)
    try pieces.submit(reader, &printer)
  }

  private func batch(_ sql: String) throws -> Batch {
    let statements: [ScriptStatement]
    do throws(SQLiteError) { statements = try ScriptSplitter.split(sql) } catch {
      throw ValidationError("the SQL: \(error.message)")
    }
    guard !statements.isEmpty else { throw ValidationError("there is no statement in the SQL") }
    guard statements.count == 1 || parameters.isEmpty else {
      throw ValidationError(
        "parameters belong to one statement, the SQL has \(statements.count); use --ndjson")
    }
    let values = parameters.map(\.value)
    return Batch(
      statements.map { Batch.Statement($0.text, values) }, key: id, wantsResults: results)
  }
}
