// Counts the spans of a connection, in the state that the host keeps of it. A path
// that begins with '!' counts and traps.
#include "hopscope.h"

HS_PLUGIN

HS_EXPORT(on_span) int32_t on_span(void) {
	uint8_t n = 0, path[2] = {0};
	hs_state_get(&n, 1);
	n++;
	hs_state_set(&n, 1);
	hs_set_int("app.count", n);
	hs_get("url.path", path, sizeof path);
	hs_payload(HS_REQUEST, 0, path, 1);
	if (path[0] == '!')
		__builtin_trap();
	return HS_NEXT;
}
