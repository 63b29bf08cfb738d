// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Bytes that processes move on sockets, seen where the socket layer has moved
 * them: one hook a direction, in the task that called, with the socket and the
 * number of bytes. Calls that touch no socket cost nothing.
 *
 * The rows here need BTF tracing (5.15 on: bpf_task_pt_regs); those for kernels
 * without are in syscall.bpf.c.
 */
#include "include/kernel.h"
#include "libbpf/bpf_helpers.h"
#include "libbpf/bpf_core_read.h"
#include "libbpf/bpf_endian.h"
#include "include/event.h"

/* Kernel memory behind BTF pointers is read in place. */
#define HS_GET(p, f) ((p)->f)
#define HS_READ_USER(dst, n, src) bpf_probe_read_user((dst), (n), (const void *)(src))
#define hs_task() bpf_get_current_task_btf()
#define hs_regs(t) ((struct pt_regs *)bpf_task_pt_regs(t))
#define hs_kernels_own(sk) BPF_CORE_READ_BITFIELD(sk, sk_kern_sock)

#include "include/drift.h"
#include "include/maps.h"
#include "include/regs.h"
#include "include/moved.h"
#include "include/proc.h"

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct hs_sock);
} hs_socks SEC(".maps");

static __always_inline struct hs_sock *hs_find(struct sock *sk)
{
	return bpf_sk_storage_get(&hs_socks, sk, 0, 0);
}

static __always_inline struct hs_sock *hs_make(struct sock *sk)
{
	return bpf_sk_storage_get(&hs_socks, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline __u64 hs_cookie(struct sock *sk)
{
	return bpf_get_socket_cookie(sk);
}

static __always_inline struct tcp_sock *hs_tcp(struct sock *sk)
{
	return bpf_skc_to_tcp_sock(sk);
}

static __always_inline struct unix_sock *hs_unix(struct sock *sk)
{
	return bpf_skc_to_unix_sock(sk);
}

static __always_inline int hs_length(struct sock *sk, int ret, __u32 dir, int flags)
{
	struct hs_sock *s;

	if (ret <= 0) {
		hs_stopped(sk, ret, dir);
		return 0;
	}
	s = hs_find(sk);
	if (!hs_judged(s)) {
		s = hs_meet(sk, s);
		if (!s)
			return 0;
	}
	return hs_moved(sk, s, ret, dir, flags & HS_MSG_TRUNC);
}

/* net/socket.c, 6.3 on: TP_PROTO(struct sock *sk, int ret, int flags) */
SEC("tp_btf/sock_send_length")
int hs_sock_send(__u64 *ctx)
{
	return hs_length((struct sock *)ctx[0], (int)ctx[1], HS_DIR_SEND, 0);
}

SEC("tp_btf/sock_recv_length")
int hs_sock_recv(__u64 *ctx)
{
	if ((int)ctx[2] & (HS_MSG_PEEK | HS_MSG_OOB | HS_MSG_ERRQUEUE))
		return 0;
	return hs_length((struct sock *)ctx[0], (int)ctx[1], HS_DIR_RECV, (int)ctx[2]);
}

/* TP_PROTO(const struct sock *sk, const int oldstate, const int newstate) */
SEC("tp_btf/inet_sock_set_state")
int hs_sock_state(__u64 *ctx)
{
	hs_tcp_state((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2]);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int hs_sock_gone(__u64 *ctx)
{
	hs_tcp_gone((struct sock *)ctx[0]);
	return 0;
}

/* The context of this iterator. */
struct bpf_iter__bpf_sk_storage_map {
	void *meta;
	void *map;
	struct sock *sk;
	void *value;
};

/* Run when user space asks: every socket that we know, where it is now. */
SEC("iter/bpf_sk_storage_map")
int hs_each_sock(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct hs_sock *s = ctx->value;

	if (sk && s && (s->state & (HS_ANNOUNCED | HS_IGNORED | HS_GONE)) == HS_ANNOUNCED &&
	    s->transport == HS_TRANSPORT_STREAM && s->family != HS_FAMILY_UNIX)
		hs_tell_tcp(sk, s, 0);
	return 0;
}

/* Run when user space asks: what was lost on sockets that have said nothing
 * since. */
SEC("iter/bpf_sk_storage_map")
int hs_each_lost(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct hs_sock *s = ctx->value;

	if (ctx->sk && s && (s->state & (HS_ANNOUNCED | HS_IGNORED | HS_GONE)) == HS_ANNOUNCED && hs_lost_calls(s) != s->said)
		hs_tell_lost(s, s->count);
	return 0;
}

/* Who an unconnected socket is about to receive from: runs in the receiving
 * task, before sock_recv_length, if the program asked for the address. */
static __always_inline int hs_from(struct bpf_sock_addr *ctx, __u8 family)
{
	struct hs_sock *s;

	if (!hs_cfg_udp || !ctx->sk)
		return 1;
	s = bpf_sk_storage_get(&hs_socks, ctx->sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s || (s->state & (HS_IGNORED | HS_MUTED)))
		return 1;
	__builtin_memset(&s->peer, 0, sizeof(s->peer));
	if (family == HS_FAMILY_IPV4) {
		__u32 a = ctx->user_ip4;
		__builtin_memcpy(s->peer.addr, &a, 4);
	} else {
		__u32 a[4] = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] };
		__builtin_memcpy(s->peer.addr, a, 16);
	}
	s->peer.port = bpf_ntohs((__u16)ctx->user_port);
	s->peer.family = family;
	s->peer_tid = (__u32)bpf_get_current_pid_tgid();
	s->peer_known = 1;
	return 1; /* 1 lets the datagram through */
}

SEC("cgroup/recvmsg4")
int hs_udp4_from(struct bpf_sock_addr *ctx)
{
	return hs_from(ctx, HS_FAMILY_IPV4);
}

SEC("cgroup/recvmsg6")
int hs_udp6_from(struct bpf_sock_addr *ctx)
{
	return hs_from(ctx, HS_FAMILY_IPV6);
}

/* TP_PROTO(struct task_struct *p, pid_t old_pid, struct linux_binprm *bprm) */
SEC("tp_btf/sched_process_exec")
int hs_exec(__u64 *ctx)
{
	hs_process((struct task_struct *)ctx[0], 0, HS_KIND_EXEC);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int hs_exit(__u64 *ctx)
{
	hs_process((struct task_struct *)ctx[0], 0, HS_KIND_EXIT);
	return 0;
}

/* TP_PROTO(struct task_struct *parent, struct task_struct *child) */
SEC("tp_btf/sched_process_fork")
int hs_fork(__u64 *ctx)
{
	hs_process((struct task_struct *)ctx[1], (struct task_struct *)ctx[0], HS_KIND_FORK);
	return 0;
}

/* The socket layer before 6.3, where functions can be traced: the same call a
 * floor lower, one function a protocol family. */
#define HS_FEXIT_SEND(fn)                                                          \
	SEC("fexit/" #fn) int hs_fexit_##fn(__u64 *ctx) /* (sock, msg, size), ret */ \
	{                                                                          \
		return hs_length(((struct socket *)ctx[0])->sk, (int)ctx[3], HS_DIR_SEND, 0); \
	}
#define HS_FEXIT_RECV(fn)                                                          \
	SEC("fexit/" #fn) int hs_fexit_##fn(__u64 *ctx) /* (sock, msg, size, flags), ret */ \
	{                                                                          \
		if ((int)ctx[3] & (HS_MSG_PEEK | HS_MSG_OOB | HS_MSG_ERRQUEUE))    \
			return 0;                                                  \
		return hs_length(((struct socket *)ctx[0])->sk, (int)ctx[4], HS_DIR_RECV, (int)ctx[3]); \
	}
HS_FEXIT_SEND(inet_sendmsg)
HS_FEXIT_RECV(inet_recvmsg)
HS_FEXIT_SEND(inet6_sendmsg)
HS_FEXIT_RECV(inet6_recvmsg)
HS_FEXIT_SEND(unix_stream_sendmsg)
HS_FEXIT_RECV(unix_stream_recvmsg)

/* io_uring, 6.3 on. TP_PROTO(struct io_kiocb *req) */
SEC("tp_btf/io_uring_submit_req")
int hs_uring_submit(__u64 *ctx)
{
	hs_uring_submitted((struct io_kiocb *)ctx[0]);
	return 0;
}

/* TP_PROTO(struct io_ring_ctx *ctx, void *req, ...): what a request that goes on
 * (multishot) has done is told without it. */
SEC("tp_btf/io_uring_complete")
int hs_uring_complete(__u64 *ctx)
{
	if (ctx[1])
		hs_uring_over((struct io_kiocb *)ctx[1]);
	return 0;
}

/* Run once by the collector itself: who it is, as the hooks see it. */
SEC("raw_tp/hs_whoami")
int hs_whoami(__u64 *ctx)
{
	(void)ctx;
	hs_self = bpf_get_current_pid_tgid() >> 32;
	return 0;
}

char hs_license[] SEC("license") = "Dual BSD/GPL";
