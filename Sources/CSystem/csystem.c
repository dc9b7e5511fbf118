#define _GNU_SOURCE
#include <malloc.h>
#include <pthread.h>
#include "csystem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

int csystem_open(const char *path, int flags, unsigned mode, int direct, int foreign) {
  flags |= O_CLOEXEC;
  if (direct) flags |= O_DIRECT;
  if (foreign) flags |= O_NOFOLLOW | O_NONBLOCK;
  for (;;) {
    int fd = open(path, flags, mode);
    if (fd >= 0) return fd;
    if (errno != EINTR) return -errno;
  }
}

int csystem_open_scratch(const char *directory) {
  int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  char path[4096];
  int n = snprintf(path, sizeof path, "%s/sluice-scratch-XXXXXX", directory);
  if (n < 0 || (size_t)n >= sizeof path) return -ENAMETOOLONG;
  fd = mkostemp(path, O_CLOEXEC);
  if (fd < 0) return -errno;
  unlink(path);
  return fd;
}

int csystem_memory_file(const char *label, const void *bytes, size_t length) {
  int fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  size_t done = 0;
  while (done < length) {
    ssize_t count = write(fd, (const char *)bytes + done, length - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      int code = errno;
      close(fd);
      return -code;
    }
    done += (size_t)count;
  }
  fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  return fd;
}

static void fill(const struct stat *s, struct csystem_status *out) {
  out->size = s->st_size;
  // Anybody can date a file: a million years either way, so that nobody's arithmetic overflows.
  int64_t most = INT64_C(1) << 45;
  int64_t seconds = s->st_mtim.tv_sec;
  seconds = seconds > most ? most : seconds < -most ? -most : seconds;
  out->modified_ms = seconds * 1000 + s->st_mtim.tv_nsec / 1000000;
  out->inode = s->st_ino;
  out->uid = s->st_uid;
  out->gid = s->st_gid;
  out->links = (uint32_t)s->st_nlink;
  out->mode = s->st_mode & 07777;
  out->regular = S_ISREG(s->st_mode);
  out->directory = S_ISDIR(s->st_mode);
  out->symlink = S_ISLNK(s->st_mode);
}

int csystem_fstat(int descriptor, struct csystem_status *status) {
  struct stat s;
  if (fstat(descriptor, &s) != 0) return -errno;
  fill(&s, status);
  return 0;
}

int csystem_fresh_fstat(int descriptor, struct csystem_status *status) {
  struct statx s;
  // On NFS this asks the server even while an attribute is believed to be good.
  if (statx(descriptor, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_BASIC_STATS, &s) != 0) {
    // Sandboxes before 2018 know no statx(2).
    return errno == EPERM || errno == ENOSYS ? csystem_fstat(descriptor, status) : -errno;
  }
  struct stat found = {
      .st_size = (off_t)s.stx_size,
      .st_mtim = {.tv_sec = s.stx_mtime.tv_sec, .tv_nsec = s.stx_mtime.tv_nsec},
      .st_ino = s.stx_ino,
      .st_uid = s.stx_uid,
      .st_gid = s.stx_gid,
      .st_nlink = s.stx_nlink,
      .st_mode = s.stx_mode,
  };
  fill(&found, status);
  return 0;
}

int csystem_lstat(const char *path, struct csystem_status *status) {
  struct stat s;
  if (lstat(path, &s) != 0) return -errno;
  fill(&s, status);
  return 0;
}

void csystem_begin_writeback(int descriptor, int64_t offset, int64_t count) {
  // A failure is found by the next fdatasync(2), where it counts.
  (void)sync_file_range(descriptor, offset, count, SYNC_FILE_RANGE_WRITE);
}

int64_t csystem_next_data(int descriptor, int64_t offset) {
  off_t found = lseek(descriptor, offset, SEEK_DATA);
  return found < 0 ? -(int64_t)errno : found;
}

int64_t csystem_open_file_limit(int raise) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (raise && limit.rlim_cur < limit.rlim_max) {
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  }
  return limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur;
}

// The type of the file system with this device number: 1 NFS, 0 another, -1 not found.
static int is_nfs_mount(dev_t device) {
  FILE *mounts = fopen("/proc/self/mountinfo", "re");
  if (!mounts) return -1;
  char *line = NULL;
  size_t size = 0;
  int found = -1;
  while (found < 0 && getline(&line, &size, mounts) > 0) {
    // 36 35 0:45 / /mnt/efs rw,relatime shared:1 - nfs4 server:/ rw,…
    unsigned major_number, minor_number;
    const char *type = strstr(line, " - ");
    if (!type || sscanf(line, "%*d %*d %u:%u", &major_number, &minor_number) != 2) continue;
    if (makedev(major_number, minor_number) != device) continue;
    found = strncmp(type + 3, "nfs ", 4) == 0 || strncmp(type + 3, "nfs4 ", 5) == 0;
  }
  free(line);
  fclose(mounts);
  return found;
}

int csystem_is_network(const char *path) {
  struct statx status;
  // Nothing but the device is wanted, which no server needs to be asked for.
  if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, 0, &status) != 0) return -errno;
  // On a device of this host.
  if (status.stx_dev_major != 0) return 0;
  int known = is_nfs_mount(makedev(status.stx_dev_major, status.stx_dev_minor));
  if (known >= 0) return known;
  struct statfs s;
  if (statfs(path, &s) != 0) return -errno;
  return s.f_type == 0x6969; // NFS_SUPER_MAGIC
}

uint64_t csystem_boottime_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_BOOTTIME, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t csystem_processor_ns(pid_t process) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(process, &clock) != 0 || clock_gettime(clock, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t csystem_queued_ns(pid_t process) {
  char path[40];
  snprintf(path, sizeof path, "/proc/%d/schedstat", (int)process);
  FILE *file = fopen(path, "re");
  if (!file) return 0;
  // Nanoseconds on a processor, nanoseconds ready and waiting for one, turns.
  unsigned long long queued = 0;
  if (fscanf(file, "%*u %llu", &queued) != 1) queued = 0;
  fclose(file);
  return queued;
}

int csystem_shared_page(void) {
  int fd = memfd_create("sluice-progress", MFD_CLOEXEC);
  if (fd < 0) return -errno;
  if (ftruncate(fd, CSYSTEM_SHARED_PAGE_BYTES) != 0) {
    int code = errno;
    close(fd);
    return -code;
  }
  return fd;
}

uint64_t *csystem_map_shared_page(int descriptor) {
  void *page = mmap(NULL, CSYSTEM_SHARED_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return page == MAP_FAILED ? NULL : page;
}

void csystem_unmap_shared_page(uint64_t *page) { munmap(page, CSYSTEM_SHARED_PAGE_BYTES); }

void csystem_close(int descriptor) { close(descriptor); }

void csystem_store(uint64_t *place, uint64_t value) { __atomic_store_n(place, value, __ATOMIC_RELEASE); }

void csystem_add(uint64_t *place, uint64_t value) { __atomic_fetch_add(place, value, __ATOMIC_RELAXED); }

uint64_t csystem_load(const uint64_t *place) { return __atomic_load_n(place, __ATOMIC_ACQUIRE); }

int csystem_end_with_parent(pid_t parent) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return -errno;
  // It may have ended before.
  return getppid() == parent ? 0 : -ESRCH;
}

// A sanitizer's own memory is many times what the program takes.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

int csystem_limit_memory(uint64_t bytes) {
#ifndef SANITIZED
  struct rlimit data = {.rlim_cur = bytes, .rlim_max = bytes};
  if (setrlimit(RLIMIT_DATA, &data) != 0) return -errno;
#endif
  // No core files of somebody's data, and where memory runs out this process goes first.
  struct rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
  int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (write(fd, "500", 3) != 3) errno = 0;
    close(fd);
  }
  return 0;
}

// One byte, with room for one descriptor beside it.
struct passing {
  char byte;
  struct iovec content;
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  struct msghdr message;
};

static void prepare_passing(struct passing *passing) {
  memset(passing, 0, sizeof *passing);
  passing->content = (struct iovec){.iov_base = &passing->byte, .iov_len = 1};
  passing->message = (struct msghdr){.msg_iov = &passing->content,
                                     .msg_iovlen = 1,
                                     .msg_control = passing->control,
                                     .msg_controllen = sizeof passing->control};
}

int csystem_send_descriptor(int socket, int descriptor) {
  struct passing passing;
  prepare_passing(&passing);
  struct cmsghdr *header = CMSG_FIRSTHDR(&passing.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  ssize_t sent;
  do sent = sendmsg(socket, &passing.message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == 1 ? 0 : -errno;
}

int csystem_receive_descriptor(int socket) {
  struct passing passing;
  prepare_passing(&passing);
  ssize_t received;
  do received = recvmsg(socket, &passing.message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  struct cmsghdr *header = CMSG_FIRSTHDR(&passing.message);
  if (received == 0 || !header || header->cmsg_type != SCM_RIGHTS) return -EPIPE;
  int descriptor;
  memcpy(&descriptor, CMSG_DATA(header), sizeof(int));
  return descriptor;
}

void csystem_release_memory(void) { malloc_trim(0); }

void csystem_map_large_memory(int bytes) { mallopt(M_MMAP_THRESHOLD, bytes); }

// --- CRC-32C -------------------------------------------------------------------------------

static uint32_t table[8][256];

// Set before main: reading them later needs no lock.
static int use_hardware;
static int has_hardware(void);

__attribute__((constructor)) static void prepare(void) {
  use_hardware = has_hardware();
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82F63B78u : c >> 1;
    table[0][i] = c;
  }
  for (int t = 1; t < 8; t++)
    for (uint32_t i = 0; i < 256; i++)
      table[t][i] = (table[t - 1][i] >> 8) ^ table[0][table[t - 1][i] & 0xff];
}

static uint32_t portable(uint32_t crc, const uint8_t *p, size_t n) {
  while (n--) crc = (crc >> 8) ^ table[0][(crc ^ *p++) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t crc, const uint8_t *p, size_t n) {
  uint64_t c = crc;
  while (n >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    c = __builtin_ia32_crc32di(c, word);
    p += 8, n -= 8;
  }
  while (n--) c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
  return (uint32_t)c;
}
static int has_hardware(void) { return __builtin_cpu_supports("sse4.2"); }
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
__attribute__((target("arch=armv8-a+crc"))) static uint32_t hardware(uint32_t crc, const uint8_t *p,
                                                                      size_t n) {
  while (n >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    crc = __builtin_arm_crc32cd(crc, word);
    p += 8, n -= 8;
  }
  while (n--) crc = __builtin_arm_crc32cb(crc, *p++);
  return crc;
}
static int has_hardware(void) { return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0; }
#else
#define hardware portable
static int has_hardware(void) { return 0; }
#endif

uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t length) {
  crc = ~crc;
  crc = use_hardware ? hardware(crc, bytes, length) : portable(crc, bytes, length);
  return ~crc;
}

// Swift's own library asks for a hypotf that only glibc 2.35 and later have. With this one the command starts on
// Amazon Linux 2023, too. Squares of floats are exact enough as doubles, and do not overflow.
float hypotf(float x, float y) {
  if (__builtin_isinf(x) || __builtin_isinf(y)) return __builtin_inff();
  return (float)__builtin_sqrt((double)x * x + (double)y * y);
}

// Counted by the C library in the child, before fork(2) returns there. A child made by vfork(2) or
// posix_spawn(3) shares the memory until it executes another program, and is not counted.
static uint64_t forks;
static void count_fork(void) { forks++; }
__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }
uint64_t csystem_forks(void) { return __atomic_load_n(&forks, __ATOMIC_RELAXED); }

static _Thread_local char kept_text[CSYSTEM_KEPT_TEXT_BYTES];
void csystem_keep_text(const char *text) { snprintf(kept_text, sizeof kept_text, "%s", text); }
const char *csystem_kept_text(void) { return kept_text; }

static _Thread_local int64_t thread_number;
int64_t *csystem_thread_number(void) { return &thread_number; }
