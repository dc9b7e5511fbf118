// libcurl, opened when it is first used: linking it makes each start of a process 6 ms longer, and only
// the lease on DynamoDB needs it.
#pragma once
#include <stdbool.h>
#include <stddef.h>

struct ccurl_request {
  const char *url;
  /// NULL: GET, or POST where there is a body.
  const char *method;
  /// NULL: none.
  const char *body;
  size_t body_length;
  /// Lines "Name: value", closed by NULL.
  const char *const *headers;
  /// CURLOPT_AWS_SIGV4; NULL: not signed.
  const char *signature;
  const char *key, *secret;
  /// A file of certificates; NULL: libcurl's own. The same for all requests of a handle to one URL.
  const char *certificates;
  long limit_ms;
};

struct ccurl_response {
  /// CURLcode; 0: there is an answer.
  int code;
  /// The HTTP status.
  long status;
  /// Closed by a zero; NULL: none.
  char *body;
  size_t length;
  char error[256];
};

/// A body is cut off, and the call fails, behind so many bytes.
#define CCURL_BODY_BYTES (1 << 20)

typedef struct ccurl ccurl;

/// A handle, with connections that are kept; NULL where libcurl cannot be used, and `error` says why.
/// Used by one thread at a time, and only by the process that made it. It stays set for its last URL, so that the
/// next POST there costs little.
ccurl *ccurl_open(char error[256]);
void ccurl_close(ccurl *handle);
void ccurl_perform(ccurl *handle, const struct ccurl_request *request);
/// To the last request; it is there until the next one begins.
const struct ccurl_response *ccurl_answer(const ccurl *handle);

/// Requests of many handles that one thread drives, with the connections that they share.
typedef struct ccurl_group ccurl_group;

/// With so many connections that are kept; NULL: there is no memory. Behind a `ccurl_open` that succeeded.
ccurl_group *ccurl_group_open(long connections);
/// False: it has failed already. A handle is in one group, or performs alone, for all of its life.
bool ccurl_begin(ccurl_group *group, ccurl *handle, const struct ccurl_request *request);
/// Does what can be done without waiting.
void ccurl_go_on(ccurl_group *group);
/// One whose answer is there, or failed; NULL: none more.
ccurl *ccurl_next(ccurl_group *group);
/// Until there is something to do, or `ccurl_wake`.
void ccurl_wait(ccurl_group *group, int limit_ms);
/// From any thread.
void ccurl_wake(ccurl_group *group);

/// CURLE_COULDNT_RESOLVE_HOST, CURLE_OPERATION_TIMEDOUT, and the certificates of the other side.
enum { CCURL_NO_HOST = 6, CCURL_NO_CONNECTION = 7, CCURL_TIMED_OUT = 28, CCURL_CERTIFICATE = 60, CCURL_CERTIFICATES = 77 };
