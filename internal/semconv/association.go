package semconv

import "strings"

// Capture tells the names by which hops find each other and that only capture
// and its stages may write: whoever else did could join what does not belong
// together.
func Capture(key string) bool {
	for _, p := range [...]string{"hopscope.exchange.", "hopscope.tcp.", "hopscope.syscall.", "hopscope.link.", "hopscope.payload.", "hopscope.capture.", "hopscope.trace."} {
		if strings.HasPrefix(key, p) {
			return true
		}
	}
	return false
}
