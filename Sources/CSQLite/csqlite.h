// SQLite's C API, and what its macros and variadic functions hide from Swift.
#pragma once
#include <sqlite3.h>

static inline sqlite3_destructor_type csqlite_static(void) { return SQLITE_STATIC; }
static inline sqlite3_destructor_type csqlite_transient(void) { return SQLITE_TRANSIENT; }
static inline int csqlite_config_flag(sqlite3 *db, int option, int on) {
  return sqlite3_db_config(db, option, on, (int *)0);
}
static inline void csqlite_log(int code, const char *text) { sqlite3_log(code, "%s", text); }
// A real as the sqlite3 shell writes it into a dump; `size` 50 is enough.
static inline void csqlite_format_real(double value, char *text, int size) {
  sqlite3_snprintf(size, text, "%!.20g", value);
}
