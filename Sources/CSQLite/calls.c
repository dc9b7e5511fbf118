#include "csqlite.h"

#include <sqlite3ext.h>

// `sqlite3ext.h` makes each function's name a member of a global `sqlite3_api`. There is none here: two
// libraries in one process would share it. What is read of the table has been in it since before 3.14.
int csqlite_host_calls(const void *pointer, struct csqlite_calls *calls) {
  const sqlite3_api_routines *routines = pointer;
  const int version = routines->libversion_number();
  // The first that lets an extension stay loaded.
  if (version < 3014000) return version;
  calls->vfs_find = routines->vfs_find;
  calls->vfs_register = routines->vfs_register;
  calls->vfs_unregister = routines->vfs_unregister;
  calls->uri_parameter = routines->uri_parameter;
  calls->uri_boolean = routines->uri_boolean;
  calls->allocate = routines->malloc;
  calls->log = routines->log;
  calls->open = routines->open_v2;
  calls->close = routines->close;
  calls->prepare = routines->prepare_v2;
  calls->bind_text = routines->bind_text;
  calls->step = routines->step;
  calls->column_int64 = routines->column_int64;
  calls->column_blob = routines->column_blob;
  calls->column_bytes = routines->column_bytes;
  calls->finalize = routines->finalize;
  calls->errmsg = routines->errmsg;
  calls->file_control = routines->file_control;
  calls->busy_timeout = routines->busy_timeout;
  calls->db_config = routines->db_config;
  calls->txn_state = version >= 3034000 ? routines->txn_state : 0;
  calls->db_name = version >= 3039000 ? routines->db_name : 0;
  calls->set_last_insert_rowid = version >= 3018000 ? routines->set_last_insert_rowid : 0;
  return 0;
}
