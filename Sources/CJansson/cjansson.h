// Jansson's C API, and what its macros hide from Swift.
#pragma once
#include <jansson.h>

static inline int cjansson_type(const json_t *value) { return (int)json_typeof(value); }
static inline void cjansson_release(json_t *value) { json_decref(value); }
