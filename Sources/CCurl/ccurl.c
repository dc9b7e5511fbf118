#include "ccurl.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The part of libcurl's ABI that is used here. It has been the same since libcurl.so.4; options are
// looked up by their names, so their numbers are libcurl's own.
typedef void CURL;
struct curl_slist;
struct curl_easyoption {
  const char *name;
  int id;
  int type;
  unsigned flags;
};
enum { CURLE_OK = 0, CURL_GLOBAL_DEFAULT = 3, CURL_HTTP_VERSION_1_1 = 2, CURLINFO_RESPONSE_CODE = 0x200002 };

static struct {
  int (*global_init)(long);
  CURL *(*init)(void);
  void (*cleanup)(CURL *);
  void (*reset)(CURL *);
  int (*setopt)(CURL *, int, ...);
  int (*perform)(CURL *);
  int (*getinfo)(CURL *, int, ...);
  const char *(*strerror)(int);
  struct curl_slist *(*append)(struct curl_slist *, const char *);
  void (*free_all)(struct curl_slist *);
  const struct curl_easyoption *(*option)(const char *);
  const char *(*version)(void);
} curl;

// In this order in `names`, which are looked up once.
enum {
  URL, POSTFIELDS, POSTFIELDSIZE, CUSTOMREQUEST, HTTPHEADER, AWS_SIGV4, USERNAME, PASSWORD, CAINFO, TIMEOUT_MS,
  CONNECTTIMEOUT_MS, NOSIGNAL, PROXY, HTTP_VERSION, ERRORBUFFER, WRITEFUNCTION, WRITEDATA, USERAGENT,
  // The newest of them.
  QUICK_EXIT, ALL,
};
static const char *const names[ALL] = {
  "URL", "POSTFIELDS", "POSTFIELDSIZE", "CUSTOMREQUEST", "HTTPHEADER", "AWS_SIGV4", "USERNAME", "PASSWORD",
  "CAINFO", "TIMEOUT_MS", "CONNECTTIMEOUT_MS", "NOSIGNAL", "PROXY", "HTTP_VERSION", "ERRORBUFFER",
  "WRITEFUNCTION", "WRITEDATA", "USERAGENT", "QUICK_EXIT",
};
static int numbers[ALL];
static char load_error[256];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void load(void) {
  void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) library = dlopen("libcurl-gnutls.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) {
    snprintf(load_error, sizeof load_error, "libcurl.so.4 cannot be opened: install libcurl4 (%s)", dlerror());
    return;
  }
  struct {
    const char *name;
    void *place;
  } functions[] = {
    {"curl_global_init", &curl.global_init}, {"curl_easy_init", &curl.init},
    {"curl_easy_cleanup", &curl.cleanup},    {"curl_easy_reset", &curl.reset},
    {"curl_easy_setopt", &curl.setopt},      {"curl_easy_perform", &curl.perform},
    {"curl_easy_getinfo", &curl.getinfo},    {"curl_easy_strerror", &curl.strerror},
    {"curl_slist_append", &curl.append},     {"curl_slist_free_all", &curl.free_all},
    {"curl_version", &curl.version},         {"curl_easy_option_by_name", &curl.option},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *function = dlsym(library, functions[i].name);
    if (function == NULL) {
      snprintf(
        load_error, sizeof load_error, "libcurl has no %s: install libcurl 7.87 or later", functions[i].name);
      return;
    }
    memcpy(functions[i].place, &function, sizeof function);
  }
  for (int i = 0; i < ALL; i++) {
    const struct curl_easyoption *option = curl.option(names[i]);
    if (option != NULL) numbers[i] = option->id;
    if (option == NULL) {
      snprintf(
        load_error, sizeof load_error, "%.100s has no option %s: install libcurl 7.87 or later", curl.version(),
        names[i]);
      return;
    }
  }
  if (curl.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    snprintf(load_error, sizeof load_error, "%.100s cannot be initialized", curl.version());
  }
}

struct ccurl {
  CURL *easy;
};

ccurl *ccurl_open(char error[256]) {
  pthread_once(&once, load);
  if (load_error[0] != 0) {
    memcpy(error, load_error, sizeof load_error);
    return NULL;
  }
  ccurl *handle = calloc(1, sizeof *handle);
  if (handle != NULL) handle->easy = curl.init();
  if (handle == NULL || handle->easy == NULL) {
    snprintf(error, 256, "libcurl has no memory for a handle");
    free(handle);
    return NULL;
  }
  return handle;
}

void ccurl_close(ccurl *handle) {
  curl.cleanup(handle->easy);
  free(handle);
}

static size_t take(char *bytes, size_t size, size_t count, void *context) {
  struct ccurl_response *response = context;
  size_t length = size * count;
  if (response->length + length > CCURL_BODY_BYTES) return 0;
  char *body = realloc(response->body, response->length + length + 1);
  if (body == NULL) return 0;
  memcpy(body + response->length, bytes, length);
  response->body = body;
  response->length += length;
  body[response->length] = 0;
  return length;
}

void ccurl_perform(ccurl *handle, const struct ccurl_request *request, struct ccurl_response *response) {
  memset(response, 0, sizeof *response);
  CURL *easy = handle->easy;
  struct curl_slist *headers = NULL;
  int code = CURLE_OK;
  // Connections are kept through it.
  curl.reset(easy);
#define SET(option, value) \
  if (code == CURLE_OK) code = curl.setopt(easy, numbers[option], value)
  for (const char *const *line = request->headers; *line != NULL; line++) {
    struct curl_slist *longer = curl.append(headers, *line);
    if (longer == NULL) code = 27;  // CURLE_OUT_OF_MEMORY
    if (longer != NULL) headers = longer;
  }
  SET(ERRORBUFFER, response->error);
  SET(URL, request->url);
  SET(HTTPHEADER, headers);
  if (request->body != NULL) {
    SET(POSTFIELDSIZE, (long)request->body_length);
    SET(POSTFIELDS, request->body);
  }
  if (request->method != NULL) SET(CUSTOMREQUEST, request->method);
  if (request->signature != NULL) {
    SET(AWS_SIGV4, request->signature);
    SET(USERNAME, request->key);
    SET(PASSWORD, request->secret);
  }
  if (request->certificates != NULL) SET(CAINFO, request->certificates);
  SET(TIMEOUT_MS, request->limit_ms);
  SET(CONNECTTIMEOUT_MS, request->limit_ms);
  SET(NOSIGNAL, 1L);
  // Whatever the environment says: the lease does not depend on a proxy.
  SET(PROXY, "");
  SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  SET(USERAGENT, "sluice");
  SET(WRITEFUNCTION, take);
  SET(WRITEDATA, (void *)response);
  // With a name server that does not answer, the time limit holds only so.
  SET(QUICK_EXIT, 1L);
#undef SET
  if (code == CURLE_OK) code = curl.perform(easy);
  if (code == CURLE_OK) code = curl.getinfo(easy, CURLINFO_RESPONSE_CODE, &response->status);
  response->code = code;
  if (code != CURLE_OK && response->error[0] == 0) {
    snprintf(response->error, sizeof response->error, "%.200s", curl.strerror(code));
  }
  // Nothing of this call's stays in the handle.
  curl.reset(easy);
  curl.free_all(headers);
}

void ccurl_free(struct ccurl_response *response) {
  free(response->body);
  response->body = NULL;
}
