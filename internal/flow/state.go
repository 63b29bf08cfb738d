package flow

import "github.com/hopscope/hopscope/internal/packet"

// State is where a TCP connection is in its life, as the capture point sees it.
type State uint8

// States. Syn1 is a SYN answered with a plain ACK; SynAck1 a SYN-ACK that comes
// again after the connection was made; Closing*1 one FIN, *2 both, by whose
// came first (Tx: the client's).
const (
	Raw State = iota
	Opening1
	Opening2
	Established
	ClosingTx1
	ClosingTx2
	ClosingRx1
	ClosingRx2
	Closed
	Reset
	Exception
	Syn1
	SynAck1
	EstablishReset
	OpeningReset
	ServerReset
	PortReuse
	QueueLack
	states
)

var stateNames = [states]string{"raw", "opening1", "opening2", "established", "closing_tx1", "closing_tx2", "closing_rx1", "closing_rx2",
	"closed", "reset", "exception", "syn1", "syn_ack1", "establish_reset", "opening_reset", "server_reset", "port_reuse", "queue_lack"}

func (s State) String() string { return stateNames[s] }

// group is what of a segment's flags moves the state.
type group uint8

const (
	gSYN group = iota
	gSYNACK
	gFIN
	gRST
	gACK    // ACK alone
	gPSHACK // with PSH, with URG
	groups
)

func groupOf(flags uint8) (group, bool) {
	switch {
	case flags&packet.RST != 0:
		return gRST, true
	case flags&packet.FIN != 0:
		return gFIN, true
	case flags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK:
		return gSYNACK, true
	case flags&packet.SYN != 0:
		return gSYN, true
	case flags&(packet.ACK|packet.PSH|packet.URG) == packet.ACK:
		return gACK, true
	case flags&packet.ACK != 0:
		return gPSHACK, true
	}
	return 0, false
}

// machine is what each state becomes, by direction and flags.
type machine struct {
	to [2][states][groups]State
}

// absorbing states are the end.
func (s State) absorbing() bool {
	switch s {
	case Reset, ServerReset, PortReuse, QueueLack, EstablishReset, OpeningReset, Exception:
		return true
	}
	return false
}

// newMachine builds the table. The classes are those that users of the
// reference system know; rows of the server's direction override the client's.
func newMachine() *machine {
	m := &machine{}
	any4 := func(d int, s State, syn, synack, fin, rst, ack State) {
		t := &m.to[d][s]
		set := func(g group, v State) {
			if v != none {
				t[g] = v
			}
		}
		set(gSYN, syn)
		set(gSYNACK, synack)
		set(gFIN, fin)
		set(gRST, rst)
		set(gACK, ack)
		set(gPSHACK, ack)
	}
	for d := range m.to {
		for s := range m.to[d] {
			for g := range m.to[d][s] {
				m.to[d][s][g] = Exception
			}
		}
		//           state         SYN          SYN-ACK      FIN         RST             ACK
		any4(d, Raw, Opening1, none, ClosingTx1, Reset, Established)
		any4(d, Opening1, Opening1, none, ClosingTx1, EstablishReset, Established)
		any4(d, Opening2, Opening2, none, ClosingTx1, OpeningReset, Established)
		any4(d, Established, Established, none, ClosingTx1, Reset, Established)
		any4(d, ClosingTx1, ClosingTx1, ClosingTx1, ClosingTx1, Reset, ClosingTx1)
		any4(d, ClosingTx2, ClosingTx2, ClosingTx2, ClosingTx2, Reset, Closed)
		any4(d, ClosingRx1, ClosingRx1, ClosingRx1, ClosingRx2, Reset, ClosingRx1)
		any4(d, ClosingRx2, ClosingRx2, ClosingRx2, ClosingRx2, Reset, ClosingRx2)
		any4(d, Closed, Closed, Closed, Closed, Closed, Closed)
		any4(d, Syn1, Opening1, none, ClosingTx1, PortReuse, Established)
		any4(d, SynAck1, Established, none, ClosingTx1, Reset, SynAck1)
	}
	const server = 1
	any4(server, Raw, none, Opening2, ClosingRx1, none, none)
	any4(server, Opening1, none, Opening2, ClosingRx1, ServerReset, Syn1)
	any4(server, Opening2, none, Opening2, ClosingRx1, EstablishReset, none)
	any4(server, Established, none, SynAck1, ClosingRx1, none, none)
	any4(server, ClosingTx1, none, none, ClosingTx2, none, none)
	any4(server, ClosingTx2, none, none, none, none, ClosingTx2)
	any4(server, ClosingRx1, none, none, ClosingRx1, none, none)
	any4(server, ClosingRx2, none, none, none, none, none)
	m.to[server][ClosingRx2][gACK] = Closed
	any4(server, Syn1, none, Opening2, ClosingRx1, EstablishReset, Syn1)
	any4(server, SynAck1, none, SynAck1, ClosingRx1, QueueLack, Established)
	// A PSH-ACK does not close.
	m.to[0][ClosingTx2][gPSHACK] = ClosingTx2
	for d := range m.to {
		for s := range m.to[d] {
			if State(s).absorbing() {
				for g := range m.to[d][s] {
					m.to[d][s][g] = State(s)
				}
			}
		}
	}
	return m
}

// none: the row says nothing.
const none State = 255

// step is the state after a segment. fromServer is its direction.
func (m *machine) step(s State, fromServer bool, flags uint8) State {
	g, ok := groupOf(flags)
	if !ok {
		return s // no flags at all: a scanner's
	}
	d := 0
	if fromServer {
		d = 1
	}
	return m.to[d][s][g]
}

// CloseType is how a flow ended.
type CloseType uint8

// Close types.
const (
	CloseOther              CloseType = iota
	CloseNormal                       // both FINs, or anything but TCP
	CloseForced                       // it goes on: the report of a minute
	CloseClientRSTNormal              // a health check's reset
	ClosePortReuse                    // the server still had the old connection
	CloseSYNTimeout                   // nothing answered the SYN
	CloseConnectClientReset           // the client reset while connecting
	CloseACKTimeout                   // nothing answered the SYN-ACK
	CloseRefused                      // the server reset on the SYN
	CloseConnectServerReset           // the server reset while connecting
	CloseClientReset                  // the client reset while transferring
	CloseServerReset                  // the server reset while transferring
	CloseServerQueueFull              // the server's accept queue is full
	CloseTimeout                      // silent too long
	CloseClientHalf                   // the client never sent its FIN
	CloseServerHalf                   // the server never sent its FIN
	CloseUnreachable                  // an ICMP error said so while connecting
	closeTypes
)

var closeNames = [closeTypes]struct{ name, class string }{
	CloseOther:              {"other", "unknown"},
	CloseNormal:             {"fin", "ok"},
	CloseForced:             {"forced_report", "ok"},
	CloseClientRSTNormal:    {"rst_client_normal", "ok"},
	ClosePortReuse:          {"port_reuse", "client"},
	CloseSYNTimeout:         {"syn_timeout", "server"},
	CloseConnectClientReset: {"connect_rst_client", "client"},
	CloseACKTimeout:         {"ack_timeout", "client"},
	CloseRefused:            {"syn_rst", "server"},
	CloseConnectServerReset: {"connect_rst_server", "server"},
	CloseClientReset:        {"rst_client", "client"},
	CloseServerReset:        {"rst_server", "server"},
	CloseServerQueueFull:    {"server_queue_full", "server"},
	CloseTimeout:            {"timeout", "server"},
	CloseClientHalf:         {"half_close_client", "client"},
	CloseServerHalf:         {"half_close_server", "server"},
	CloseUnreachable:        {"unreachable", "server"},
}

func (c CloseType) String() string { return closeNames[c].name }

// Class is whose fault it was: ok, client, server, unknown.
func (c CloseType) Class() string { return closeNames[c].class }

// Connecting reports whether the connection was never made.
func (c CloseType) Connecting() bool {
	switch c {
	case ClosePortReuse, CloseSYNTimeout, CloseConnectClientReset, CloseACKTimeout, CloseRefused, CloseConnectServerReset, CloseUnreachable:
		return true
	}
	return false
}

// closeType is the class of a flow that ends in its state.
func (f *state) closeType() CloseType {
	if !f.tcp {
		return CloseNormal
	}
	serverRST := f.ever[1].rst
	switch f.state {
	case ClosingTx2, ClosingRx2, Closed:
		return CloseNormal
	case Syn1, PortReuse:
		return ClosePortReuse
	case Opening1:
		if f.icmp != 0 {
			return CloseUnreachable
		}
		return CloseSYNTimeout
	case EstablishReset, OpeningReset:
		if serverRST {
			return CloseConnectServerReset
		}
		if f.heartbeat() {
			return CloseClientRSTNormal
		}
		return CloseConnectClientReset
	case Opening2:
		return CloseACKTimeout
	case ServerReset:
		return CloseRefused
	case Reset:
		switch {
		case serverRST:
			return CloseServerReset
		case f.answered, f.heartbeat():
			return CloseClientRSTNormal
		}
		return CloseClientReset
	case SynAck1:
		return CloseServerQueueFull
	case QueueLack:
		if f.ever[1].packets > 3 {
			return CloseServerQueueFull
		}
		return CloseServerReset
	case Established, Raw:
		return CloseTimeout
	case ClosingRx1:
		return CloseClientHalf
	case ClosingTx1:
		return CloseServerHalf
	}
	return CloseOther
}

// heartbeat: a connection made and reset without a word, as health checks do.
func (f *state) heartbeat() bool {
	return f.ever[0].syn && f.ever[1].sak && !f.ever[0].push && !f.ever[1].push
}
