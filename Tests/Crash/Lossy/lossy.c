// The C library's calls that change files, put in front of the real ones as LD_PRELOAD would, but
// within this program: the linker finds these first, for the program and for the shared libraries
// that it uses.
//
// Nothing is held back: what a process writes the others see at once, as in a page cache. But before
// each change a record with what it replaces is appended to a log, and another when the change is
// done; a sync has one before and one after it. So whoever reads the log later knows of each file
// which blocks, and of each directory which names, a power failure could take back: those whose
// "done" does not precede the "begin" of a sync that was done. A process may die between any two
// steps; records are appended whole, or are recognised as cut off.
//
// A record:
//    0 8 magic   8 4 kind   12 4 bytes of payload   16 8 id   24 8 inode   32 8 offset
//   40 8 length  48 8 old size   56 4 bytes of name  60 4 bytes of other name
//   then name, other name, payload
#define _GNU_SOURCE
#include "lossy.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default"), used))

enum { WRITE = 1, RESIZE = 2, SYNC = 3, CREATE = 4, LINK = 5, UNLINK = 6, SYMLINK = 7,
       RENAME = 8, MKDIR = 9, DONE = 100, FAILED = 101 };
enum { BLOCK = 4096, MOST = 65536 };

struct record {
  uint64_t magic;
  uint32_t kind, payload;
  uint64_t id, inode;
  int64_t offset, length, old_size;
  uint32_t name, other;
};

static const uint64_t magic = 0x7a3c5e9151fd20b7u;
static char root[PATH_MAX], grave[PATH_MAX];
static size_t root_length;
static int records = -1;
static _Atomic uint64_t counter;
// Which descriptors are of files below `root`.
static _Atomic unsigned char tracked[MOST];

static void stop(const char *what) {
  dprintf(2, "lossy layer: %s: %s\n", what, strerror(errno));
  abort();
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) { \
    real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); \
    if (!real) abort(); \
  }

static int real_close(int fd) { return (int)syscall(SYS_close, fd); }

int lossy_begin(const char *new_root, const char *log) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/records", log);
  int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return errno;
  snprintf(root, sizeof root, "%s/", new_root);
  snprintf(grave, sizeof grave, "%s/grave", log);
  root_length = strlen(root);
  records = fd;
  return 0;
}

static int is_below(const char *path) {
  return records >= 0 && path && strncmp(path, root, root_length) == 0;
}
static int is_root_or_below(const char *path) {
  return is_below(path) || (records >= 0 && path && strlen(path) + 1 == root_length &&
                            strncmp(path, root, root_length - 1) == 0);
}
static int is_tracked(int fd) { return records >= 0 && fd >= 0 && fd < MOST && tracked[fd]; }
static void track(int fd, int yes) {
  if (fd >= 0 && fd < MOST) tracked[fd] = (unsigned char)yes;
}

// --- the log -------------------------------------------------------------------------------

static void append(struct record r, const char *name, const char *other, const void *payload) {
  r.magic = magic;
  r.name = name ? (uint32_t)strlen(name) : 0;
  r.other = other ? (uint32_t)strlen(other) : 0;
  struct iovec parts[4] = {{&r, sizeof r},
                           {(void *)name, r.name},
                           {(void *)other, r.other},
                           {(void *)payload, r.payload}};
  size_t all = sizeof r + r.name + r.other + r.payload;
  if (syscall(SYS_writev, records, parts, 4) != (long)all) stop("record");
}

static uint64_t new_id(void) {
  return (uint64_t)getpid() << 32 | (atomic_fetch_add(&counter, 1) + 1);
}

static void end(uint64_t id, int succeeded) {
  int saved = errno;
  append((struct record){.kind = succeeded ? DONE : FAILED, .id = id}, 0, 0, 0);
  errno = saved;
}

// The inode of the directory that `path` is in; its last component.
static uint64_t directory_of(const char *path, const char **name) {
  char parent[PATH_MAX];
  const char *slash = strrchr(path, '/');
  size_t length = (size_t)(slash - path);
  memcpy(parent, path, length);
  parent[length] = 0;
  *name = slash + 1;
  struct stat s;
  return stat(parent, &s) == 0 ? s.st_ino : 0;
}

static int exists(const char *path) {
  struct stat s;
  return lstat(path, &s) == 0;
}

// --- content -------------------------------------------------------------------------------

static uint64_t begin_write(int fd, int64_t offset, int64_t length) {
  struct stat s;
  if (fstat(fd, &s) != 0) stop("fstat");
  int64_t start = offset & ~(int64_t)(BLOCK - 1);
  int64_t finish = (offset + length + BLOCK - 1) & ~(int64_t)(BLOCK - 1);
  int64_t have = finish < s.st_size ? finish : s.st_size;
  int64_t bytes = have > start ? have - start : 0;
  char *old = bytes ? malloc((size_t)bytes) : 0;
  if (bytes && syscall(SYS_pread64, fd, old, (size_t)bytes, start) != bytes) stop("pread");
  uint64_t id = new_id();
  append((struct record){.kind = WRITE, .id = id, .inode = s.st_ino, .offset = start,
                         .length = finish - start, .old_size = s.st_size,
                         .payload = (uint32_t)bytes}, 0, 0, old);
  free(old);
  return id;
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
  if (!is_tracked(fd) || count == 0) return syscall(SYS_pwrite64, fd, bytes, count, offset);
  uint64_t id = begin_write(fd, offset, (int64_t)count);
  ssize_t n = syscall(SYS_pwrite64, fd, bytes, count, offset);
  end(id, n >= 0);
  return n;
}
EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  return pwrite(fd, bytes, count, offset);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t count) {
  REAL(write)
  if (!is_tracked(fd) || count == 0) return real(fd, bytes, count);
  uint64_t id = begin_write(fd, lseek(fd, 0, SEEK_CUR), (int64_t)count);
  ssize_t n = real(fd, bytes, count);
  end(id, n >= 0);
  return n;
}

static int resize(int fd, off_t size) {
  struct stat s;
  if (fstat(fd, &s) != 0) stop("fstat");
  uint64_t id = new_id();
  append((struct record){.kind = RESIZE, .id = id, .inode = s.st_ino, .length = size,
                         .old_size = s.st_size}, 0, 0, 0);
  int result = (int)syscall(SYS_ftruncate, fd, size);
  end(id, result == 0);
  return result;
}
EXPORT int ftruncate(int fd, off_t size) {
  return is_tracked(fd) ? resize(fd, size) : (int)syscall(SYS_ftruncate, fd, size);
}
EXPORT int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

// The real sync is left out: the log stands for it, and rounds are quicker.
static int sync_tracked(int fd) {
  struct stat s;
  if (fstat(fd, &s) != 0) stop("fstat");
  uint64_t id = new_id();
  append((struct record){.kind = SYNC, .id = id, .inode = s.st_ino}, 0, 0, 0);
  end(id, 1);
  return 0;
}
EXPORT int fsync(int fd) {
  REAL(fsync)
  return is_tracked(fd) ? sync_tracked(fd) : real(fd);
}
EXPORT int fdatasync(int fd) {
  REAL(fdatasync)
  return is_tracked(fd) ? sync_tracked(fd) : real(fd);
}

// What Sluice does not use on a store's files is not modelled: better stop than believe.
static void unmodelled(int fd, const char *what) {
  if (is_tracked(fd)) stop(what);
}
EXPORT ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(writev)
  unmodelled(fd, "writev");
  return real(fd, parts, count);
}
EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(pwritev)
  unmodelled(fd, "pwritev");
  return real(fd, parts, count, offset);
}
EXPORT int fallocate(int fd, int mode, off_t offset, off_t length) {
  unmodelled(fd, "fallocate");
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}
EXPORT int posix_fallocate(int fd, off_t offset, off_t length) {
  REAL(posix_fallocate)
  unmodelled(fd, "posix_fallocate");
  return real(fd, offset, length);
}
EXPORT ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t count,
                               unsigned flags) {
  unmodelled(out, "copy_file_range");
  return syscall(SYS_copy_file_range, in, from, out, to, count, flags);
}
EXPORT void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
  if (protection & PROT_WRITE && (flags & MAP_TYPE) == MAP_SHARED) unmodelled(fd, "mmap");
  return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
EXPORT void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
  return mmap(at, length, protection, flags, fd, offset);
}

// --- names ---------------------------------------------------------------------------------

static uint64_t begin_name(uint32_t kind, const char *path, const char *other, uint64_t subject) {
  const char *name;
  uint64_t directory = directory_of(path, &name);
  uint64_t id = new_id();
  // length: whether the name was there before; offset: the inode that it stands for, where known.
  append((struct record){.kind = kind, .id = id, .inode = directory, .length = exists(path),
                         .offset = (int64_t)subject}, name, other, 0);
  return id;
}

static int open_any(int directory, const char *path, int flags, mode_t mode) {
  if (directory != AT_FDCWD || !is_root_or_below(path)) {
    int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
    if (records >= 0) track(fd, 0);
    return fd;
  }
  if (flags & O_TRUNC && exists(path)) stop("O_TRUNC");
  uint64_t id = 0;
  if (flags & O_CREAT && !exists(path)) id = begin_name(CREATE, path, 0, 0);
  int fd = (int)syscall(SYS_openat, directory, path, flags, mode);
  if (id) end(id, fd >= 0);
  track(fd, 1);
  return fd;
}

#define MODE(flags) \
  mode_t mode = 0; \
  if (flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { \
    va_list more; \
    va_start(more, flags); \
    mode = (mode_t)va_arg(more, int); \
    va_end(more); \
  }
EXPORT int open(const char *path, int flags, ...) {
  MODE(flags)
  return open_any(AT_FDCWD, path, flags, mode);
}
EXPORT int open64(const char *path, int flags, ...) {
  MODE(flags)
  return open_any(AT_FDCWD, path, flags, mode);
}
EXPORT int openat(int directory, const char *path, int flags, ...) {
  MODE(flags)
  return open_any(directory, path, flags, mode);
}
EXPORT int openat64(int directory, const char *path, int flags, ...) {
  MODE(flags)
  return open_any(directory, path, flags, mode);
}
EXPORT int close(int fd) {
  track(fd, 0);
  return real_close(fd);
}

EXPORT int link(const char *path, const char *new_path) {
  if (!is_below(new_path)) return (int)syscall(SYS_link, path, new_path);
  struct stat s;
  uint64_t inode = lstat(path, &s) == 0 ? s.st_ino : 0;
  uint64_t id = begin_name(LINK, new_path, 0, inode);
  int result = (int)syscall(SYS_link, path, new_path);
  end(id, result == 0);
  return result;
}

EXPORT int unlink(const char *path) {
  if (!is_below(path) || !exists(path)) return (int)syscall(SYS_unlink, path);
  // Kept under another name, to give it back.
  char name[32], kept[PATH_MAX + 64];
  snprintf(name, sizeof name, "%llx", (unsigned long long)new_id());
  snprintf(kept, sizeof kept, "%s/%s", grave, name);
  if (syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, kept, 0) != 0 && errno != ENOENT)
    stop("grave");
  uint64_t id = begin_name(UNLINK, path, name, 0);
  int result = (int)syscall(SYS_unlink, path);
  end(id, result == 0);
  return result;
}

EXPORT int symlink(const char *target, const char *path) {
  if (!is_below(path)) return (int)syscall(SYS_symlink, target, path);
  uint64_t id = begin_name(SYMLINK, path, target, 0);
  int result = (int)syscall(SYS_symlink, target, path);
  end(id, result == 0);
  return result;
}

// Of symbolic links within one directory, as `current.sqlite` is replaced. The record's other name
// is the new one, its payload where that pointed before; its offset is the inode that moves.
EXPORT int rename(const char *path, const char *new_path) {
  REAL(rename)
  if (!is_below(path) && !is_below(new_path)) return real(path, new_path);
  struct stat s;
  if (lstat(path, &s) != 0) return -1;
  if (!S_ISLNK(s.st_mode)) stop("rename of what is no symbolic link");
  const char *name, *new_name;
  uint64_t directory = directory_of(path, &name);
  if (directory_of(new_path, &new_name) != directory) stop("rename into another directory");
  char old[PATH_MAX];
  ssize_t length = readlink(new_path, old, sizeof old);
  uint64_t id = new_id();
  append((struct record){.kind = RENAME, .id = id, .inode = directory,
                         .offset = (int64_t)s.st_ino, .length = length >= 0,
                         .payload = length > 0 ? (uint32_t)length : 0}, name, new_name, old);
  int result = real(path, new_path);
  end(id, result == 0);
  return result;
}

EXPORT int mkdir(const char *path, mode_t mode) {
  if (!is_below(path)) return (int)syscall(SYS_mkdir, path, mode);
  uint64_t id = begin_name(MKDIR, path, 0, 0);
  int result = (int)syscall(SYS_mkdir, path, mode);
  end(id, result == 0);
  return result;
}

#define UNMODELLED_NAME(path, what) \
  if (is_below(path)) stop(what);
EXPORT int linkat(int from, const char *path, int to, const char *new_path, int flags) {
  UNMODELLED_NAME(new_path, "linkat")
  return (int)syscall(SYS_linkat, from, path, to, new_path, flags);
}
EXPORT int unlinkat(int directory, const char *path, int flags) {
  UNMODELLED_NAME(path, "unlinkat")
  return (int)syscall(SYS_unlinkat, directory, path, flags);
}
EXPORT int renameat(int from, const char *path, int to, const char *new_path) {
  UNMODELLED_NAME(new_path, "renameat")
  return (int)syscall(SYS_renameat2, from, path, to, new_path, 0);
}
EXPORT int renameat2(int from, const char *path, int to, const char *new_path, unsigned flags) {
  UNMODELLED_NAME(new_path, "renameat2")
  return (int)syscall(SYS_renameat2, from, path, to, new_path, flags);
}
EXPORT int symlinkat(const char *target, int directory, const char *path) {
  UNMODELLED_NAME(path, "symlinkat")
  return (int)syscall(SYS_symlinkat, target, directory, path);
}
EXPORT int rmdir(const char *path) {
  UNMODELLED_NAME(path, "rmdir")
  return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
}
EXPORT int truncate(const char *path, off_t size) {
  UNMODELLED_NAME(path, "truncate")
  return (int)syscall(SYS_truncate, path, size);
}
