// libsluice-preload.so: lets a program open stores that can load no extension and is not to be changed.
//
//     LD_PRELOAD=/usr/local/lib/libsluice-preload.so sqlite3 'file:/mnt/efs/orders?vfs=sluice'
//
// It stands before sqlite3_open and sqlite3_open_v2, by which programs open databases, and not before sqlite3_open16,
// whose names are in UTF-16: who opens by that needs the extension loaded. It makes the SQLite library that the caller
// meant know vfs=sluice before it does as it was told. The extension is libsluice.so in the same directory. A program
// that contains its SQLite and does not share it is out of reach. For PHP: SLUICE_SQLITE=libsqlite3.so.0 beside it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sqlite3 sqlite3;
typedef void (*entry_point)(void);

// As in sqlite3.h, which programs need not have.
enum { OK = 0, CANTOPEN = 14, OPEN_READWRITE = 2, OPEN_CREATE = 4, OPEN_URI = 64 };

#define SHOWN __attribute__((visibility("default")))

// The library that the code at `caller` means by the functions of SQLite. There may be several, and the one of a plugin
// is not among those that RTLD_NEXT looks through.
static void *meant(const void *caller) {
  Dl_info info;
  struct link_map *map = NULL;
  if (dladdr1(caller, &info, (void **)&map, RTLD_DL_LINKMAP) && map && map->l_name[0]) {
    void *library = dlopen(map->l_name, RTLD_LAZY | RTLD_NOLOAD);
    if (library) {
      // It stays: its own code has called.
      dlclose(library);
      if (dlsym(library, "sqlite3_open_v2")) return library;
    }
  }
  return RTLD_NEXT;
}

static void complain(const char *why) {
  static atomic_flag done = ATOMIC_FLAG_INIT;
  if (!atomic_flag_test_and_set(&done))
    fprintf(stderr, "libsluice-preload.so: no store can be opened: %s\n", why ? why : "libsluice.so is not sound");
}

// The extension's entry point; it stays loaded.
static entry_point entry(void) {
  Dl_info self;
  char path[PATH_MAX];
  if (!dladdr((void *)entry, &self)) return NULL;
  const char *slash = strrchr(self.dli_fname, '/');
  int directory = slash ? (int)(slash + 1 - self.dli_fname) : 0;
  if (snprintf(path, sizeof path, "%.*slibsluice.so", directory, self.dli_fname) >= (int)sizeof path) return NULL;
  void *extension = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!extension) return NULL;
  return (entry_point)dlsym(extension, "sqlite3_sluice_auto_init");
}

typedef int open_function(const char *, sqlite3 **, int, const char *);

// Makes a library know stores, unless it does. It takes an extension by itself when it opens a connection, so one is
// opened that nobody needs. Of two threads that come at once either finds that the other has done it.
static void introduce(void *library) {
  open_function *open = (open_function *)dlsym(library, "sqlite3_open_v2");
  void *(*find)(const char *) = (void *(*)(const char *))dlsym(library, "sqlite3_vfs_find");
  int (*begin)(entry_point) = (int (*)(entry_point))dlsym(library, "sqlite3_auto_extension");
  int (*cancel)(entry_point) = (int (*)(entry_point))dlsym(library, "sqlite3_cancel_auto_extension");
  int (*close)(sqlite3 *) = (int (*)(sqlite3 *))dlsym(library, "sqlite3_close");
  if (!open || !find || !begin || !cancel || !close) return complain("this is no SQLite, or older than 3.14");
  if (find("sluice")) return;
  entry_point point = entry();
  if (!point) return complain(dlerror());
  sqlite3 *first = NULL;
  if (begin(point) == OK) {
    open(":memory:", &first, OPEN_READWRITE, NULL);
    close(first);
    cancel(point);
  }
  if (!find("sluice")) complain("this SQLite is older than 3.14");
}

// What is loaded with RTLD_DEEPBIND, as PHP loads its extensions, calls its own libraries past whatever stands before
// them. So that library can be named, and is introduced before the program begins.
__attribute__((constructor)) static void introduce_named(void) {
  const char *name = getenv("SLUICE_SQLITE");
  if (!name) return;
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library) return complain(dlerror());
  introduce(library);
}

static int opened(const void *caller, const char *name, sqlite3 **connection, int flags, const char *vfs) {
  void *library = meant(caller);
  open_function *open = (open_function *)dlsym(library, "sqlite3_open_v2");
  if (!open) {
    *connection = NULL;
    return CANTOPEN;
  }
  introduce(library);
  // Whoever names a store means a URI, also where the program does not say that its names are some.
  if (name && strncmp(name, "file:", 5) == 0 && strstr(name, "vfs=sluice")) flags |= OPEN_URI;
  return open(name, connection, flags, vfs);
}

SHOWN int sqlite3_open_v2(const char *name, sqlite3 **connection, int flags, const char *vfs) {
  return opened(__builtin_return_address(0), name, connection, flags, vfs);
}

SHOWN int sqlite3_open(const char *name, sqlite3 **connection) {
  return opened(__builtin_return_address(0), name, connection, OPEN_READWRITE | OPEN_CREATE, NULL);
}
