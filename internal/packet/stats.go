package packet

import "sync/atomic"

// Reason is why a frame gave no segment.
type Reason uint8

// Reasons.
const (
	OK          Reason = iota
	NotIP              // ARP, LLDP and the like
	NotL4              // IP, but neither TCP, UDP nor an ICMP message we read
	Cut                // the capture cut a header
	Malformed          // a header contradicts itself
	Fragment           // kept until its datagram is whole
	TooDeep            // more encapsulations than maxDepth
	UnknownLink        // a link type that is not read
	reasons
)

var reasonNames = [reasons]string{"ok", "not_ip", "not_l4", "cut", "malformed", "fragment", "too_deep", "unknown_link"}

// Reasons is how many there are.
func Reasons() int { return int(reasons) }

func (r Reason) String() string { return reasonNames[r] }

// Stats counts what a decoder saw. Any goroutine may read it.
type Stats struct {
	By [reasons]atomic.Uint64 // frames by outcome
	// Fragments: datagrams put together, and given up by reason.
	Reassembled      atomic.Uint64
	FragmentsExpired atomic.Uint64 // not whole within fragmentTimeout
	FragmentsFull    atomic.Uint64 // over maxFragmented or maxFragmentBytes
	FragmentsOverlap atomic.Uint64 // bytes told twice (first wins)
}

// Each calls f for every outcome with its counter.
func (s *Stats) Each(f func(reason string, n uint64)) {
	for i := range s.By {
		f(Reason(i).String(), s.By[i].Load())
	}
}
