// libcurl, opened when it is first used: linking it makes each start of a process 6 ms longer, and only
// the lease on DynamoDB needs it.
#pragma once
#include <stddef.h>

struct ccurl_request {
  const char *url;
  /// NULL: GET, or POST where there is a body.
  const char *method;
  /// NULL: none.
  const char *body;
  size_t body_length;
  /// Lines "Name: value", closed by NULL. None may be empty behind the colon: libcurl before 8.3 signs
  /// such a header and does not send it.
  const char *const *headers;
  /// What CURLOPT_AWS_SIGV4 takes, with the key and its secret; NULL: not signed.
  const char *signature, *key, *secret;
  /// A file of certificates; NULL: libcurl's own.
  const char *certificates;
  long limit_ms;
};

struct ccurl_response {
  /// CURLcode; 0: there is an answer.
  int code;
  /// The HTTP status.
  long status;
  /// Closed by a zero; `ccurl_free` frees it.
  char *body;
  size_t length;
  char error[256];
};

/// A body is cut off, and the call fails, behind so many bytes.
#define CCURL_BODY_BYTES (1 << 20)

typedef struct ccurl ccurl;

/// A handle, with connections that are kept; NULL where libcurl cannot be used, and `error` says why.
/// Used by one thread at a time, and only by the process that made it.
ccurl *ccurl_open(char error[256]);
void ccurl_close(ccurl *handle);
void ccurl_perform(ccurl *handle, const struct ccurl_request *request, struct ccurl_response *response);
void ccurl_free(struct ccurl_response *response);
/// CURLE_COULDNT_RESOLVE_HOST, CURLE_OPERATION_TIMEDOUT, and the certificates of the other side.
enum { CCURL_NO_HOST = 6, CCURL_NO_CONNECTION = 7, CCURL_TIMED_OUT = 28, CCURL_CERTIFICATE = 60, CCURL_CERTIFICATES = 77 };
