// A private protocol: a key-value store whose requests are pipelined and answered
// out of order. All numbers are big-endian.
//
//   u8 'K' u8 'V'   magic
//   u8 kind         1 request, 2 answer, 3 event (nobody answers)
//   u8 code         of requests and events: 1 get, 2 put, 3 delete, 4 changed
//                   of answers: 0 ok, 1 no such key, 2 overloaded
//   u32 id          the answer has the one of its request
//   u32 length      of what follows: the key, and of a put a 0 byte and the value
//
// The host gives what one end has said since its last whole message, so that it
// does not matter how the bytes were cut on their way.
#include "hopscope.h"

HS_PLUGIN

enum { HEAD = 12, BUFFER = 16 << 10, MAX_KEY = 64 };
static uint8_t buf[BUFFER];

static uint32_t u32(const uint8_t *p) { return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]; }

// looks_right tells whether a message starts at p.
static int looks_right(const uint8_t *p) {
	return p[0] == 'K' && p[1] == 'V' && p[2] >= 1 && p[2] <= 3 && p[3] <= 4;
}

HS_EXPORT(check_payload) int32_t check(void) {
	int32_t n = hs_payload(hs_side(), 0, buf, HEAD);
	if (n < HEAD || !looks_right(buf))
		return 0;
	hs_set_text("network.protocol.name", "kv");
	return HS_MINE(buf[2] == 2 ? HS_RESPONSE : HS_REQUEST);
}

static void asked(const uint8_t *m, uint32_t have) {
	static const char ops[5][8] = {"unknown", "get", "put", "delete", "changed"};
	static const uint32_t lens[5] = {7, 3, 3, 6, 7};
	hs_set("hopscope.session.operation", ops[m[3]], lens[m[3]]);
	hs_set("span.name", ops[m[3]], lens[m[3]]);
	uint32_t n = 0;
	while (HEAD + n < have && n < MAX_KEY && m[HEAD + n])
		n++;
	hs_set("kv.key", m + HEAD, n);
}

static void answered(const uint8_t *m) {
	uint8_t digit = '0' + m[3];
	hs_set("hopscope.response.code", &digit, 1);
	switch (m[3]) {
	case 0:
		hs_set_text("hopscope.response.status", "ok");
		return;
	case 1:
		hs_set_text("hopscope.response.status", "client_error");
		hs_set_text("error.type", "no such key");
		return;
	}
	hs_set_text("hopscope.response.status", "server_error");
	hs_set_text("error.type", "overloaded");
	hs_set_text("span.status_message", "overloaded");
}

HS_EXPORT(parse_payload) int32_t parse(void) {
	int32_t n = hs_payload(hs_side(), 0, buf, BUFFER);
	for (int32_t at = 0; n - at >= HEAD;) {
		const uint8_t *m = buf + at;
		if (!looks_right(m))
			return HS_NEXT;
		uint32_t length = HEAD + u32(m + 8), have = n - at;
		// A message that is not all here yet is found when it is, unless it is
		// longer than what we read: its end says nothing to us.
		if (length > have && length <= BUFFER)
			break;
		uint8_t id[8];
		for (int i = 0; i < 8; i++)
			id[i] = "0123456789abcdef"[u32(m + 4) >> (28 - 4 * i) & 15];
		if (hs_message(m[2] - 1, length, id, sizeof id) < 0)
			break;
		if (m[2] == 2)
			answered(m);
		else
			asked(m, have < length ? have : length);
		if (length > have)
			break;
		at += length;
	}
	return HS_STOP;
}
