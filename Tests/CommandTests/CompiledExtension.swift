import Foundation
import Testing

/// A loadable extension of SQLite that a test builds from C.
func compiledExtension(_ name: String, _ source: String, in place: Workplace) throws -> String {
  let file = try place.file("\(name).c", source)
  let path = "\(place.path)/\(name).so"
  let built = try ChildProcess("cc", ["-shared", "-fPIC", "-o", path, file]).result()
  try #require(built.code == 0, "\(built.errors)")
  return path
}

/// A module of virtual tables with one column, `v`, whose rows are in a shadow table NAME_rows; and a function
/// `twice` and a collation `backwards`.
let shelfSource = """
  #include <sqlite3ext.h>
  #include <string.h>
  SQLITE_EXTENSION_INIT1
  typedef struct { sqlite3_vtab base; sqlite3 *db; char *schema, *name; } shelf;
  typedef struct { sqlite3_vtab_cursor base; sqlite3_stmt *rows; int at_end; } cursor;

  static int run(sqlite3 *db, char *sql) {
    if (!sql) return SQLITE_NOMEM;
    int code = sqlite3_exec(db, sql, 0, 0, 0);
    sqlite3_free(sql);
    return code;
  }
  static int connect(sqlite3 *db, void *x, int n, const char *const *words, sqlite3_vtab **made,
                     char **error) {
    shelf *s = sqlite3_malloc(sizeof *s);
    if (!s) return SQLITE_NOMEM;
    memset(s, 0, sizeof *s);
    s->db = db;
    s->schema = sqlite3_mprintf("%s", words[1]);
    s->name = sqlite3_mprintf("%s", words[2]);
    *made = &s->base;
    return sqlite3_declare_vtab(db, "CREATE TABLE x(v)");
  }
  static int create(sqlite3 *db, void *x, int n, const char *const *words, sqlite3_vtab **made,
                    char **error) {
    int code = run(db, sqlite3_mprintf(
        "CREATE TABLE \\"%w\\".\\"%w_rows\\"(k INTEGER PRIMARY KEY, v)", words[1], words[2]));
    return code ? code : connect(db, x, n, words, made, error);
  }
  static int disconnect(sqlite3_vtab *table) {
    shelf *s = (shelf *)table;
    sqlite3_free(s->schema);
    sqlite3_free(s->name);
    sqlite3_free(s);
    return SQLITE_OK;
  }
  static int destroy(sqlite3_vtab *table) {
    shelf *s = (shelf *)table;
    int code = run(s->db, sqlite3_mprintf("DROP TABLE \\"%w\\".\\"%w_rows\\"", s->schema, s->name));
    return code ? code : disconnect(table);
  }
  static int best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
    info->estimatedCost = 1000;
    return SQLITE_OK;
  }
  static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **made) {
    cursor *c = sqlite3_malloc(sizeof *c);
    if (!c) return SQLITE_NOMEM;
    memset(c, 0, sizeof *c);
    *made = &c->base;
    return SQLITE_OK;
  }
  static int close_cursor(sqlite3_vtab_cursor *base) {
    sqlite3_finalize(((cursor *)base)->rows);
    sqlite3_free(base);
    return SQLITE_OK;
  }
  static int next(sqlite3_vtab_cursor *base) {
    cursor *c = (cursor *)base;
    int code = sqlite3_step(c->rows);
    c->at_end = code != SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? SQLITE_OK : code;
  }
  static int filter(sqlite3_vtab_cursor *base, int n, const char *s, int m, sqlite3_value **v) {
    cursor *c = (cursor *)base;
    shelf *t = (shelf *)base->pVtab;
    char *sql = sqlite3_mprintf(
        "SELECT k, v FROM \\"%w\\".\\"%w_rows\\" ORDER BY k", t->schema, t->name);
    if (!sql) return SQLITE_NOMEM;
    sqlite3_finalize(c->rows);
    int code = sqlite3_prepare_v2(t->db, sql, -1, &c->rows, 0);
    sqlite3_free(sql);
    return code ? code : next(base);
  }
  static int at_end(sqlite3_vtab_cursor *base) { return ((cursor *)base)->at_end; }
  static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int i) {
    sqlite3_result_value(context, sqlite3_column_value(((cursor *)base)->rows, 1));
    return SQLITE_OK;
  }
  static int rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *found) {
    *found = sqlite3_column_int64(((cursor *)base)->rows, 0);
    return SQLITE_OK;
  }
  static int update(sqlite3_vtab *table, int n, sqlite3_value **v, sqlite3_int64 *made) {
    shelf *s = (shelf *)table;
    char *sql = n == 1
        ? sqlite3_mprintf("DELETE FROM \\"%w\\".\\"%w_rows\\" WHERE k = ?1", s->schema, s->name)
        : sqlite3_value_type(v[0]) == SQLITE_NULL
        ? sqlite3_mprintf("INSERT INTO \\"%w\\".\\"%w_rows\\"(k, v) VALUES(?2, ?3)", s->schema, s->name)
        : sqlite3_mprintf("UPDATE \\"%w\\".\\"%w_rows\\" SET k = ?2, v = ?3 WHERE k = ?1", s->schema, s->name);
    if (!sql) return SQLITE_NOMEM;
    sqlite3_stmt *statement = 0;
    int code = sqlite3_prepare_v2(s->db, sql, -1, &statement, 0);
    sqlite3_free(sql);
    if (code) return code;
    sqlite3_bind_value(statement, 1, v[0]);
    if (n > 1) sqlite3_bind_value(statement, 2, v[1]);
    if (n > 2) sqlite3_bind_value(statement, 3, v[2]);
    sqlite3_step(statement);
    code = sqlite3_finalize(statement);
    if (n > 1) *made = sqlite3_last_insert_rowid(s->db);
    return code;
  }
  static int rename_table(sqlite3_vtab *table, const char *name) {
    shelf *s = (shelf *)table;
    int code = run(s->db, sqlite3_mprintf("ALTER TABLE \\"%w\\".\\"%w_rows\\" RENAME TO \\"%w_rows\\"",
                                          s->schema, s->name, name));
    if (code) return code;
    sqlite3_free(s->name);
    s->name = sqlite3_mprintf("%s", name);
    return SQLITE_OK;
  }
  static int is_shadow(const char *suffix) { return strcmp(suffix, "rows") == 0; }
  static const sqlite3_module module = {
    .iVersion = 3, .xCreate = create, .xConnect = connect, .xBestIndex = best_index,
    .xDisconnect = disconnect, .xDestroy = destroy, .xOpen = open_cursor, .xClose = close_cursor,
    .xFilter = filter, .xNext = next, .xEof = at_end, .xColumn = column, .xRowid = rowid,
    .xUpdate = update, .xRename = rename_table, .xShadowName = is_shadow,
  };

  static void twice(sqlite3_context *c, int n, sqlite3_value **v) {
    sqlite3_result_int64(c, 2 * sqlite3_value_int64(v[0]));
  }
  static int backwards(void *x, int n, const void *a, int m, const void *b) {
    int least = n < m ? n : m, order = memcmp(b, a, least);
    return order ? order : m - n;
  }
  int sqlite3_shelf_init(sqlite3 *db, char **error, const sqlite3_api_routines *api) {
    SQLITE_EXTENSION_INIT2(api)
    sqlite3_create_collation(db, "backwards", SQLITE_UTF8, 0, backwards);
    sqlite3_create_function(
        db, "twice", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, 0, twice, 0, 0);
    return sqlite3_create_module(db, "shelf", &module, 0);
  }
  """
