// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Which goroutine asks on a connection, where libraries of Go write it from
 * goroutines of the connection: uprobes at the functions that the asking (or
 * serving) goroutine itself runs. Optional: a hit costs microseconds.
 *
 * Functions of Go get their arguments in registers (since 1.17), and the
 * goroutine is in one too: nothing is remembered between hooks.
 */
#include "include/kernel.h"
#include "libbpf/bpf_helpers.h"
#include "libbpf/bpf_core_read.h"
#include "libbpf/bpf_endian.h"
#include "include/event.h"

#define HS_GET(p, f)                                                \
	({                                                          \
		typeof((p)->f) v_;                                  \
		bpf_probe_read_kernel(&v_, sizeof(v_), &(p)->f);    \
		v_;                                                 \
	})

#include "include/maps.h"

#if defined(__TARGET_ARCH_x86)
#define HS_GO_G(r) HS_GET(r, r14)
#define HS_GO_ARG0(r) HS_GET(r, ax)
#define HS_GO_ARG1(r) HS_GET(r, bx)
#define HS_GO_ARG2(r) HS_GET(r, cx)
#define HS_GO_ARG3(r) HS_GET(r, di)
#elif defined(__TARGET_ARCH_arm64)
#define HS_GO_G(r) HS_GET(r, user_regs.regs[28])
#define HS_GO_ARG0(r) HS_GET(r, user_regs.regs[0])
#define HS_GO_ARG1(r) HS_GET(r, user_regs.regs[1])
#define HS_GO_ARG2(r) HS_GET(r, user_regs.regs[2])
#define HS_GO_ARG3(r) HS_GET(r, user_regs.regs[3])
#endif

/* Where things lie in the structs of one executable: by its version of Go, or
 * from its DWARF. */
struct hs_go_layout {
	__u32 goid;    /* in runtime.g */
	__u32 parent;  /* in runtime.g; 0: not known */
	__u32 conn;    /* of a net.Conn, in the struct that the hook gets */
	__u32 stream;  /* of the number of the stream, in the struct of the stream */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64); /* the cookie of the uprobe */
	__type(value, struct hs_go_layout);
} hs_go_layouts SEC(".maps");

/* internal/poll.FD and net.netFD, the same since go1.17: a descriptor, and
 * behind the FD the address family and the type of the socket. What is no
 * netFD hardly passes for one. */
#define HS_GO_SYSFD 16
#define HS_GO_FAMILY 56
#define HS_GO_SOTYPE 64

static __always_inline __u64 hs_go_word(__u64 at)
{
	__u64 v = 0;

	if (!at || bpf_probe_read_user(&v, sizeof(v), (const void *)at))
		return 0;
	return v;
}

/* The socket under a net.Conn that is a *net.TCPConn; 0: it is another. */
static __noinline __u64 hs_go_socket(__u64 conn)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	__u64 netfd = hs_go_word(conn), fd, family;
	struct files_struct *files;
	struct fdtable *fdt;
	struct file **fds, *f = 0;
	struct inode *in;
	struct socket *so;
	struct sock *sk;

	if (!netfd)
		return 0;
	fd = hs_go_word(netfd + HS_GO_SYSFD);
	family = hs_go_word(netfd + HS_GO_FAMILY);
	if ((family != HS_AF_INET && family != HS_AF_INET6) || hs_go_word(netfd + HS_GO_SOTYPE) != HS_SOCK_STREAM)
		return 0;
	files = HS_GET(task, files);
	fdt = files ? HS_GET(files, fdt) : 0;
	if (!fdt || fd >= HS_GET(fdt, max_fds))
		return 0;
	fds = HS_GET(fdt, fd);
	bpf_probe_read_kernel(&f, sizeof(f), fds + fd);
	in = f ? HS_GET(f, f_inode) : 0;
	if (!in || (HS_GET(in, i_mode) & 0170000) != 0140000) /* S_IFSOCK */
		return 0;
	so = HS_GET(f, private_data);
	sk = so ? HS_GET(so, sk) : 0;
	if (!sk || HS_GET(sk, __sk_common.skc_family) != family || HS_GET(sk, sk_protocol) != HS_IPPROTO_TCP)
		return 0;
	return HS_GET(sk, __sk_common.skc_cookie.counter);
}

struct hs_handover_record {
	struct hs_head head;
	struct hs_handover handover;
};

static __always_inline int hs_go_tell(struct hs_go_layout *l, __u64 g, __u64 conn, __u32 stream, __u8 what)
{
	struct hs_handover_record *r;
	struct hs_loss *loss;
	__u64 id = bpf_get_current_pid_tgid(), sock, goid = 0, parent = 0, now;
	__u32 pid = id >> 32;

	sock = hs_go_socket(conn);
	if (!sock || bpf_map_lookup_elem(&hs_skip_pids, &pid))
		return 0;
	if (bpf_probe_read_user(&goid, 8, (const void *)(g + l->goid)) || !goid ||
	    (l->parent && bpf_probe_read_user(&parent, 8, (const void *)(g + l->parent)))) {
		hs_count(HS_ERR_GOID);
		return 0;
	}
	r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
	if (!r) {
		loss = hs_losses();
		if (loss)
			loss->other++;
		return 0;
	}
	now = bpf_ktime_get_ns();
	__builtin_memset(r, 0, sizeof(*r));
	r->head.time = now;
	r->head.sock = sock;
	r->head.pid = pid;
	r->head.tid = (__u32)id;
	r->head.size = sizeof(*r);
	r->head.cpu = bpf_get_smp_processor_id();
	r->head.kind = HS_KIND_HANDOVER;
	r->handover.goid = goid;
	r->handover.parent = parent;
	r->handover.stream = stream;
	r->handover.what = what;
	bpf_ringbuf_submit(r, hs_wakeup(now));
	return 0;
}

static __always_inline struct hs_go_layout *hs_go_layout_of(void *ctx)
{
	__u64 key = bpf_get_attach_cookie(ctx);
	return bpf_map_lookup_elem(&hs_go_layouts, &key);
}

/* The first argument is a struct with a net.Conn: func (pc *persistConn)
 * roundTrip(...) of net/http, run by the goroutine that asks. */
SEC("uprobe/hs_go_asks")
int hs_go_asks(struct pt_regs *ctx)
{
	struct hs_go_layout *l = hs_go_layout_of(ctx);

	if (!l)
		return 0;
	/* A net.Conn is two words: its type, and what it points to. */
	return hs_go_tell(l, HS_GO_G(ctx), hs_go_word(HS_GO_ARG0(ctx) + l->conn + 8), 0, HS_HANDOVER_ASKS);
}

/* A connection with a net.Conn, and a stream that has a number: func (t
 * *http2Client) write(s *ClientStream, ...) of grpc, run by the goroutine that
 * asks, when the stream has its number. */
SEC("uprobe/hs_go_asks_stream")
int hs_go_asks_stream(struct pt_regs *ctx)
{
	struct hs_go_layout *l = hs_go_layout_of(ctx);
	__u32 stream;

	if (!l)
		return 0;
	stream = (__u32)hs_go_word(HS_GO_ARG1(ctx) + l->stream);
	return stream ? hs_go_tell(l, HS_GO_G(ctx), hs_go_word(HS_GO_ARG0(ctx) + l->conn + 8), stream, HS_HANDOVER_ASKS) : 0;
}

/* The same for the goroutine that serves a stream: func (s *Server)
 * handleStream(t transport.ServerTransport, stream *ServerStream) of grpc; an
 * interface takes two registers. */
SEC("uprobe/hs_go_serves_stream")
int hs_go_serves_stream(struct pt_regs *ctx)
{
	struct hs_go_layout *l = hs_go_layout_of(ctx);
	__u32 stream;

	if (!l)
		return 0;
	stream = (__u32)hs_go_word(HS_GO_ARG3(ctx) + l->stream);
	return stream ? hs_go_tell(l, HS_GO_G(ctx), hs_go_word(HS_GO_ARG2(ctx) + l->conn + 8), stream, HS_HANDOVER_SERVES) : 0;
}

char hs_license[] SEC("license") = "Dual BSD/GPL";
