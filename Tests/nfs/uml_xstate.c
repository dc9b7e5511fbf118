// User-mode Linux 6.1 saves 832 bytes of floating-point state, but on a processor with AVX-512 or
// AMX the host's ptrace takes back nothing less than the whole state: every guest dies at boot with
// "ptrace set fp regs failed, errno = 14". Preloaded into linux.uml, this completes the state that
// UML gives from what the traced process has. Build: cc -shared -fPIC -O2 -o uml_xstate.so uml_xstate.c -ldl
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

typedef long (*ptrace_function)(int, pid_t, void *, void *);

static ptrace_function real;
// Not on the stack: UML calls ptrace on its guests' kernel stacks, which are small. One thread calls.
static char whole[16384];

__attribute__((constructor)) static void find_real(void) {
  real = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
}

long ptrace(enum __ptrace_request request, ...) {
  va_list arguments;
  va_start(arguments, request);
  pid_t pid = va_arg(arguments, pid_t);
  void *address = va_arg(arguments, void *);
  void *data = va_arg(arguments, void *);
  va_end(arguments);

  if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) {
    struct iovec *given = data;
    struct iovec full = {whole, sizeof whole};
    if (real(PTRACE_GETREGSET, pid, address, &full) == 0 && full.iov_len > given->iov_len) {
      // The header's bit vector (byte 512) must keep the components that UML does not know.
      unsigned long kept, set;
      memcpy(&kept, whole + 512, 8);
      memcpy(whole, given->iov_base, given->iov_len);
      memcpy(&set, whole + 512, 8);
      set |= kept & ~7ul;
      memcpy(whole + 512, &set, 8);
      return real(request, pid, address, &full);
    }
  }
  return real(request, pid, address, data);
}
