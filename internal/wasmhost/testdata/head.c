// The plugin that is measured: it goes through the head of an HTTP request, line
// by line, counts the fields and says what is in x-order. headgo does the same.
#include "hopscope.h"

HS_PLUGIN

static uint8_t buf[2048];

HS_EXPORT(on_span) int32_t on_span(void) {
	static const char want[] = "x-order: ";
	int32_t n = hs_payload(HS_REQUEST, 0, buf, sizeof buf);
	int64_t fields = -1; // the first line is none
	for (int32_t at = 0; at < n;) {
		int32_t end = at;
		while (end < n && buf[end] != '\n')
			end++;
		int32_t len = end - at - 1; // without the \r
		if (len <= 0)
			break;
		int32_t i = 0;
		while (i < 9 && i < len && (buf[at + i] | 0x20) == (want[i] | 0x20))
			i++;
		if (i == 9)
			hs_set("app.order", buf + at + i, len - i);
		fields++;
		at = end + 1;
	}
	hs_set_int("app.fields", fields);
	return HS_NEXT;
}
