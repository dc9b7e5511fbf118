#include "cmicrohttpd.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// The part of libmicrohttpd's ABI that is used here; it has been the same since libmicrohttpd.so.12.
struct MHD_Daemon;
struct MHD_Connection;
struct MHD_Response;
enum { MHD_NO = 0, MHD_YES = 1 };
enum { MHD_USE_INTERNAL_POLLING_THREAD = 8, MHD_USE_AUTO = 65536 };
enum { MHD_RESPMEM_PERSISTENT = 0, MHD_RESPMEM_MUST_FREE = 1 };
enum {
  MHD_OPTION_END = 0,
  MHD_OPTION_CONNECTION_MEMORY_LIMIT = 1,
  MHD_OPTION_CONNECTION_LIMIT = 2,
  MHD_OPTION_CONNECTION_TIMEOUT = 3,
  MHD_OPTION_PER_IP_CONNECTION_LIMIT = 5,
  MHD_OPTION_LISTEN_SOCKET = 12,
};

typedef int (*access_handler)(
  void *, struct MHD_Connection *, const char *url, const char *method, const char *version, const char *data,
  size_t *length, void **state);

static struct {
  struct MHD_Daemon *(*start)(unsigned flags, uint16_t port, void *, void *, access_handler, void *, ...);
  void (*stop)(struct MHD_Daemon *);
  struct MHD_Response *(*response)(size_t, void *, int mode);
  int (*header)(struct MHD_Response *, const char *, const char *);
  int (*queue)(struct MHD_Connection *, unsigned status, struct MHD_Response *);
  void (*destroy)(struct MHD_Response *);
} mhd;

static char load_error[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *library = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    snprintf(
      load_error, sizeof load_error, "libmicrohttpd.so.12 cannot be opened: install libmicrohttpd12 (%s)", dlerror());
    return;
  }
  struct {
    const char *name;
    void *place;
  } functions[] = {
    {"MHD_start_daemon", &mhd.start},      {"MHD_stop_daemon", &mhd.stop},
    {"MHD_queue_response", &mhd.queue},    {"MHD_create_response_from_buffer", &mhd.response},
    {"MHD_add_response_header", &mhd.header}, {"MHD_destroy_response", &mhd.destroy},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *function = dlsym(library, functions[i].name);
    if (function == NULL) {
      snprintf(load_error, sizeof load_error, "libmicrohttpd has no %s", functions[i].name);
      return;
    }
    memcpy(functions[i].place, &function, sizeof function);
  }
}

struct cmicrohttpd {
  struct MHD_Daemon *daemon;
  const char *path, *content_type;
  cmicrohttpd_answer answer;
  void *context;
  uint16_t port;
};

static int send_text(
  struct MHD_Connection *connection, unsigned status, size_t length, char *text, int mode, const char *type) {
  struct MHD_Response *response = mhd.response(length, text, mode);
  if (response == NULL) {
    if (mode == MHD_RESPMEM_MUST_FREE) free(text);
    return MHD_NO;
  }
  mhd.header(response, "Content-Type", type);
  int done = mhd.queue(connection, status, response);
  mhd.destroy(response);
  return done;
}

static int refuse(struct MHD_Connection *connection, unsigned status, const char *text) {
  return send_text(connection, status, strlen(text), (char *)text, MHD_RESPMEM_PERSISTENT, "text/plain");
}

static int handle(
  void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
  const char *data, size_t *length, void **state) {
  (void)version, (void)data, (void)length, (void)state;
  const cmicrohttpd *server = context;
  if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) return refuse(connection, 405, "only GET\n");
  if (strcmp(url, server->path) != 0) return refuse(connection, 404, "there is nothing here\n");
  size_t size = 0;
  char *text = server->answer(server->context, &size);
  if (text == NULL) return refuse(connection, 503, "no memory\n");
  return send_text(connection, 200, size, text, MHD_RESPMEM_MUST_FREE, server->content_type);
}

/// A socket that listens; -1: it cannot be had.
static int listening(const char *host, uint16_t port, uint16_t *bound, char error[256]) {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
  } address = {0};
  socklen_t length;
  if (inet_pton(AF_INET, host, &address.v4.sin_addr) == 1) {
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    length = sizeof address.v4;
  } else if (host[0] == 0 || inet_pton(AF_INET6, host, &address.v6.sin6_addr) == 1) {
    address.v6.sin6_family = AF_INET6;
    address.v6.sin6_port = htons(port);
    length = sizeof address.v6;
  } else {
    snprintf(error, 256, "%.100s is no numeric address", host);
    return -1;
  }
  int descriptor = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0 && host[0] == 0) {
    // A host without IPv6.
    memset(&address, 0, sizeof address);
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(port);
    length = sizeof address.v4;
    descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  }
  int on = 1, off = 0;
  if (descriptor >= 0) {
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.any.sa_family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(descriptor, &address.any, length) == 0 && listen(descriptor, 16) == 0
        && getsockname(descriptor, &address.any, &length) == 0) {
      *bound = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
      return descriptor;
    }
  }
  snprintf(error, 256, "%.128s", strerror(errno));
  if (descriptor >= 0) close(descriptor);
  return -1;
}

cmicrohttpd *cmicrohttpd_open(
  const char *host, uint16_t port, const char *path, const char *content_type, cmicrohttpd_answer answer,
  void *context, char error[256]) {
  pthread_once(&once, load);
  if (load_error[0] != 0) {
    memcpy(error, load_error, sizeof load_error);
    return NULL;
  }
  cmicrohttpd *server = calloc(1, sizeof *server);
  if (server == NULL) {
    snprintf(error, 256, "no memory");
    return NULL;
  }
  *server = (cmicrohttpd){.path = path, .content_type = content_type, .answer = answer, .context = context};
  int listener = listening(host, port, &server->port, error);
  if (listener < 0) {
    free(server);
    return NULL;
  }
  server->daemon = mhd.start(
    MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL, handle, server,
    MHD_OPTION_LISTEN_SOCKET, listener,
    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CMICROHTTPD_CONNECTION_BYTES,
    MHD_OPTION_CONNECTION_LIMIT, (unsigned)CMICROHTTPD_CONNECTIONS,
    MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)CMICROHTTPD_CONNECTIONS_OF_A_HOST,
    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CMICROHTTPD_SILENCE_S, MHD_OPTION_END);
  if (server->daemon == NULL) {
    snprintf(error, 256, "libmicrohttpd cannot start a server");
    close(listener);
    free(server);
    return NULL;
  }
  return server;
}

uint16_t cmicrohttpd_port(const cmicrohttpd *server) { return server->port; }

void cmicrohttpd_close(cmicrohttpd *server) {
  mhd.stop(server->daemon);
  free(server);
}
