// A plugin that does what the host has to survive. The first byte of the payload
// says what. Built by:
//   clang-19 --target=wasm32 -O1 -mbulk-memory -nostdlib -Wl,--no-entry -o hostile.wasm hostile.c
#include <stdint.h>
#define IMPORT(name) __attribute__((import_module("deepflow"), import_name(name)))
#define EXPORT(name) __attribute__((export_name(name)))
IMPORT("vm_read_payload") int32_t read_payload(void *p, int32_t n);
IMPORT("vm_read_ctx_base") int32_t read_ctx(void *p, int32_t n);
IMPORT("host_read_l7_protocol_info") int32_t result(const void *p, int32_t n);

static uint8_t bitmap[16] = {0xc0, [15] = 1};
static uint8_t in[2048], big[1 << 20];
static volatile uint32_t sink;

EXPORT("get_hook_bitmap") int32_t hooks(void) { return (int32_t)bitmap; }
EXPORT("check_payload") int32_t check(void) { return 0; }
EXPORT("on_http_resp") int32_t resp(void) { return 0; }

__attribute__((noinline)) static int32_t deep(uint32_t n) {
	volatile uint32_t keep = n;
	return deep(n + 1) + keep;
}

__attribute__((noinline)) static void leaf(uint32_t n) { sink += n; }
__attribute__((noinline)) static uint32_t leaves(const uint8_t *p, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) {
		if (p[i] == 0)
			return i; // a branch out of the function from inside a loop
		leaf(p[i]);
	}
	return n;
}

static int32_t act(uint8_t mode);

// A parser's work: sum of 1 KB after reading it; or what is asked for after '!'.
EXPORT("on_http_req") int32_t req(void) {
	int32_t n = read_payload(in, sizeof in);
	if (n > 1 && in[0] == '!')
		return act(in[1]);
	uint32_t sum = 0;
	for (int32_t i = 0; i < n; i++)
		sum = sum * 31 + in[i];
	sink = sum;
	return 0;
}

EXPORT("parse_payload") int32_t parse(void) {
	if (read_payload(in, sizeof in) < 1)
		return 1;
	return act(in[0]);
}

static int32_t act(uint8_t mode) {
	switch (mode) {
	case 'l': for (;;) ;                                   // a loop of nothing
	case 'm': for (;;) sink += in[sink & 1023];            // a loop that works
	case 'h': for (;;) read_ctx(in, sizeof in);            // a loop of calls to the host
	case 'c': for (;;) leaf(1);                            // a loop of calls
	case 'd': for (;;) leaves(in, 2048);                   // and of calls that return from loops
	case 'f': for (;;) __builtin_memset(big, (int)sink, sizeof big); // a loop of much work
	case 'g': while (__builtin_wasm_memory_grow(0, 16) != (uint32_t)-1) ;  // all the memory there is
		return 1;
	case 't': __builtin_trap();
	case 'w': return read_payload((void *)0x7fffff00, 1 << 20);
	case 'p': result((void *)0x7fffff00, 100); return 1;   // a result from nowhere
	case 'H': result(big, 1 << 30); return 1;              // 1 GiB of result
	case 'b': result("\x00\x05" "ab", 4); return 1;        // cut off
	case 'j': result("\x00\x05" "abcde", 7); return 1;     // no dialect
	case 'r': return deep(0);
	case 'a': return 77;                                   // no such action
	}
	result("\x00\x0c" "PB" "\x6a\x08" "survived", 14);
	return 1;
}
