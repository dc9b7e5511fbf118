// The C API from C, a case a run: `c_api CASE STORE COMMAND`. Silent and 0 where all is as it must be.
#define _GNU_SOURCE
#include <sqlite3.h>

#include <sluice.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *store, *command;

#define EXPECT(condition)                                                                              \
  do {                                                                                                 \
    if (!(condition)) {                                                                                \
      fprintf(stderr, "line %d: not so: %s (%s)\n", __LINE__, #condition, sluice_error());             \
      exit(1);                                                                                         \
    }                                                                                                  \
  } while (0)
#define SUCCEEDS(call) EXPECT((call) == SLUICE_OK)
// It fails so, and the text has these words.
#define FAILS(code, words, call) EXPECT((call) == (code) && strstr(sluice_error(), words))

static sluice_value integer(int64_t number) {
  sluice_value value = {.type = SLUICE_INTEGER, .integer = number};
  return value;
}

static sluice_value bytes(int type, const void *start, size_t length) {
  sluice_value value = {.type = type, .bytes = start, .length = length};
  return value;
}

static sluice_writer *opened(void) {
  sluice_writer *writer = NULL;
  SUCCEEDS(sluice_writer_open(store, &writer));
  return writer;
}

static sluice_batch *batch_of(const char *json) {
  sluice_batch *batch = NULL;
  SUCCEEDS(sluice_batch_parse(json, strlen(json), &batch));
  return batch;
}

static sluice_receipt *submitted(sluice_writer *writer, const char *json) {
  sluice_batch *batch = batch_of(json);
  sluice_receipt *receipt = NULL;
  SUCCEEDS(sluice_submit(writer, batch, &receipt));
  sluice_batch_free(batch);
  return receipt;
}

static sluice_outcome *outcome_of(sluice_writer *writer, const char *json) {
  sluice_receipt *receipt = submitted(writer, json);
  sluice_outcome *outcome = NULL;
  SUCCEEDS(sluice_wait(receipt, 30000, &outcome));
  sluice_receipt_free(receipt);
  return outcome;
}

static int64_t count(const char *parameters) {
  sqlite3 *connection = NULL;
  sqlite3_stmt *query = NULL;
  EXPECT(sluice_open(store, parameters, SQLITE_OPEN_READONLY, &connection) == SQLITE_OK);
  EXPECT(sqlite3_prepare_v2(connection, "SELECT count(*) FROM item", -1, &query, NULL) == SQLITE_OK);
  EXPECT(sqlite3_step(query) == SQLITE_ROW);
  int64_t rows = sqlite3_column_int64(query, 0);
  sqlite3_finalize(query);
  EXPECT(sqlite3_close(connection) == SQLITE_OK);
  return rows;
}

static void same_bytes(const sluice_value *value, int type, const void *start, size_t length) {
  EXPECT(value->type == type && value->length == length && memcmp(value->bytes, start, length) == 0);
}

// Every type of value goes there and comes back.
static void values(void) {
  sluice_writer *writer = opened();
  sluice_batch *batch = NULL;
  SUCCEEDS(sluice_batch_new(&batch));
  sluice_value sent[6] = {bytes(SLUICE_NULL, NULL, 0), integer(INT64_MIN), {.type = SLUICE_REAL, .real = -0.1},
                          bytes(SLUICE_TEXT, "a\0\xC3\xA9", 4), bytes(SLUICE_BLOB, "\xFF\0", 2),
                          bytes(SLUICE_BLOB, NULL, 0)};
  SUCCEEDS(sluice_batch_add(batch, "SELECT ?, ?, ?, ?, ?, ?", sent, 6));
  SUCCEEDS(sluice_batch_add(batch, "INSERT INTO item VALUES ('x') RETURNING name", NULL, 0));
  SUCCEEDS(sluice_batch_guard(batch, "SELECT ? = 7", (sluice_value[]){integer(7)}, 1));
  SUCCEEDS(sluice_batch_key(batch, "k"));
  SUCCEEDS(sluice_batch_rows(batch));
  for (int round = 0; round < 2; round++) {
    sluice_receipt *receipt = NULL;
    sluice_outcome *outcome = NULL;
    SUCCEEDS(sluice_submit(writer, batch, &receipt));
    SUCCEEDS(sluice_wait(receipt, -1, &outcome));
    sluice_receipt_free(receipt);
    EXPECT(sluice_outcome_status(outcome) == (round == 0 ? SLUICE_APPLIED : SLUICE_DUPLICATE));
    EXPECT(sluice_outcome_txid(outcome) == 2 && sluice_outcome_changes(outcome) == 1);
    EXPECT(sluice_outcome_last_rowid(outcome) == 1 && sluice_outcome_error(outcome) == NULL);
    EXPECT(sluice_outcome_rows(outcome) == 2 && sluice_outcome_columns(outcome, 0) == 6);
    EXPECT(sluice_outcome_columns(outcome, 1) == 1 && sluice_outcome_columns(outcome, 2) == 0);
    sluice_value got[6];
    for (size_t i = 0; i < 6; i++) SUCCEEDS(sluice_outcome_value(outcome, 0, i, &got[i]));
    EXPECT(got[0].type == SLUICE_NULL);
    EXPECT(got[1].type == SLUICE_INTEGER && got[1].integer == INT64_MIN);
    EXPECT(got[2].type == SLUICE_REAL && got[2].real == -0.1);
    same_bytes(&got[3], SLUICE_TEXT, "a\0\xC3\xA9", 4);
    same_bytes(&got[4], SLUICE_BLOB, "\xFF\0", 2);
    same_bytes(&got[5], SLUICE_BLOB, "", 0);
    FAILS(SLUICE_INVALID, "row 1, column 1", sluice_outcome_value(outcome, 1, 1, &got[0]));
    sluice_outcome_free(outcome);
  }
  sluice_batch_free(batch);
  sluice_writer_close(writer);
}

// What was asked for by a key, through a connection of this program's SQLite.
static void reading(void) {
  sluice_writer *writer = opened();
  sluice_outcome_free(outcome_of(writer, "{\"statements\": [[\"INSERT INTO item VALUES ('a')\"]], \"id\": \"r\"}"));
  EXPECT(count(NULL) == 1 && count("max_staleness_ms=100") == 1 && count("txid=1") == 0);
  sqlite3 *connection = NULL;
  sqlite3_stmt *query = NULL;
  EXPECT(sluice_open(store, NULL, SQLITE_OPEN_READWRITE, &connection) == SQLITE_OK);
  EXPECT(sqlite3_exec(connection, "INSERT INTO item VALUES ('b')", NULL, NULL, NULL) == SQLITE_OK);
  EXPECT(count(NULL) == 2);
  EXPECT(sqlite3_prepare_v2(connection, "PRAGMA sluice_outcome('r')", -1, &query, NULL) == SQLITE_OK);
  EXPECT(sqlite3_step(query) == SQLITE_ROW);
  sluice_outcome *outcome = NULL;
  const char *json = (const char *)sqlite3_column_text(query, 0);
  SUCCEEDS(sluice_outcome_parse(json, (size_t)sqlite3_column_bytes(query, 0), &outcome));
  EXPECT(sluice_outcome_status(outcome) == SLUICE_APPLIED && sluice_outcome_txid(outcome) == 2);
  EXPECT(strcmp(sluice_outcome_json(outcome), json) == 0);
  sluice_outcome_free(outcome);
  sqlite3_finalize(query);
  sqlite3_close(connection);
  FAILS(SLUICE_INVALID, "no outcome", sluice_outcome_parse("null", 4, &outcome));
  EXPECT(outcome == NULL);
  EXPECT(sluice_open(store, "txid=x", SQLITE_OPEN_READONLY, &connection) == SQLITE_CANTOPEN);
  EXPECT(strstr(sluice_error(), "no whole number"));
  sqlite3_close(connection);
  char small[10];
  FAILS(SLUICE_LIMIT, "room for 10", sluice_uri(store, NULL, small, sizeof small));
  sluice_writer_close(writer);
}

static void errors(void) {
  sluice_writer *writer = NULL;
  sluice_batch *batch = NULL;
  sluice_receipt *receipt = NULL;
  EXPECT(strcmp(sluice_error(), "") == 0);
  FAILS(SLUICE_NO_SUCH_STORE, "sluice init", sluice_writer_open("/nowhere", &writer));
  EXPECT(writer == NULL);
  FAILS(SLUICE_INVALID, "path is NULL", sluice_writer_open(NULL, &writer));
  FAILS(SLUICE_INVALID, "not UTF-8", sluice_writer_open("/\xFF", &writer));
  FAILS(SLUICE_INVALID, "last argument", sluice_writer_open(store, NULL));
  writer = opened();
  FAILS(SLUICE_INVALID, "NULL", sluice_submit(writer, NULL, &receipt));
  FAILS(SLUICE_INVALID, "unknown member \"guard\"",
        sluice_batch_parse("{\"statements\": [], \"guard\": []}", 31, &batch));
  SUCCEEDS(sluice_batch_new(&batch));
  FAILS(SLUICE_INVALID, "SQL text is NULL", sluice_batch_add(batch, NULL, NULL, 0));
  FAILS(SLUICE_INVALID, "at NULL", sluice_batch_add(batch, "SELECT ?", NULL, 1));
  sluice_value wrong = bytes(SLUICE_TEXT, "\xFF", 1);
  FAILS(SLUICE_INVALID, "a text is not UTF-8", sluice_batch_add(batch, "SELECT ?", &wrong, 1));
  wrong.type = 9;
  FAILS(SLUICE_INVALID, "9 is no type", sluice_batch_add(batch, "SELECT ?", &wrong, 1));
  FAILS(SLUICE_LIMIT, "1 to 512 bytes", sluice_batch_key(batch, ""));
  sluice_batch_free(batch);
  sluice_outcome *outcome = outcome_of(writer, "{\"statements\": [[\"INSERT INTO item VALUES (zeroblob(-1)), (1), (1)\"]]}");
  EXPECT(sluice_outcome_status(outcome) == SLUICE_REJECTED);
  EXPECT(strcmp(sluice_outcome_error(outcome), "SQLITE_CONSTRAINT_UNIQUE") == 0);
  EXPECT(strstr(sluice_outcome_message(outcome), "item.name"));
  sluice_outcome_free(outcome);
  // Nothing is a crash that was not there.
  EXPECT(sluice_outcome_status(NULL) == 0 && sluice_outcome_rows(NULL) == 0 && !sluice_outcome_json(NULL));
  sluice_outcome_free(NULL), sluice_batch_free(NULL), sluice_receipt_free(NULL), sluice_writer_close(NULL);
  EXPECT(strcmp(sluice_code_name(SLUICE_NOT_SUBMITTED), "notSubmitted") == 0);
  EXPECT(strcmp(sluice_code_name(SLUICE_FAILED), "failed") == 0 && strcmp(sluice_code_name(-1), "failed") == 0);
  // What was submitted stays, though its writer is closed.
  receipt = submitted(writer, "{\"statements\": [[\"INSERT INTO item VALUES ('last')\"]]}");
  sluice_writer_close(writer);
  SUCCEEDS(sluice_wait(receipt, 30000, &outcome));
  sluice_outcome_free(outcome);
  sluice_receipt_free(receipt);
}

static void forks(void) {
  sluice_writer *writer = opened();
  sluice_receipt *receipt = submitted(writer, "{\"statements\": [[\"INSERT INTO item VALUES ('parent')\"]]}");
  pid_t child = fork();
  if (child == 0) {
    sluice_outcome *outcome = NULL;
    sluice_batch *batch = batch_of("{\"statements\": [[\"INSERT INTO item VALUES ('child')\"]]}");
    FAILS(SLUICE_INVALID, "before the process forked", sluice_submit(writer, batch, NULL));
    FAILS(SLUICE_INVALID, "before the process forked", sluice_wait(receipt, 1000, &outcome));
    sluice_writer *own = opened();
    SUCCEEDS(sluice_submit(own, batch, NULL));
    sluice_outcome_free(outcome_of(own, "{\"statements\": [[\"INSERT INTO item VALUES ('again')\"]]}"));
    EXPECT(count(NULL) == 3);
    sluice_batch_free(batch);
    sluice_receipt_free(receipt);
    sluice_writer_close(writer);
    sluice_writer_close(own);
    _exit(0);
  }
  int status = -1;
  EXPECT(waitpid(child, &status, 0) == child && status == 0);
  sluice_outcome *outcome = NULL;
  SUCCEEDS(sluice_wait(receipt, 30000, &outcome));
  EXPECT(sluice_outcome_status(outcome) == SLUICE_APPLIED);
  sluice_outcome_free(outcome);
  sluice_receipt_free(receipt);
  sluice_outcome_free(outcome_of(writer, "{\"statements\": [[\"INSERT INTO item VALUES ('later')\"]]}"));
  EXPECT(count(NULL) == 4);
  sluice_writer_close(writer);
}

static void *insert(void *argument) {
  for (int i = 0; i < 20; i++)
    sluice_outcome_free(outcome_of(argument, "{\"statements\": [[\"INSERT INTO item VALUES (hex(randomblob(8)))\"]]}"));
  return NULL;
}

static void threads(void) {
  sluice_writer *writer = opened();
  pthread_t thread[4];
  for (int i = 0; i < 4; i++) EXPECT(pthread_create(&thread[i], NULL, insert, writer) == 0);
  for (int i = 0; i < 4; i++) EXPECT(pthread_join(thread[i], NULL) == 0);
  EXPECT(count(NULL) == 80);
  sluice_writer_close(writer);
}

// An applier is there.
static void status(void) {
  sluice_status whole, part;
  SUCCEEDS(sluice_store_status(store, &whole, sizeof whole));
  EXPECT(whole.txid == 1 && whole.applier == SLUICE_APPLIER_ACTIVE && whole.term > 0);
  EXPECT(whole.committed_ms > 0 && whole.beat_age_ms < 10000 && whole.rejected == 0);
  memset(&part, 0xAA, sizeof part);
  SUCCEEDS(sluice_store_status(store, &part, offsetof(sluice_status, committed_ms)));
  EXPECT(part.txid == 1 && part.committed_ms == (int64_t)0xAAAAAAAAAAAAAAAAu);
  FAILS(SLUICE_INVALID, "sizeof", sluice_store_status(store, &part, 0));
  FAILS(SLUICE_NO_SUCH_STORE, "", sluice_store_status("/nowhere", &part, sizeof part));
  // Somebody else leads, and has applied all there is.
  SUCCEEDS(sluice_apply(store, command, 60000));
  // What this process blocks does not keep the command from ending.
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, NULL);
  FAILS(SLUICE_TIMEOUT, "another applier", sluice_apply(store, command, 1));
  EXPECT(waitpid(-1, NULL, WNOHANG) == -1);
}

// None is.
static void applying(void) {
  sluice_status state;
  sluice_outcome *outcome = NULL;
  sluice_writer *writer = opened();
  sluice_receipt *receipt = submitted(writer, "{\"statements\": [[\"INSERT INTO item VALUES ('a')\"]]}");
  FAILS(SLUICE_TIMEOUT, "applier", sluice_wait(receipt, 10, &outcome));
  EXPECT(outcome == NULL);
  SUCCEEDS(sluice_apply(store, command, 30000));
  SUCCEEDS(sluice_wait(receipt, 1000, &outcome));
  EXPECT(sluice_outcome_txid(outcome) == 2);
  sluice_outcome_free(outcome);
  sluice_receipt_free(receipt);
  SUCCEEDS(sluice_store_status(store, &state, sizeof state));
  EXPECT(state.txid == 2 && state.applier == SLUICE_APPLIER_RELEASED);
  FAILS(SLUICE_NO_SUCH_STORE, "sluice init", sluice_apply("/nowhere", command, 30000));
  FAILS(SLUICE_IO, "cannot be started", sluice_apply(store, "/nowhere/sluice", 30000));
  EXPECT(count(NULL) == 1);
  // What the command leaves behind may have its errors open for longer than it lives.
  char lingering[4096], text[8192];
  snprintf(lingering, sizeof lingering, "%s.lingering", store);
  snprintf(text, sizeof text, "#!/bin/sh\nsleep 60 &\nexec '%s' \"$@\"\n", command);
  FILE *script = fopen(lingering, "w");
  EXPECT(script != NULL && fputs(text, script) >= 0 && fclose(script) == 0 && chmod(lingering, 0700) == 0);
  SUCCEEDS(sluice_apply(store, lingering, 30000));
  sluice_writer_close(writer);
}

static void *apply_after_a_moment(void *argument) {
  usleep(200000);
  SUCCEEDS(sluice_apply(store, command, 30000));
  return argument;
}

// None is, and a transaction waits for its turn: who applies gives it, and waits for its pages.
static void turns(void) {
  sqlite3 *connection = NULL;
  pthread_t thread;
  EXPECT(sluice_open(store, NULL, SQLITE_OPEN_READWRITE, &connection) == SQLITE_OK);
  sqlite3_busy_timeout(connection, 30000);
  EXPECT(pthread_create(&thread, NULL, apply_after_a_moment, NULL) == 0);
  EXPECT(sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
  usleep(500000);
  EXPECT(sqlite3_exec(connection, "INSERT INTO item VALUES ('a'); COMMIT", NULL, NULL, NULL) == SQLITE_OK);
  EXPECT(pthread_join(thread, NULL) == 0);
  EXPECT(count(NULL) == 1);
  // Without anybody who does, the time runs out.
  sqlite3_busy_timeout(connection, 300);
  EXPECT(sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_BUSY);
  EXPECT(sqlite3_close(connection) == SQLITE_OK);
}

// None is, and the connection sees to it.
static void assisted(void) {
  sqlite3 *connection = NULL;
  sluice_status state;
  EXPECT(setenv("SLUICE_COMMAND", command, 1) == 0);
  EXPECT(sluice_open(store, "assist=1", SQLITE_OPEN_READWRITE, &connection) == SQLITE_OK);
  sqlite3_busy_timeout(connection, 30000);
  for (int i = 0; i < 3; i++) {
    EXPECT(sqlite3_exec(connection, "BEGIN IMMEDIATE; INSERT INTO item VALUES (hex(randomblob(8))); COMMIT",
                        NULL, NULL, NULL) == SQLITE_OK);
    SUCCEEDS(sluice_store_status(store, &state, sizeof state));
    EXPECT(state.applier == SLUICE_APPLIER_RELEASED);
    EXPECT(waitpid(-1, NULL, WNOHANG) == -1);
  }
  // Taken back, and by itself.
  EXPECT(sqlite3_exec(connection, "BEGIN IMMEDIATE; INSERT INTO item VALUES ('no'); ROLLBACK", NULL, NULL, NULL) == SQLITE_OK);
  EXPECT(sqlite3_exec(connection, "INSERT INTO item VALUES ('yes')", NULL, NULL, NULL) == SQLITE_OK);
  EXPECT(count(NULL) == 4);
  EXPECT(setenv("SLUICE_COMMAND", "/nowhere/sluice", 1) == 0);
  sqlite3_busy_timeout(connection, 300);
  EXPECT(sqlite3_exec(connection, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_BUSY);
  EXPECT(strstr(sluice_error(), "cannot be started"));
  EXPECT(sqlite3_close(connection) == SQLITE_OK);
}

int main(int words, char **word) {
  static const struct {
    const char *name;
    void (*run)(void);
  } cases[] = {{"values", values},   {"reading", reading}, {"errors", errors},  {"forks", forks},
               {"threads", threads}, {"status", status},   {"applying", applying},
               {"turns", turns},     {"assisted", assisted}};
  if (words != 4) return 64;
  store = word[2];
  command = word[3];
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    if (strcmp(cases[i].name, word[1]) != 0) continue;
    cases[i].run();
    return 0;
  }
  return 64;
}
