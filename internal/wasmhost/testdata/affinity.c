// Counts the calls that its own memory has seen, and wants a connection's calls to
// come to one memory.
#include "hopscope.h"

HS_PLUGIN

static int64_t calls;

HS_EXPORT(flow_affinity) int32_t affinity(void) { return 1; }

HS_EXPORT(on_span) int32_t on_span(void) {
	hs_set_int("app.calls", ++calls);
	return HS_NEXT;
}
