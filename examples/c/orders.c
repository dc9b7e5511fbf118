/* A store, written and read in C:

       cc -o orders orders.c -lsluice -lsqlite3
       ./orders /mnt/efs/orders

   It submits two batches, waits for what becomes of them, reads, and counts something up in an interactive
   transaction. Where nobody applies batches it has that done, by the command `sluice` in PATH. */
#include <sqlite3.h>

#include <sluice.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what, int code) {
  fprintf(stderr, "%s: %s: %s\n", what, sluice_code_name(code), sluice_error());
  exit(1);
}

static void check(const char *what, int code) {
  if (code != SLUICE_OK) fail(what, code);
}

/* Waits for an outcome. Where none comes, perhaps nobody leads: then this process sees to it. */
static sluice_outcome *outcome_of(sluice_receipt *receipt, const char *store) {
  sluice_outcome *outcome;
  int code = sluice_wait(receipt, 2000, &outcome);
  if (code == SLUICE_TIMEOUT) {
    check("apply", sluice_apply(store, NULL, 30000));
    code = sluice_wait(receipt, 30000, &outcome);
  }
  check("wait", code);
  return outcome;
}

static void submit(sluice_writer *writer, const char *store, const sluice_batch *batch) {
  sluice_receipt *receipt;
  check("submit", sluice_submit(writer, batch, &receipt));
  /* From here on no crash loses the batch. */
  sluice_outcome *outcome = outcome_of(receipt, store);
  const char *error = sluice_outcome_error(outcome);
  if (error) {
    printf("rejected: %s: %s\n", error, sluice_outcome_message(outcome));
  } else {
    printf("applied: %lld changes\n", (long long)sluice_outcome_changes(outcome));
  }
  sluice_outcome_free(outcome);
  sluice_receipt_free(receipt);
}

static void write_batches(const char *store) {
  sluice_writer *writer;
  check("open the writer", sluice_writer_open(store, &writer));

  sluice_batch *schema;
  check("make a batch", sluice_batch_new(&schema));
  check("add", sluice_batch_add(schema, "CREATE TABLE IF NOT EXISTS item(name TEXT UNIQUE, stock INTEGER)", NULL, 0));
  submit(writer, store, schema);
  sluice_batch_free(schema);

  sluice_value values[2] = {{.type = SLUICE_TEXT, .bytes = "bolt", .length = strlen("bolt")},
                            {.type = SLUICE_INTEGER, .integer = 100}};
  sluice_batch *stock;
  check("make a batch", sluice_batch_new(&stock));
  check("name it", sluice_batch_key(stock, "bolts-1"));
  check("add", sluice_batch_add(stock, "INSERT INTO item VALUES (?, ?)", values, 2));
  submit(writer, store, stock);
  /* The same again is a duplicate, and told what became of the first. */
  submit(writer, store, stock);
  sluice_batch_free(stock);

  sluice_writer_close(writer);
}

/* Run again where somebody else has committed meanwhile. */
static void count_up(const char *store) {
  sqlite3 *connection;
  if (sluice_open(store, NULL, SQLITE_OPEN_READWRITE, &connection) != SQLITE_OK) fail("open", SLUICE_FAILED);
  int code;
  do {
    code = sqlite3_exec(connection, "BEGIN IMMEDIATE; UPDATE item SET stock = stock + 1; COMMIT", NULL, NULL, NULL);
    if (!sqlite3_get_autocommit(connection)) sqlite3_exec(connection, "ROLLBACK", NULL, NULL, NULL);
  } while (sqlite3_extended_errcode(connection) == SQLITE_BUSY_SNAPSHOT);
  if (code != SQLITE_OK) fprintf(stderr, "count up: %s: %s\n", sqlite3_errmsg(connection), sluice_error());
  sqlite3_close(connection);
}

static void read_items(const char *store) {
  sqlite3 *connection;
  sqlite3_stmt *query;
  if (sluice_open(store, NULL, SQLITE_OPEN_READONLY, &connection) != SQLITE_OK) fail("open", SLUICE_FAILED);
  if (sqlite3_prepare_v2(connection, "SELECT name, stock FROM item", -1, &query, NULL) != SQLITE_OK)
    fail("prepare", SLUICE_FAILED);
  while (sqlite3_step(query) == SQLITE_ROW)
    printf("%s %d\n", (const char *)sqlite3_column_text(query, 0), sqlite3_column_int(query, 1));
  sqlite3_finalize(query);
  sqlite3_close(connection);
}

int main(int count, char **words) {
  if (count != 2) {
    fprintf(stderr, "usage: %s STORE\n", words[0]);
    return 64;
  }
  const char *store = words[1];
  write_batches(store);
  sluice_status status;
  check("status", sluice_store_status(store, &status, sizeof status));
  /* Transactions need somebody who grants the turn. */
  if (status.applier == SLUICE_APPLIER_ACTIVE) count_up(store);
  read_items(store);
  return 0;
}
