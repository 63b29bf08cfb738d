// What plugins of the wasmparser processor import, for C and C++. The meaning of
// each call is in docs/plugin-abi.md. Build with
//
//   clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -I sdk/c -o plugin.wasm plugin.c
//
// (Debian: clang lld), or with --target=wasm32-wasi and a C library (wasi-libc).
#ifndef HOPSCOPE_H
#define HOPSCOPE_H

#include <stdint.h>

#define HS_IMPORT(name) __attribute__((import_module("hopscope"), import_name(#name)))
#define HS_EXPORT(name) __attribute__((export_name(#name), used))

// Exactly one file of a plugin says this.
#define HS_PLUGIN \
	HS_EXPORT(abi_version) int32_t hs_abi_version(void) { return 1; }

// Results of on_span and parse_payload: HS_NEXT of parse_payload is "this is not
// what I know".
enum { HS_NEXT = 0, HS_STOP = 1 };
// Who sent a message, or its kind.
enum { HS_REQUEST = 0, HS_RESPONSE = 1, HS_ONE_WAY = 2 };
// Types of attributes.
enum { HS_STRING = 0, HS_INT = 1, HS_DOUBLE = 2, HS_BOOL = 3 };
// Errors.
enum { HS_ENOENT = -1, HS_EFAULT = -2, HS_E2BIG = -3, HS_EPERM = -4, HS_EINVAL = -5 };

// Result of check_payload: sender is HS_REQUEST or HS_RESPONSE.
#define HS_MINE(sender) (1 | ((sender) + 1) << 8)

HS_IMPORT(log) int32_t hs_log(uint32_t level, const void *p, uint32_t n);
HS_IMPORT(setting_get) int32_t hs_setting_get(const void *key, uint32_t key_len, void *p, uint32_t n);
HS_IMPORT(attr_get) int32_t hs_attr_get(const void *key, uint32_t key_len, void *p, uint32_t n);
HS_IMPORT(attr_set) int32_t hs_attr_set(const void *key, uint32_t key_len, uint32_t type, const void *p, uint32_t n);
HS_IMPORT(payload) int32_t hs_payload(uint32_t side, uint32_t offset, void *p, uint32_t n);
HS_IMPORT(side) int32_t hs_side(void);
HS_IMPORT(message) int32_t hs_message(uint32_t kind, uint32_t length, const void *id, uint32_t id_len);
HS_IMPORT(state_get) int32_t hs_state_get(void *p, uint32_t n);
HS_IMPORT(state_set) int32_t hs_state_set(const void *p, uint32_t n);

// For keys that are written where they are used.
#define hs_get(key, p, n) hs_attr_get(key, sizeof(key) - 1, p, n)
#define hs_setting(key, p, n) hs_setting_get(key, sizeof(key) - 1, p, n)
#define hs_set(key, p, n) hs_attr_set(key, sizeof(key) - 1, HS_STRING, p, n)
#define hs_set_text(key, text) hs_set(key, text, sizeof(text) - 1)
static inline int32_t hs_set_int_(const void *key, uint32_t key_len, int64_t v) {
	return hs_attr_set(key, key_len, HS_INT, &v, 8);
}
#define hs_set_int(key, v) hs_set_int_(key, sizeof(key) - 1, v)

#endif
