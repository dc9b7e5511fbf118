// What Glibc's Swift overlay does not import: O_DIRECT, statx, statfs, what a child process needs, and
// CRC-32C in hardware.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/// open(2) with O_CLOEXEC and the flags that Swift cannot name. `direct` adds O_DIRECT,
/// `foreign` adds O_NOFOLLOW | O_NONBLOCK (somebody else's file). Returns the descriptor or -errno.
int csystem_open(const char *path, int flags, unsigned mode, int direct, int foreign);

/// open(2) of an unlinked temporary file in `directory` (O_TMPFILE, or mkstemp + unlink).
int csystem_open_scratch(const char *directory);

/// A file without a name, in memory, that holds `bytes` and can be changed by nobody
/// (memfd_create(2)). Returns the descriptor or -errno.
int csystem_memory_file(const char *label, const void *bytes, size_t length);

struct csystem_status {
  int64_t size, modified_ms;
  uint64_t inode;
  uint32_t uid, gid, links, mode;
  int regular, directory, symlink;
};
/// fstat / lstat; 0 or -errno.
int csystem_fstat(int descriptor, struct csystem_status *status);
int csystem_lstat(const char *path, struct csystem_status *status);
/// As fstat, asked of the file server (statx(2) with AT_STATX_FORCE_SYNC).
int csystem_fresh_fstat(int descriptor, struct csystem_status *status);

/// sync_file_range(2): begins to write back `count` bytes from `offset` on, and waits for nothing.
void csystem_begin_writeback(int descriptor, int64_t offset, int64_t count);

/// lseek(2) with SEEK_DATA from `offset`; -errno (ENXIO: no data behind it).
int64_t csystem_next_data(int descriptor, int64_t offset);

/// Two reads of one file in flight at once, so that on a file server they take one round trip: `read` is what
/// each came to, or -errno. Past the page cache (O_DIRECT) only; elsewhere they are made one after the other.
/// False where this kernel or sandbox does not do that, and nothing was read.
struct csystem_piece {
  void *bytes;
  size_t length;
  int64_t offset, read;
};
int csystem_read_both(int descriptor, struct csystem_piece pieces[2]);

/// How many files this process may have open; `raise`: raised before to what it may be raised to.
int64_t csystem_open_file_limit(int raise);

/// 1 where the path lies on NFS, 0 where not, -errno. Asks the kernel's table of mounts, because
/// statfs is a request to the server, and statfs only where that does not say.
int csystem_is_network(const char *path);

/// Continues the CRC-32C (Castagnoli) `crc` over `length` bytes. Start with 0.
uint32_t csystem_crc32c(uint32_t crc, const void *bytes, size_t length);

/// Nanoseconds since boot, time asleep included (CLOCK_BOOTTIME).
uint64_t csystem_boottime_ns(void);

/// Nanoseconds of processor time that a process has used; 0 where it is gone.
uint64_t csystem_processor_ns(pid_t process);

/// Nanoseconds for which a process's main thread was ready to run and waited for a processor; 0 where that
/// is not known.
uint64_t csystem_queued_ns(pid_t process);

#define CSYSTEM_SHARED_PAGE_BYTES 4096
/// The descriptor of a page of memory that two processes can share (memfd_create), or -errno.
int csystem_shared_page(void);
/// That page, mapped; NULL where it cannot be.
uint64_t *csystem_map_shared_page(int descriptor);
void csystem_unmap_shared_page(uint64_t *page);
void csystem_close(int descriptor);
/// A word of it, written with release and read with acquire order.
void csystem_store(uint64_t *place, uint64_t value);
uint64_t csystem_load(const uint64_t *place);
/// Adds to a word, from any thread.
void csystem_add(uint64_t *place, uint64_t value);

/// Has the kernel kill this process when the thread of `parent` that started it ends. 0, or -errno:
/// -ESRCH where it ended already.
int csystem_end_with_parent(pid_t parent);

/// Bounds this process's own memory (RLIMIT_DATA), without core files, and makes it the first that the
/// kernel ends where memory runs out. 0 or -errno.
int csystem_limit_memory(uint64_t bytes);

/// Passes an open descriptor through a Unix socket (SCM_RIGHTS) with one byte; 0 or -errno.
int csystem_send_descriptor(int socket, int descriptor);
/// The descriptor that was passed, or -errno.
int csystem_receive_descriptor(int socket);

/// Gives memory that was freed back to the kernel (malloc_trim).
void csystem_release_memory(void);
/// Has what takes so many bytes or more go back to the kernel as soon as it is freed (mallopt,
/// M_MMAP_THRESHOLD; unless it is set, that grows with what is freed).
void csystem_map_large_memory(int bytes);

/// How many forks lie between this process and the one that loaded this code: another number in a child
/// than in its parent.
uint64_t csystem_forks(void);

#define CSYSTEM_KEPT_TEXT_BYTES 4096
/// A text that this thread keeps, cut to its room, until it keeps another; at first an empty one.
void csystem_keep_text(const char *text);
const char *csystem_kept_text(void);

/// A number that this thread keeps; 0 at first.
int64_t *csystem_thread_number(void);

/// A numeric address and a UDP port: IPv6, or IPv4 in the upper half of `high`; the bytes as they go over
/// the wire, read as big-endian numbers.
struct csystem_udp_address {
  uint64_t high, low;
  uint16_t port;
  int six;
};
/// A UDP socket bound to `address`, in which the port that it got is set. The descriptor or -errno.
int csystem_udp_open(struct csystem_udp_address *address);
/// sendto(2), never waiting: what cannot go out at once is lost.
void csystem_udp_send(int socket, const void *bytes, size_t count, const struct csystem_udp_address *to);
/// recvfrom(2), never waiting. The bytes received, or -1 where there is nothing.
int csystem_udp_receive(int socket, void *bytes, size_t room, struct csystem_udp_address *from);
/// Waits until the socket or the event has something, at most so long, or until a signal comes.
void csystem_udp_wait(int socket, int event, int64_t nanoseconds);
/// eventfd(2): a descriptor that can be set from any thread. The descriptor or -errno.
int csystem_event_open(void);
void csystem_event_set(int event);
/// Whether it was set since it was last taken.
int csystem_event_take(int event);
/// inet_pton(3); 0, or -1 where `host` is no numeric address.
int csystem_udp_parse(const char *host, struct csystem_udp_address *address);
/// This host's own addresses, with port 0: of interfaces that are up, without loopback and link-local ones. How
/// many there are, of which the first `room` are stored, or -errno.
int csystem_udp_own(struct csystem_udp_address *found, int room);
/// The address of this host that datagrams to `peer` would come from. Nothing is sent. 0 or -errno.
int csystem_udp_source(const struct csystem_udp_address *peer, struct csystem_udp_address *source);
/// inet_ntop(3), into 46 bytes.
void csystem_udp_format(const struct csystem_udp_address *address, char *text);
/// A number of what loopback addresses reach from here: this boot of this kernel, and the network
/// namespace. 0 where it is not known.
uint64_t csystem_loopback(void);
