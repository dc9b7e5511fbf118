// SHA-256 of OpenSSL's libcrypto. The old functions: EVP loads providers, which takes 5 ms of a process's
// start.
#pragma once
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
