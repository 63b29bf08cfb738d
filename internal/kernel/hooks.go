//go:build linux

package kernel

import "github.com/cilium/ebpf"

// hook is one program and where it goes. The table below is walked in order;
// what can't be loaded or attached is tried by its successor, and what is
// blind in the end is told by Hooks.
type hook struct {
	prog  string // C name
	at    at
	blind string // what is not seen without it
	need  bool   // the row is of no use without it
}

// at is a place that a program is attached to.
type at struct {
	kind place
	name string
}

type place uint8

const (
	btfTracepoint place = iota // tp_btf/<name>
	fexit                      // fexit/<function>
	tracepoint                 // tracepoint/<group>/<name>
	rawTracepoint              // raw_tp/<name>
	cgroup                     // the root of the cgroup2 hierarchy
)

func (a at) String() string {
	return [...]string{"tp_btf/", "fexit/", "tracepoint/", "raw_tp/", "cgroup/"}[a.kind] + a.name
}

// row is one way to see all that processes move on sockets.
type row struct {
	name   string
	object func() (*ebpf.CollectionSpec, error)
	hooks  []hook
	// storage: what is remembered of sockets can be gone through by a program.
	storage bool
}

const (
	blindSend  = "bytes that processes send"
	blindRecv  = "bytes that processes receive"
	blindState = "when connections open and end, and who opened them"
	blindPeer4 = "the peers of unconnected UDP sockets that receive, IPv4"
	blindURing = "what processes move through io_uring: its bytes are counted, its content is not seen"
	blindCount = "the kernel's counters of connections that go on"
	blindLost  = "how many exchanges were lost on connections that say nothing more, where clients send several at once"
	blindPeer6 = "the peers of unconnected UDP sockets that receive, IPv6"
)

// common is what every row with BTF tracing has.
var common = []hook{
	{prog: "hs_sock_state", at: at{btfTracepoint, "inet_sock_set_state"}, blind: blindState},
	{prog: "hs_sock_gone", at: at{btfTracepoint, "tcp_destroy_sock"}, blind: "when connections are gone"},
	{prog: "hs_udp4_from", at: at{cgroup, "recvmsg4"}, blind: blindPeer4},
	{prog: "hs_udp6_from", at: at{cgroup, "recvmsg6"}, blind: blindPeer6},
	{prog: "hs_uring_submit", at: at{btfTracepoint, "io_uring_submit_req"}, blind: blindURing},
	{prog: "hs_uring_complete", at: at{btfTracepoint, "io_uring_complete"}, blind: "which requests of io_uring are over: content may be missing"},
	{prog: "hs_exec", at: at{btfTracepoint, "sched_process_exec"}, blind: "processes that run something new"},
	{prog: "hs_exit", at: at{btfTracepoint, "sched_process_exit"}, blind: "processes that end"},
	{prog: "hs_fork", at: at{btfTracepoint, "sched_process_fork"}, blind: "processes that begin"},
}

// socketRows, the cheapest first.
var socketRows = []row{
	{name: "btf", object: loadSocket, storage: true, hooks: append([]hook{
		{prog: "hs_sock_send", at: at{btfTracepoint, "sock_send_length"}, blind: blindSend, need: true},
		{prog: "hs_sock_recv", at: at{btfTracepoint, "sock_recv_length"}, blind: blindRecv, need: true},
	}, common...)},
	{name: "fexit", object: loadSocket, storage: true, hooks: append([]hook{
		{prog: "hs_fexit_inet_sendmsg", at: at{fexit, "inet_sendmsg"}, blind: blindSend, need: true},
		{prog: "hs_fexit_inet_recvmsg", at: at{fexit, "inet_recvmsg"}, blind: blindRecv, need: true},
		{prog: "hs_fexit_inet6_sendmsg", at: at{fexit, "inet6_sendmsg"}, blind: "bytes sent on IPv6 sockets"},
		{prog: "hs_fexit_inet6_recvmsg", at: at{fexit, "inet6_recvmsg"}, blind: "bytes received on IPv6 sockets"},
		{prog: "hs_fexit_unix_stream_sendmsg", at: at{fexit, "unix_stream_sendmsg"}, blind: "bytes sent on unix sockets"},
		{prog: "hs_fexit_unix_stream_recvmsg", at: at{fexit, "unix_stream_recvmsg"}, blind: "bytes received on unix sockets"},
	}, common...)},
	{name: "syscall", object: loadSyscall, hooks: append([]hook{
		{prog: "hs_sys_write", at: at{tracepoint, "syscalls/sys_exit_write"}, blind: blindSend, need: true},
		{prog: "hs_sys_read", at: at{tracepoint, "syscalls/sys_exit_read"}, blind: blindRecv, need: true},
		{prog: "hs_sys_sendto", at: at{tracepoint, "syscalls/sys_exit_sendto"}, blind: blindSend, need: true},
		{prog: "hs_sys_recvfrom", at: at{tracepoint, "syscalls/sys_exit_recvfrom"}, blind: blindRecv, need: true},
		{prog: "hs_sys_writev", at: at{tracepoint, "syscalls/sys_exit_writev"}, blind: "bytes sent by writev"},
		{prog: "hs_sys_readv", at: at{tracepoint, "syscalls/sys_exit_readv"}, blind: "bytes received by readv"},
		{prog: "hs_sys_pwritev2", at: at{tracepoint, "syscalls/sys_exit_pwritev2"}, blind: "bytes sent by pwritev2"},
		{prog: "hs_sys_preadv2", at: at{tracepoint, "syscalls/sys_exit_preadv2"}, blind: "bytes received by preadv2"},
		{prog: "hs_sys_sendmsg", at: at{tracepoint, "syscalls/sys_exit_sendmsg"}, blind: "bytes sent by sendmsg"},
		{prog: "hs_sys_recvmsg", at: at{tracepoint, "syscalls/sys_exit_recvmsg"}, blind: "bytes received by recvmsg"},
		{prog: "hs_sys_sendmmsg", at: at{tracepoint, "syscalls/sys_exit_sendmmsg"}, blind: "datagrams sent by sendmmsg"},
		{prog: "hs_sys_recvmmsg", at: at{tracepoint, "syscalls/sys_exit_recvmmsg"}, blind: "datagrams received by recvmmsg"},
		{prog: "hs_sys_sendfile64", at: at{tracepoint, "syscalls/sys_exit_sendfile64"}, blind: "bytes sent by sendfile"},
		{prog: "hs_sys_splice", at: at{tracepoint, "syscalls/sys_exit_splice"}, blind: "bytes moved by splice"},
	}, raw...)},
	{name: "raw_syscall", object: loadSyscall, hooks: append([]hook{
		{prog: "hs_sys_exit", at: at{rawTracepoint, "sys_exit"}, blind: blindSend, need: true},
	}, raw...)},
}

// raw is what the rows on system calls have. They are blind to io_uring.
var raw = []hook{
	{prog: "hs_raw_state", at: at{rawTracepoint, "inet_sock_set_state"}, blind: blindState},
	{prog: "hs_raw_gone", at: at{rawTracepoint, "tcp_destroy_sock"}, blind: "when connections are gone"},
	{prog: "hs_raw_exec", at: at{rawTracepoint, "sched_process_exec"}, blind: "processes that run something new"},
	{prog: "hs_raw_exit", at: at{rawTracepoint, "sched_process_exit"}, blind: "processes that end"},
	{prog: "hs_raw_fork", at: at{rawTracepoint, "sched_process_fork"}, blind: "processes that begin"},
}
