#define _GNU_SOURCE
#include "csystem.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// io_setup(2) takes 0.1 ms and io_destroy(2) some 30 ms, so contexts are kept. Whoever takes one out of its place
// has it alone; no lock is held that a forked child could inherit. A child's contexts are its parent's, and
// io_submit(2) says EINVAL there.
static _Atomic(aio_context_t) kept_contexts[16];
static const int kept_contexts_count = sizeof kept_contexts / sizeof *kept_contexts;

static aio_context_t take_context(void) {
  for (int i = 0; i < kept_contexts_count; i++) {
    aio_context_t context = atomic_exchange(&kept_contexts[i], 0);
    if (context != 0) return context;
  }
  aio_context_t made = 0;
  return syscall(SYS_io_setup, 2, &made) == 0 ? made : 0;
}

static void keep_context(aio_context_t context) {
  for (int i = 0; i < kept_contexts_count; i++) {
    aio_context_t none = 0;
    if (atomic_compare_exchange_strong(&kept_contexts[i], &none, context)) return;
  }
  syscall(SYS_io_destroy, context);
}

int csystem_read_both(int descriptor, struct csystem_piece pieces[2]) {
  struct iocb requests[2];
  struct iocb *both[2] = {&requests[0], &requests[1]};
  memset(requests, 0, sizeof requests);
  for (int i = 0; i < 2; i++) {
    requests[i].aio_lio_opcode = IOCB_CMD_PREAD;
    requests[i].aio_fildes = (uint32_t)descriptor;
    requests[i].aio_buf = (uint64_t)(uintptr_t)pieces[i].bytes;
    requests[i].aio_nbytes = pieces[i].length;
    requests[i].aio_offset = pieces[i].offset;
    requests[i].aio_data = (uint64_t)i;
  }
  long begun = -1;
  aio_context_t context = 0;
  // Each try uses up one that an ancestor of this process left.
  for (int i = 0; begun < 0 && i <= kept_contexts_count; i++) {
    context = take_context();
    if (context == 0) return 0;
    begun = syscall(SYS_io_submit, context, 2L, both);
    if (begun < 0 && errno != EINVAL) {
      keep_context(context);
      return 0;
    }
  }
  if (begun <= 0) return 0;
  // The buffers are the kernel's until all that was begun has ended.
  for (long ended = 0; ended < begun;) {
    struct io_event events[2];
    long count = syscall(SYS_io_getevents, context, 1L, begun - ended, events, NULL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      syscall(SYS_io_destroy, context);
      return 0;
    }
    for (long i = 0; i < count; i++) pieces[events[i].data].read = events[i].res;
    ended += count;
  }
  keep_context(context);
  return begun == 2;
}
