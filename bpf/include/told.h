/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What user space is told of a socket besides its bytes: that it is there, that
 * it begins to connect, what the kernel has counted, that it ended.
 */
#ifndef HS_TOLD_H
#define HS_TOLD_H

#include "sock.h"

static __always_inline void hs_fill_head(struct hs_head *h, struct hs_sock *s, __u8 kind, __u32 size, __u64 now)
{
	__u64 id = bpf_get_current_pid_tgid();

	h->time = now;
	h->sock = s->cookie;
	h->pid = id >> 32;
	h->tid = (__u32)id;
	h->size = size;
	h->cpu = bpf_get_smp_processor_id();
	h->kind = kind;
	h->pad = 0;
}

struct hs_open_record {
	struct hs_head head;
	struct hs_open open;
	char path[HS_PATH];
	__u32 pad;
};

/* Tell what a socket is, before its first bytes. */
static __noinline void hs_announce(struct sock *sk, struct hs_sock *s, __u64 now)
{
	struct hs_open_record *r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
	struct hs_loss *loss;

	if (!r) {
		loss = hs_losses();
		if (loss)
			loss->other++;
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	hs_fill_head(&r->head, s, HS_KIND_OPEN, sizeof(r->head) + sizeof(r->open), now);
	r->open.opened = s->opened;
	r->open.peer_sock = s->peer_sock;
	r->open.cgroup = bpf_get_current_cgroup_id();
	r->open.family = s->family;
	r->open.transport = s->transport;
	r->open.role = s->role;
	r->open.flags = s->flags;
	r->open.first_send = s->first[HS_DIR_SEND];
	r->open.first_recv = s->first[HS_DIR_RECV];
	r->open.netns = hs_netns_of(sk);
	hs_comm(r->open.comm);
	hs_ends(sk, &r->open);
	if (s->family == HS_FAMILY_UNIX) {
		struct unix_sock *u = hs_unix(sk);
		struct unix_sock *peer = u ? (struct unix_sock *)HS_GET(u, peer) : 0;
		struct unix_address *a = u ? HS_GET(u, addr) : 0;
		struct pid *pid = HS_GET(sk, sk_peer_pid);
		if (pid)
			r->open.peer_pid = HS_GET(pid, numbers[0].nr);
		if (!a && peer)
			a = HS_PROBE(peer, addr);
		if (a) {
			long n = bpf_probe_read_kernel_str(r->path, HS_PATH, a->name[0].sun_path);
			if (n == 1) /* abstract: a zero byte, then the name */
				n = 1 + bpf_probe_read_kernel_str(r->path + 1, HS_PATH - 1, a->name[0].sun_path + 1);
			if (n > 1 && n <= HS_PATH)
				r->head.size += n - 1;
		}
	}
	bpf_ringbuf_submit(r, hs_wakeup(now));
	s->state |= HS_ANNOUNCED;
}

static __always_inline __u32 hs_lost_calls(const struct hs_sock *s)
{
	return s->lost[HS_DIR_SEND] + s->lost[HS_DIR_RECV];
}

static __always_inline void hs_fill_lost(struct hs_lost_record *r, struct hs_sock *s, const __u64 *at)
{
	hs_fill_head(&r->head, s, HS_KIND_LOST, sizeof(*r), bpf_ktime_get_ns());
	r->head.pid = s->pid; /* told by whoever runs just now */
	r->head.tid = 0;
	__builtin_memset(&r->lost, 0, sizeof(r->lost));
	r->lost.at[HS_DIR_SEND] = at[HS_DIR_SEND];
	r->lost.at[HS_DIR_RECV] = at[HS_DIR_RECV];
	r->lost.calls[HS_DIR_SEND] = s->lost[HS_DIR_SEND];
	r->lost.calls[HS_DIR_RECV] = s->lost[HS_DIR_RECV];
	r->lost.turns[HS_DIR_SEND] = s->turns[HS_DIR_SEND];
	r->lost.turns[HS_DIR_RECV] = s->turns[HS_DIR_RECV];
	r->lost.role = s->role;
}

/* Tell what was not told. They are sums: what does not fit now is said later. */
static __noinline void hs_tell_lost(struct hs_sock *s, const __u64 *at)
{
	struct hs_lost_record *r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);

	if (!r)
		return;
	hs_fill_lost(r, s, at);
	s->said = hs_lost_calls(s);
	bpf_ringbuf_submit(r, hs_wakeup(0));
}

static __always_inline void hs_fill_close(struct hs_close_record *r, struct hs_sock *s, __u8 what)
{
	hs_fill_head(&r->head, s, HS_KIND_CLOSE, sizeof(*r), bpf_ktime_get_ns());
	r->head.pid = s->pid; /* the end may be told by whoever runs just now */
	r->head.tid = 0;
	r->close.sent = s->count[HS_DIR_SEND];
	r->close.received = s->count[HS_DIR_RECV];
	r->close.lost_send = s->lost[HS_DIR_SEND] - s->told[HS_DIR_SEND];
	r->close.lost_recv = s->lost[HS_DIR_RECV] - s->told[HS_DIR_RECV];
	r->close.what = what;
	r->close.role = s->role;
	r->close.pad[0] = r->close.pad[1] = 0;
}

/* The end does not fit the ring. Ends of directions are told again when the
 * connection is gone. */
static __noinline void hs_keep_end(struct hs_sock *s, __u8 what)
{
	struct hs_last_words w;
	struct hs_loss *loss;

	if (what == HS_CLOSE_GONE) {
		hs_fill_lost(&w.lost, s, s->count);
		hs_fill_close(&w.close, s, what);
		if (!bpf_map_update_elem(&hs_last, &s->cookie, &w, BPF_ANY)) {
			__sync_fetch_and_add(&hs_late, 1);
			return;
		}
	}
	loss = hs_losses();
	if (loss)
		loss->other++;
}

/* Tell that something ended. Nobody is told of the end of what they do not
 * know. */
static __noinline void hs_tell_end(struct hs_sock *s, __u8 what)
{
	struct hs_close_record *r;

	if (hs_lost_calls(s) != s->said)
		hs_tell_lost(s, s->count);
	r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
	if (!r) {
		hs_keep_end(s, what);
		return;
	}
	hs_fill_close(r, s, what);
	bpf_ringbuf_submit(r, hs_wakeup(0));
	s->told[HS_DIR_SEND] = s->lost[HS_DIR_SEND];
	s->told[HS_DIR_RECV] = s->lost[HS_DIR_RECV];
	s->state |= what == HS_CLOSE_GONE ? HS_GONE : what == HS_CLOSE_RECEIVED ? HS_EOF : 0;
}

struct hs_tcp_record {
	struct hs_head head;
	struct hs_tcp tcp;
};

/* Tell what the kernel has counted. */
static __noinline void hs_tell_tcp(struct sock *sk, struct hs_sock *s, __u8 gone)
{
	struct tcp_sock *tp = hs_tcp(sk);
	struct hs_tcp_record *r;
	struct hs_loss *loss;

	if (!tp)
		return;
	r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
	if (!r) {
		loss = hs_losses();
		if (loss)
			loss->other++;
		return;
	}
	hs_fill_head(&r->head, s, HS_KIND_TCP, sizeof(*r), bpf_ktime_get_ns());
	r->head.pid = s->pid;
	r->head.tid = 0;
	r->tcp.sent = HS_GET(tp, bytes_acked); /* it counts SYN and FIN */
	if (r->tcp.sent > s->count[HS_DIR_SEND])
		r->tcp.sent = s->count[HS_DIR_SEND];
	r->tcp.received = HS_GET(tp, bytes_received); /* it counts the FIN, see hs_fin_read */
	if (r->tcp.received && HS_GET(sk, __sk_common.skc_flags) & (1UL << HS_SOCK_DONE))
		r->tcp.received--;
	r->tcp.resent = HS_GET(tp, bytes_retrans);
	r->tcp.srtt = HS_GET(tp, srtt_us) >> 3;
	r->tcp.rtt_min = HS_GET(tp, rtt_min.s[0].v);
	r->tcp.retransmits = HS_GET(tp, total_retrans);
	r->tcp.segs_out = HS_GET(tp, segs_out);
	r->tcp.segs_in = HS_GET(tp, segs_in);
	r->tcp.error = HS_GET(sk, sk_err);
	r->tcp.gone = gone;
	r->tcp.role = s->role;
	bpf_ringbuf_submit(r, hs_wakeup(0));
}

static __always_inline bool hs_told(const struct hs_sock *s)
{
	return s && (s->state & (HS_ANNOUNCED | HS_MUTED | HS_IGNORED | HS_GONE)) == HS_ANNOUNCED;
}

/* A thread begins to connect: what it does right now is what the connection is
 * for. Its first bytes may be sent much later, in between other things. */
static __noinline void hs_tell_connect(struct sock *sk)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	struct hs_sock s = {};
	struct hs_head *h;

	if (pid == hs_self || hs_kernels_own(sk) || bpf_map_lookup_elem(&hs_skip_pids, &pid))
		return;
	s.cookie = hs_cookie(sk);
	h = bpf_ringbuf_reserve(&hs_events, sizeof(*h), 0);
	if (!h) {
		struct hs_loss *loss = hs_losses();
		if (loss)
			loss->other++;
		return;
	}
	hs_fill_head(h, &s, HS_KIND_CONNECT, sizeof(*h), bpf_ktime_get_ns());
	bpf_ringbuf_submit(h, hs_wakeup(sizeof(*h)));
}

/* A TCP connection changes its state. */
static __always_inline void hs_tcp_state(struct sock *sk, int from, int to)
{
	struct hs_sock *s;
	struct tcp_sock *tp;

	if (to == HS_TCP_ESTABLISHED && (from == HS_TCP_SYN_SENT || from == HS_TCP_SYN_RECV)) {
		if (HS_GET(sk, sk_protocol) != HS_IPPROTO_TCP)
			return;
		tp = hs_tcp(sk);
		s = tp ? hs_make(sk) : 0;
		if (!s)
			return;
		s->opened = bpf_ktime_get_ns();
		s->role = from == HS_TCP_SYN_SENT ? HS_ROLE_CLIENT : HS_ROLE_SERVER;
		s->first[HS_DIR_SEND] = HS_GET(tp, snd_una) - (__u32)HS_GET(tp, bytes_acked) + (from == HS_TCP_SYN_SENT);
		s->first[HS_DIR_RECV] = HS_GET(tp, rcv_nxt) - (__u32)HS_GET(tp, bytes_received);
		s->flags |= HS_OPEN_KEYED;
		return;
	}
	if (to == HS_TCP_SYN_SENT) {
		if (HS_GET(sk, sk_protocol) == HS_IPPROTO_TCP)
			hs_tell_connect(sk);
		return;
	}
	if (to != HS_TCP_FIN_WAIT1 && to != HS_TCP_LAST_ACK)
		return;
	s = hs_find(sk);
	if (hs_told(s))
		hs_tell_end(s, HS_GET(sk, sk_shutdown) == HS_SHUTDOWN_BOTH ? HS_CLOSE_GONE : HS_CLOSE_SENT);
}

static __always_inline void hs_tcp_gone(struct sock *sk)
{
	struct hs_sock *s = hs_find(sk);
	if (hs_cfg_flows && s && (s->state & (HS_ANNOUNCED | HS_IGNORED)) == HS_ANNOUNCED)
		hs_tell_tcp(sk, s, 1);
	if (hs_told(s))
		hs_tell_end(s, HS_CLOSE_GONE);
}

#endif
