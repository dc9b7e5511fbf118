/* Sluice's C API: a store, written and read by a program in C. A program needs this header and libsluice.so:

       cc -o orders orders.c -lsluice -lsqlite3

   libsluice.so contains no SQLite and links none. Writing does not need one. To read, include <sqlite3.h> before
   this header: `sluice_open` then opens a store with the SQLite that the program itself is linked with, whether
   that is shared or static, and everything else is SQLite's own API.

   Results. A function that returns `int` returns SLUICE_OK or another of the codes below. `sluice_error` then says
   what is wrong and what to do.

   Memory. What a function hands out through its last parameter belongs to the caller, who ends it with the function
   named for it. It is set to NULL where the call fails, unless something else is said. Functions that end things
   accept NULL. Pointers that a function returns belong to the object that it was asked of, and last as long.

   Texts end with a zero byte and are UTF-8; all else is refused as SLUICE_INVALID. Times are in milliseconds.

   Threads. Any number of threads may use one writer and its receipts at the same time; their submits share the
   requests to the file server. A batch or an outcome is for one thread at a time. The library makes no threads.

   fork(). A child opens writers of its own. Those that it inherited, and their receipts, are refused there as
   SLUICE_INVALID, and may be ended. Fork while no other thread is in this library. */
#ifndef SLUICE_H
#define SLUICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Results ---------------------------------------------------------------------------------------------- */

enum {
  SLUICE_OK = 0,
  /* The batch is certainly not in the journal. It can be submitted again. */
  SLUICE_NOT_SUBMITTED = 1,
  /* The batch may or may not be in the journal. Submitted again under the same key it is done once. */
  SLUICE_OUTCOME_UNKNOWN = 2,
  /* Too much of this writer's is not applied yet, for 30 s. The batch is not in the journal. */
  SLUICE_BACKLOG_FULL = 3,
  /* What was waited for did not come in time. A batch that was submitted stays durable. */
  SLUICE_TIMEOUT = 4,
  /* There is no store at the path. */
  SLUICE_NO_SUCH_STORE = 5,
  /* An argument that cannot be meant. */
  SLUICE_INVALID = 6,
  /* Over one of Sluice's limits, which the text names. */
  SLUICE_LIMIT = 7,
  /* Others hold it. The same may work later. */
  SLUICE_BUSY = 8,
  /* The file system refused. */
  SLUICE_IO = 9,
  /* Something acknowledged cannot be read as it was written. */
  SLUICE_DAMAGED = 10,
  /* A file that belongs to another store, or is none of Sluice's. */
  SLUICE_FOREIGN = 11,
  /* Written by a newer version of Sluice. */
  SLUICE_UNSUPPORTED = 12,
  /* All else. */
  SLUICE_FAILED = 13
};

/* The code's name, as the command and the other languages have it ("notSubmitted"). */
const char *sluice_code_name(int code);

/* The reason of this thread's last failed call, SQLite's calls on stores included. An empty text where none has failed.
   Valid until the next call in this thread. */
const char *sluice_error(void);

/* ---- Values ----------------------------------------------------------------------------------------------- */

enum { SLUICE_NULL = 0, SLUICE_INTEGER = 1, SLUICE_REAL = 2, SLUICE_TEXT = 3, SLUICE_BLOB = 4 };

/* A value as SQLite has it. Of the members behind `type` those count that the type names. */
typedef struct sluice_value {
  int type;
  int64_t integer;
  double real;
  /* Of a text or a blob. A text has no zero byte at its end. */
  const void *bytes;
  size_t length;
} sluice_value;

/* ---- Batches ---------------------------------------------------------------------------------------------- */

/* Statements that are executed all together or not at all. Ended by `sluice_batch_free`. */
typedef struct sluice_batch sluice_batch;

/* An empty batch. */
int sluice_batch_new(sluice_batch **batch);

/* The batch in `length` bytes of JSON, as a line of `sluice submit --ndjson` has it. */
int sluice_batch_parse(const char *json, size_t length, sluice_batch **batch);

/* Adds a statement, to be executed once with `count` values as its parameters. They are copied. */
int sluice_batch_add(sluice_batch *batch, const char *sql, const sluice_value *values, size_t count);

/* Adds a query that must return exactly one true value, else the batch is rejected (`guardFailed`). Guards are
   executed before all statements, in the same transaction. */
int sluice_batch_guard(sluice_batch *batch, const char *sql, const sluice_value *values, size_t count);

/* Names the batch: within 24 hours it is applied once, however often it is submitted. 1 to 512 bytes. */
int sluice_batch_key(sluice_batch *batch, const char *key);

/* Has the outcome hold the rows that the statements return, up to 1 MiB of them. */
int sluice_batch_rows(sluice_batch *batch);

void sluice_batch_free(sluice_batch *batch);

/* ---- Writing ---------------------------------------------------------------------------------------------- */

/* A process's handle on a store's journal. Ended by `sluice_writer_close`. */
typedef struct sluice_writer sluice_writer;

/* Opens the store at a path. Nothing is written yet. */
int sluice_writer_open(const char *store, sluice_writer **writer);

/* Ends this writer's part of the journal. What was submitted stays durable. Receipts stay valid. No other thread may
   be in a call with the writer. */
void sluice_writer_close(sluice_writer *writer);

/* What to ask for the outcome of a batch with. Ended by `sluice_receipt_free`. */
typedef struct sluice_receipt sluice_receipt;

/* Makes a batch durable: when this returns SLUICE_OK no crash of any process or host loses it, and it will be
   executed exactly once, behind the batches that this writer submitted before. The batch can be used again.

   `receipt` may be NULL. It is set with SLUICE_OUTCOME_UNKNOWN, too: the outcome, where one comes, says that the
   batch was there. */
int sluice_submit(sluice_writer *writer, const sluice_batch *batch, sluice_receipt **receipt);

void sluice_receipt_free(sluice_receipt *receipt);

/* What became of a batch. Ended by `sluice_outcome_free`. */
typedef struct sluice_outcome sluice_outcome;

/* Waits until a batch has an outcome, for `timeout_ms` at most, and without end where that is negative. A receipt
   can be asked any number of times. A receipt of SLUICE_OUTCOME_UNKNOWN needs a timeout, else SLUICE_INVALID. A
   rejected batch is an outcome, and SLUICE_OK. */
int sluice_wait(sluice_receipt *receipt, int64_t timeout_ms, sluice_outcome **outcome);

enum {
  /* It was executed. */
  SLUICE_APPLIED = 1,
  /* It was executed and nothing of it was done: see `sluice_outcome_error`. */
  SLUICE_REJECTED = 2,
  /* It was not executed: its key was used before, and all else is of the first batch with that key. */
  SLUICE_DUPLICATE = 3
};
int sluice_outcome_status(const sluice_outcome *outcome);

/* The batch's place in the order of all batches, from 1. */
uint64_t sluice_outcome_txid(const sluice_outcome *outcome);

/* Rows inserted, changed or deleted, by triggers, too. */
int64_t sluice_outcome_changes(const sluice_outcome *outcome);

/* The last rowid inserted; 0 where none was. */
int64_t sluice_outcome_last_rowid(const sluice_outcome *outcome);

/* Why nothing was done: SQLite's name (SQLITE_CONSTRAINT_UNIQUE), or one such as guardFailed. NULL where the batch
   was applied. */
const char *sluice_outcome_error(const sluice_outcome *outcome);

/* The same as a sentence; NULL where the batch was applied. */
const char *sluice_outcome_message(const sluice_outcome *outcome);

/* How many rows the statements returned, where the batch asked for them, and how many values one has. Rows and
   columns count from 0; a row that is not there has no columns. */
size_t sluice_outcome_rows(const sluice_outcome *outcome);
size_t sluice_outcome_columns(const sluice_outcome *outcome, size_t row);

/* One value of these rows. A text or a blob lasts as long as the outcome. */
int sluice_outcome_value(const sluice_outcome *outcome, size_t row, size_t column, sluice_value *value);

/* All of it, as `sluice submit --json` prints it. */
const char *sluice_outcome_json(const sluice_outcome *outcome);

/* The outcome in JSON as the function before has it. `PRAGMA sluice_outcome('KEY')` answers so, on a connection to
   the store: what became of the first batch with a key. */
int sluice_outcome_parse(const char *json, size_t length, sluice_outcome **outcome);

void sluice_outcome_free(sluice_outcome *outcome);

/* ---- The store -------------------------------------------------------------------------------------------- */

enum {
  /* No applier has led yet. */
  SLUICE_APPLIER_NONE = 0,
  SLUICE_APPLIER_ACTIVE = 1,
  /* The last one has given the lease back. */
  SLUICE_APPLIER_RELEASED = 2,
  /* The last one has not been heard of for more than 10 s, or for two and a half times the pause that it announced,
     if that is longer. */
  SLUICE_APPLIER_SILENT = 3
};

/* What the applier said last. `sluice status` counts for itself where none is active, and tells more. */
typedef struct sluice_status {
  /* The last batch in the history, and when its commit was (Unix milliseconds). */
  uint64_t txid;
  int64_t committed_ms;
  /* SLUICE_APPLIER_…; how long ago it was heard of, by this host's clock and its own. */
  int applier;
  int64_t beat_age_ms;
  uint64_t term;
  /* What was in the journal and not applied yet, and for how long the oldest had waited. */
  uint64_t backlog_batches;
  uint64_t backlog_bytes;
  uint64_t backlog_oldest_ms;
  /* Batches rejected since the store was made, and those found missing. */
  uint64_t rejected;
  uint64_t missing;
  /* Journal segments in quarantine, and files in the journal that are not read. */
  uint64_t quarantined;
  uint64_t ignored;
} sluice_status;

/* Fills in `size` bytes, which is `sizeof(sluice_status)`: a later version with more members fills in those that
   the program knows. Reads the store, and writes nothing. */
int sluice_store_status(const char *store, sluice_status *status, size_t size);

/* Has batches applied where nobody does: starts the command, as `sluice apply --drain STORE`, and waits until it has
   taken the lease, applied all there is and given the lease back. A transaction that waits for its turn gets it, and
   its pages are waited for. For `timeout_ms` at most; it is then told to end in order, which is waited for.

   `command` is the path of `sluice`, or NULL to look for it in PATH. SQL of others is executed in the command's
   processes, never in this one. This process's user needs an applier's rights. A connection that is opened with the
   parameter "assist=1" does the same for its own transactions; its command is what SLUICE_COMMAND in the environment
   names, or the one in PATH.

   Where another applier leads, it waits until that one has applied what was durable when it was called.

   SLUICE_TIMEOUT: not within the time; perhaps another applier leads. SLUICE_FAILED: the text has the
   command's own words. */
int sluice_apply(const char *store, const char *command, int64_t timeout_ms);

/* ---- Reading, and transactions ---------------------------------------------------------------------------- */

/* Writes the URI by which SQLite opens a store into `room` bytes at `uri`. `parameters` are those of README.md,
   joined with `&` ("max_staleness_ms=100"); NULL: none. SLUICE_LIMIT where the room is not enough. */
int sluice_uri(const char *store, const char *parameters, char *uri, size_t room);

/* For `sqlite3_load_extension`, and for `sqlite3_auto_extension`: by either of them a SQLite library gets to know
   vfs=sluice, for as long as the process lives. The arguments are SQLite's. */
struct sqlite3;
int sqlite3_sluice_init(struct sqlite3 *connection, char **message, const void *routines);
int sqlite3_sluice_auto_init(struct sqlite3 *connection, char **message, const void *routines);

#ifdef SQLITE_VERSION

/* Opens a store as a connection of the program's own SQLite. `flags` are SQLITE_OPEN_READONLY, or
   SQLITE_OPEN_READWRITE for interactive transactions, and more of sqlite3_open_v2's. Returns SQLite's code.
   `sluice_error` says more. The connection is closed with sqlite3_close, also where this fails. */
static inline int sluice_open(const char *store, const char *parameters, int flags, sqlite3 **connection) {
  char uri[8192];
  *connection = NULL;
  if (sluice_uri(store, parameters, uri, sizeof uri) != SLUICE_OK) return SQLITE_CANTOPEN;
  if (!sqlite3_vfs_find("sluice")) {
    void (*entry)(void) = (void (*)(void))sqlite3_sluice_auto_init;
    sqlite3 *first = NULL;
    int code = sqlite3_auto_extension(entry);
    if (code == SQLITE_OK) code = sqlite3_open_v2(":memory:", &first, SQLITE_OPEN_READWRITE, NULL);
    sqlite3_close(first);
    sqlite3_cancel_auto_extension(entry);
    if (code != SQLITE_OK) return code;
  }
  return sqlite3_open_v2(uri, connection, flags | SQLITE_OPEN_URI, NULL);
}

#endif

#ifdef __cplusplus
}
#endif

#endif
