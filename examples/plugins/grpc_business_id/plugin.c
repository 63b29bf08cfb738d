// The transaction number in field 1235 of a gRPC message is the trace id: services
// that pass it on, and no header, are one trace.
//
// The payload of a gRPC exchange is the HTTP/2 frames of its stream: a head of 9
// bytes (u24 length, u8 type, u8 flags, u32 stream), then HEADERS, which we pass
// over, and DATA. Of the DATA, the first message: u8 compressed, u32 length,
// protobuf.
#include "hopscope.h"

HS_PLUGIN

enum { FIELD = 1235, FRAME = 9, PREFIX = 5, DATA = 0, PADDED = 8, BUFFER = 16 << 10 };
static uint8_t buf[BUFFER];

// varint reads a number; 0 bytes taken: there is none.
static uint32_t varint(const uint8_t *p, uint32_t n, uint64_t *v) {
	*v = 0;
	for (uint32_t i = 0; i < n && i < 10; i++) {
		*v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] < 0x80)
			return i + 1;
	}
	return 0;
}

// data moves what the DATA frames hold to the front of buf.
static uint32_t data(uint32_t n) {
	uint32_t at = 0, out = 0;
	while (n - at >= FRAME) {
		const uint8_t *h = buf + at;
		uint32_t length = h[0] << 16 | h[1] << 8 | h[2], type = h[3], flags = h[4];
		at += FRAME;
		if (length > n - at)
			length = n - at; // cut off by the limit of the payload
		uint32_t from = at, end = at + length;
		at = end;
		if (type != DATA)
			continue;
		if (flags & PADDED && from < end) {
			uint32_t pad = buf[from++];
			end = pad < end - from ? end - pad : from;
		}
		while (from < end)
			buf[out++] = buf[from++];
	}
	return out;
}

// set writes the id; numbers become decimal text.
static void set(const uint8_t *p, uint32_t n) {
	hs_set("hopscope.propagation.trace_id", p, n);
	hs_set("app.transaction", p, n);
}

static void set_number(uint64_t v) {
	uint8_t text[20];
	uint32_t n = sizeof text;
	do
		text[--n] = '0' + v % 10;
	while (v /= 10);
	set(text + n, sizeof text - n);
}

HS_EXPORT(on_span) int32_t on_span(void) {
	int32_t got = hs_payload(HS_REQUEST, 0, buf, BUFFER);
	if (got < FRAME)
		return HS_NEXT;
	uint32_t n = data(got);
	if (n < PREFIX || buf[0] != 0) // nothing, or compressed
		return HS_NEXT;
	const uint8_t *p = buf + PREFIX;
	uint32_t length = (uint32_t)buf[1] << 24 | buf[2] << 16 | buf[3] << 8 | buf[4];
	n -= PREFIX;
	if (length < n)
		n = length;
	while (n > 0) {
		uint64_t tag, v;
		uint32_t k = varint(p, n, &tag);
		if (k == 0)
			return HS_NEXT;
		p += k, n -= k;
		switch (tag & 7) {
		case 0: // varint
			if ((k = varint(p, n, &v)) == 0)
				return HS_NEXT;
			if (tag >> 3 == FIELD)
				return set_number(v), HS_NEXT;
			break;
		case 1:
			k = 8;
			break;
		case 2: // bytes
			if ((k = varint(p, n, &v)) == 0 || v > n - k)
				return HS_NEXT;
			if (tag >> 3 == FIELD)
				return set(p + k, (uint32_t)v), HS_NEXT;
			k += (uint32_t)v;
			break;
		case 5:
			k = 4;
			break;
		default:
			return HS_NEXT;
		}
		if (k > n)
			return HS_NEXT;
		p += k, n -= k;
	}
	return HS_NEXT;
}
