// SQLite's C API, and what its macros and variadic functions hide from Swift. A module that only includes
// this does not link libsqlite3: that does who calls a function of it (`SluiceSQLite`).
#pragma once
#include <sqlite3.h>
#include <time.h>

/// What a file system for SQLite calls of the library that it is registered with: a table, since a loadable
/// extension links no SQLite. Its host hands it the functions (`sqlite3_api_routines`), and a process can
/// have several hosts, each with a library of its own.
struct csqlite_calls {
  sqlite3_vfs *(*vfs_find)(const char *);
  int (*vfs_register)(sqlite3_vfs *, int);
  int (*vfs_unregister)(sqlite3_vfs *);
  const char *(*uri_parameter)(const char *, const char *);
  int (*uri_boolean)(const char *, const char *, int);
  void *(*allocate)(int);
  void (*log)(int, const char *, ...);
  /// For one query on a connection of its own.
  int (*open)(const char *, sqlite3 **, int, const char *);
  int (*close)(sqlite3 *);
  int (*prepare)(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
  int (*bind_text)(sqlite3_stmt *, int, const char *, int, sqlite3_destructor_type);
  int (*step)(sqlite3_stmt *);
  sqlite3_int64 (*column_int64)(sqlite3_stmt *, int);
  const void *(*column_blob)(sqlite3_stmt *, int);
  int (*column_bytes)(sqlite3_stmt *, int);
  int (*finalize)(sqlite3_stmt *);
  const char *(*errmsg)(sqlite3 *);
  /// What a file system that is written through asks of a connection and sets on it.
  int (*file_control)(sqlite3 *, const char *, int, void *);
  int (*busy_timeout)(sqlite3 *, int);
  int (*db_config)(sqlite3 *, int, ...);
  /// Null where the library is older than 3.34 and 3.39.
  int (*txn_state)(sqlite3 *, const char *);
  const char *(*db_name)(sqlite3 *, int);
  /// Null where the library is older than 3.18.
  void (*set_last_insert_rowid)(sqlite3 *, sqlite3_int64);
};

/// The table of the library that this process links.
static inline struct csqlite_calls csqlite_linked_calls(void) {
  struct csqlite_calls calls = {
      sqlite3_vfs_find,     sqlite3_vfs_register, sqlite3_vfs_unregister, sqlite3_uri_parameter,
      sqlite3_uri_boolean,  sqlite3_malloc,       sqlite3_log,            sqlite3_open_v2,
      sqlite3_close,        sqlite3_prepare_v2,   sqlite3_bind_text,      sqlite3_step,
      sqlite3_column_int64, sqlite3_column_blob,  sqlite3_column_bytes,   sqlite3_finalize,
      sqlite3_errmsg,       sqlite3_file_control, sqlite3_busy_timeout,   sqlite3_db_config,
      sqlite3_txn_state,    sqlite3_db_name,      sqlite3_set_last_insert_rowid,
  };
  return calls;
}

/// The table of a host's library, from the `sqlite3_api_routines` that it loads an extension with. 0, or the
/// library's version where that is too old (below 3.14.0).
int csqlite_host_calls(const void *routines, struct csqlite_calls *calls);

static inline void csqlite_calls_log(const struct csqlite_calls *calls, int code, const char *text) {
  calls->log(code, "%s", text);
}

/// Turns an option of a connection that is a flag on or off.
static inline int csqlite_calls_flag(const struct csqlite_calls *calls, sqlite3 *db, int option, int on) {
  return calls->db_config(db, option, on, (int *)0);
}

/// What an extension answers that stays loaded; an expression, which Swift does not import.
static inline int csqlite_ok_load_permanently(void) { return SQLITE_OK_LOAD_PERMANENTLY; }

static inline sqlite3_destructor_type csqlite_static(void) { return SQLITE_STATIC; }
static inline sqlite3_destructor_type csqlite_transient(void) { return SQLITE_TRANSIENT; }
static inline int csqlite_config_flag(sqlite3 *db, int option, int on) {
  return sqlite3_db_config(db, option, on, (int *)0);
}
// What local time is to the library, in all of the process, without a change of the process's own time zone. One that was
// built without its test controls (SQLITE_UNTESTABLE) answers 0 as well.
static inline int csqlite_utc(const void *seconds, void *fields) {
  return gmtime_r((const time_t *)seconds, (struct tm *)fields) == 0;
}
static inline int csqlite_make_local_time_utc(void) {
  return sqlite3_test_control(SQLITE_TESTCTRL_LOCALTIME_FAULT, 2, csqlite_utc);
}
// A real as the sqlite3 shell writes it into a dump; `size` 50 is enough.
static inline void csqlite_format_real(double value, char *text, int size) {
  sqlite3_snprintf(size, text, "%!.20g", value);
}

// The preupdate hook. SQLite has it where it was built with SQLITE_ENABLE_PREUPDATE_HOOK, and its header
// declares it only then; weak, so that a program that runs with another SQLite can say that it is not there.
typedef void (*csqlite_preupdate_callback)(void *context, sqlite3 *db, int operation,
                                           const char *database, const char *table,
                                           sqlite3_int64 old_rowid, sqlite3_int64 new_rowid);
extern void *sqlite3_preupdate_hook(sqlite3 *, csqlite_preupdate_callback, void *)
    __attribute__((weak));
extern int sqlite3_preupdate_count(sqlite3 *) __attribute__((weak));
extern int sqlite3_preupdate_old(sqlite3 *, int, sqlite3_value **) __attribute__((weak));
extern int sqlite3_preupdate_new(sqlite3 *, int, sqlite3_value **) __attribute__((weak));

static inline int csqlite_has_preupdate(void) {
  return sqlite3_preupdate_hook && sqlite3_preupdate_count && sqlite3_preupdate_old &&
         sqlite3_preupdate_new;
}
static inline void csqlite_preupdate_hook(sqlite3 *db, csqlite_preupdate_callback callback,
                                          void *context) {
  if (csqlite_has_preupdate()) sqlite3_preupdate_hook(db, callback, context);
}
static inline int csqlite_preupdate_count(sqlite3 *db) {
  return csqlite_has_preupdate() ? sqlite3_preupdate_count(db) : 0;
}
// The value of a column before (`after` 0) or after the change; null where there is none.
static inline sqlite3_value *csqlite_preupdate_value(sqlite3 *db, int after, int column) {
  sqlite3_value *value = 0;
  if (!csqlite_has_preupdate()) return 0;
  int code = after ? sqlite3_preupdate_new(db, column, &value)
                   : sqlite3_preupdate_old(db, column, &value);
  return code == SQLITE_OK ? value : 0;
}
// The one value that SQLite answers with where there is none to answer with (measured on 3.40.1: also for a
// column that a row's record ends before). Only to be compared by its address; null if it cannot be had.
static inline sqlite3_value *csqlite_absent_value(sqlite3 *db) {
  sqlite3_stmt *statement = 0;
  if (sqlite3_prepare_v2(db, "SELECT 1", -1, &statement, 0) != SQLITE_OK) return 0;
  sqlite3_value *value = sqlite3_column_value(statement, 1);
  sqlite3_finalize(statement);
  return value;
}
