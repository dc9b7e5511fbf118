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
typedef void CURLM;
struct curl_slist;
struct curl_easyoption {
  const char *name;
  int id;
  int type;
  unsigned flags;
};
struct curl_message {
  int message;
  CURL *easy;
  union {
    void *whatever;
    int result;
  } data;
};
enum {
  CURLE_OK = 0,
  CURLE_OUT_OF_MEMORY = 27,
  CURL_GLOBAL_DEFAULT = 3,
  CURL_HTTP_VERSION_1_1 = 2,
  CURLINFO_RESPONSE_CODE = 0x200002,
  CURLINFO_PRIVATE = 0x100000 + 21,
  CURLMSG_DONE = 1,
  // Options of a group have no names to look them up by.
  CURLMOPT_MAXCONNECTS = 6,
};

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
  CURLM *(*multi_init)(void);
  int (*multi_setopt)(CURLM *, int, ...);
  int (*multi_add)(CURLM *, CURL *);
  int (*multi_remove)(CURLM *, CURL *);
  int (*multi_perform)(CURLM *, int *);
  int (*multi_poll)(CURLM *, void *, unsigned, int, int *);
  int (*multi_wakeup)(CURLM *);
  struct curl_message *(*multi_read)(CURLM *, int *);
} curl;

// In this order in `names`, which are looked up once.
enum {
  URL, COPYPOSTFIELDS, POSTFIELDSIZE, CUSTOMREQUEST, HTTPHEADER, AWS_SIGV4, USERNAME, PASSWORD, CAINFO, TIMEOUT_MS, CONNECTTIMEOUT_MS, NOSIGNAL, PROXY,
  HTTP_VERSION, ERRORBUFFER, WRITEFUNCTION, WRITEDATA, USERAGENT, PRIVATE,
  // The newest of them.
  QUICK_EXIT, ALL,
};
static const char *const names[ALL] = {
  "URL", "COPYPOSTFIELDS", "POSTFIELDSIZE", "CUSTOMREQUEST", "HTTPHEADER", "AWS_SIGV4", "USERNAME", "PASSWORD", "CAINFO", "TIMEOUT_MS",
  "CONNECTTIMEOUT_MS", "NOSIGNAL", "PROXY", "HTTP_VERSION", "ERRORBUFFER", "WRITEFUNCTION", "WRITEDATA", "USERAGENT",
  "PRIVATE", "QUICK_EXIT",
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
    {"curl_multi_init", &curl.multi_init},   {"curl_multi_setopt", &curl.multi_setopt},
    {"curl_multi_add_handle", &curl.multi_add},
    {"curl_multi_remove_handle", &curl.multi_remove},
    {"curl_multi_perform", &curl.multi_perform},
    {"curl_multi_poll", &curl.multi_poll},
    {"curl_multi_wakeup", &curl.multi_wakeup},
    {"curl_multi_info_read", &curl.multi_read},
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
  struct curl_slist *headers;
  struct ccurl_response response;
  /// What it is set for: POST to that URL. NULL: for nothing.
  char *url;
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

static void clear(struct ccurl_response *response) {
  free(response->body);
  memset(response, 0, sizeof *response);
}

void ccurl_close(ccurl *handle) {
  curl.cleanup(handle->easy);
  curl.free_all(handle->headers);
  clear(&handle->response);
  free(handle->url);
  free(handle);
}

const struct ccurl_response *ccurl_answer(const ccurl *handle) { return &handle->response; }

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

#define SET(option, value) \
  if (code == CURLE_OK) code = curl.setopt(handle->easy, numbers[option], value)

// What all requests to one place have in common, once.
static int aim(ccurl *handle, const struct ccurl_request *request) {
  bool stays = request->method == NULL && request->body != NULL;
  if (stays && handle->url != NULL && strcmp(handle->url, request->url) == 0) return CURLE_OK;
  int code = CURLE_OK;
  // Connections are kept through it.
  curl.reset(handle->easy);
  free(handle->url);
  handle->url = stays ? strdup(request->url) : NULL;
  SET(ERRORBUFFER, handle->response.error);
  SET(URL, request->url);
  if (request->method != NULL) SET(CUSTOMREQUEST, request->method);
  if (request->certificates != NULL) SET(CAINFO, request->certificates);
  SET(NOSIGNAL, 1L);
  // Whatever the environment says: the lease does not depend on a proxy.
  SET(PROXY, "");
  SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
  SET(USERAGENT, "sluice");
  SET(WRITEFUNCTION, take);
  SET(WRITEDATA, (void *)&handle->response);
  SET(PRIVATE, (void *)handle);
  // With a name server that does not answer, the time limit holds only so.
  SET(QUICK_EXIT, 1L);
  return code;
}

static int prepare(ccurl *handle, const struct ccurl_request *request) {
  clear(&handle->response);
  int code = aim(handle, request);
  for (const char *const *line = request->headers; *line != NULL; line++) {
    struct curl_slist *longer = curl.append(handle->headers, *line);
    if (longer == NULL) code = CURLE_OUT_OF_MEMORY;
    if (longer != NULL) handle->headers = longer;
  }
  SET(HTTPHEADER, handle->headers);
  SET(AWS_SIGV4, request->signature);
  SET(USERNAME, request->key);
  SET(PASSWORD, request->secret);
  if (request->body != NULL) {
    SET(POSTFIELDSIZE, (long)request->body_length);
    SET(COPYPOSTFIELDS, request->body);
  }
  SET(TIMEOUT_MS, request->limit_ms);
  SET(CONNECTTIMEOUT_MS, request->limit_ms);
  return code;
}

static void finish(ccurl *handle, int code) {
  struct ccurl_response *response = &handle->response;
  if (code == CURLE_OK) code = curl.getinfo(handle->easy, CURLINFO_RESPONSE_CODE, &response->status);
  response->code = code;
  if (code != CURLE_OK && response->error[0] == 0) {
    snprintf(response->error, sizeof response->error, "%.200s", curl.strerror(code));
  }
  // What this request was allowed by does not stay in the handle.
  static const int rights[] = {HTTPHEADER, AWS_SIGV4, USERNAME, PASSWORD};
  for (size_t i = 0; i < sizeof rights / sizeof *rights; i++) curl.setopt(handle->easy, numbers[rights[i]], NULL);
  curl.free_all(handle->headers);
  handle->headers = NULL;
  if (handle->url == NULL) curl.reset(handle->easy);
}

void ccurl_perform(ccurl *handle, const struct ccurl_request *request) {
  int code = prepare(handle, request);
  if (code == CURLE_OK) code = curl.perform(handle->easy);
  finish(handle, code);
}

#undef SET

// MARK: many at once

struct ccurl_group {
  CURLM *multi;
};

ccurl_group *ccurl_group_open(long connections) {
  ccurl_group *group = calloc(1, sizeof *group);
  if (group != NULL) group->multi = curl.multi_init();
  if (group == NULL || group->multi == NULL) {
    free(group);
    return NULL;
  }
  curl.multi_setopt(group->multi, CURLMOPT_MAXCONNECTS, connections);
  return group;
}

bool ccurl_begin(ccurl_group *group, ccurl *handle, const struct ccurl_request *request) {
  int code = prepare(handle, request);
  if (code == CURLE_OK && curl.multi_add(group->multi, handle->easy) != 0) code = CURLE_OUT_OF_MEMORY;
  if (code != CURLE_OK) finish(handle, code);
  return code == CURLE_OK;
}

ccurl *ccurl_next(ccurl_group *group) {
  int left;
  for (;;) {
    struct curl_message *message = curl.multi_read(group->multi, &left);
    if (message == NULL) return NULL;
    if (message->message != CURLMSG_DONE) continue;
    // The message goes with the handle.
    int code = message->data.result;
    ccurl *handle = NULL;
    curl.getinfo(message->easy, CURLINFO_PRIVATE, &handle);
    curl.multi_remove(group->multi, message->easy);
    finish(handle, code);
    return handle;
  }
}

void ccurl_go_on(ccurl_group *group) {
  int running;
  curl.multi_perform(group->multi, &running);
}

void ccurl_wait(ccurl_group *group, int limit_ms) { curl.multi_poll(group->multi, NULL, 0, limit_ms, NULL); }

void ccurl_wake(ccurl_group *group) { curl.multi_wakeup(group->multi); }
