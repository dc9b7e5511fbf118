// libmicrohttpd, opened when it is first used: it brings GnuTLS along, and only who shows metrics needs it.
#pragma once
#include <stddef.h>
#include <stdint.h>

/// What a GET is answered with: text in memory of malloc(3), which the server frees. NULL: there is none.
typedef char *(*cmicrohttpd_answer)(void *context, size_t *length);

typedef struct cmicrohttpd cmicrohttpd;

/// Listens at a numeric IPv4 or IPv6 `host` (empty: at all addresses) and `port` (0: a free one), on a thread
/// of its own, and answers GET and HEAD of `path`. One connection's memory, how many there are, and how long
/// each may be silent are bounded, so whoever sends garbage or never finishes costs nothing but his own connection.
/// NULL where that cannot be, and `error` says why. `context` and `path` must be there until it is closed.
cmicrohttpd *cmicrohttpd_open(
  const char *host, uint16_t port, const char *path, const char *content_type, cmicrohttpd_answer answer,
  void *context, char error[256]);
uint16_t cmicrohttpd_port(const cmicrohttpd *server);
/// Waits for answers that are on their way.
void cmicrohttpd_close(cmicrohttpd *server);

enum {
  /// Bytes of one connection's memory: of what is read of it before it is refused.
  CMICROHTTPD_CONNECTION_BYTES = 16 << 10,
  CMICROHTTPD_CONNECTIONS = 64,
  CMICROHTTPD_CONNECTIONS_OF_A_HOST = 32,
  /// For which a connection may be silent.
  CMICROHTTPD_SILENCE_S = 5,
};
