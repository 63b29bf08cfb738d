/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is remembered of a socket, where its streams are, and how it is met.
 *
 * The object that includes this says how kernel memory is read (HS_GET), how a
 * socket's memory is found and made (hs_find, hs_make), and what its cookie is
 * (hs_cookie).
 */
#ifndef HS_SOCK_H
#define HS_SOCK_H

#include "filter.h"

enum hs_state {
	HS_MET = 1,        /* judged: the fields below hold */
	HS_IGNORED = 2,    /* not ours to look at, for ever */
	HS_MUTED = 4,      /* user space does not want it */
	HS_ANNOUNCED = 8,  /* user space knows what it is */
	HS_RAISED = 16,    /* capture every call to the full */
	HS_GONE = 32,      /* its end was told */
	HS_EOF = 64,       /* the peer's end was told */
	HS_COUNTED = 128,  /* positions are ours: not TCP, or TCP under a ULP */
	HS_BURSTS = 256,   /* calls move many messages: keep hs_cfg_max_burst of each */
};

struct hs_sock {
	__u64 cookie;
	__u64 opened;
	__u64 count[HS_DIRS]; /* where both directions were after the last call */
	__u64 peer_sock;
	__u64 mm_vec;         /* sendmmsg, recvmmsg: the vector being worked on */
	__u64 proto;          /* skc_prot when met: changes under kTLS, sockmap */
	__u64 goid;           /* the goroutine that used it last, and its parent */
	__u64 goid_parent;
	__u64 merged;         /* bulk bytes not told yet, */
	__u64 merged_pos;     /* from here on, */
	__u64 merged_time;    /* the last of them moved then */
	__u64 merged_since;
	__u32 lost[HS_DIRS];  /* calls not told, ever */
	__u32 told[HS_DIRS];  /* of these, told about */
	__u32 turns[HS_DIRS]; /* of these, calls that began to speak */
	__u32 first[HS_DIRS]; /* sequence number of the first byte */
	__u32 mm_tid;
	__u32 mm_next;
	__u32 run;            /* bytes kept since the other end spoke */
	__u32 run_calls;      /* calls since then */
	__u32 cap_seq;
	__u32 gen;
	__u32 tgid;           /* whose go is */
	__u32 pid;            /* who used it last */
	struct hs_go go;
	struct hs_peer peer;  /* of the datagram that peer_tid is about to receive */
	__u32 peer_tid;
	__u16 state;          /* enum hs_state */
	__u8 last;            /* direction of the last call + 1 */
	__u8 role;
	__u8 family;
	__u8 transport;
	__u8 flags;           /* enum hs_open_flag */
	__u8 peer_known;
	__u32 ino;            /* syscall rows: whose address it is */
	__u32 said;           /* how many were lost when hs_lost was told last */
};

/* Memory behind a pointer that the verifier takes for something else. */
#define HS_PROBE(p, f)                                                                  \
	({                                                                              \
		typeof((p)->f) v_ = 0;                                                  \
		bpf_probe_read_kernel(&v_, sizeof(v_), &(p)->f);                        \
		v_;                                                                     \
	})

static struct hs_sock *hs_find(struct sock *sk);
static struct hs_sock *hs_make(struct sock *sk);
static __u64 hs_cookie(struct sock *sk);
static struct tcp_sock *hs_tcp(struct sock *sk);
static struct unix_sock *hs_unix(struct sock *sk);

static __always_inline __u32 hs_netns_of(struct sock *sk)
{
	struct net *net = HS_GET(sk, __sk_common.skc_net.net);
	return net ? HS_GET(net, ns.inum) : 0;
}

/* Addresses of both ends; IPv4 in the first four bytes. */
static __always_inline void hs_ends(struct sock *sk, struct hs_open *o)
{
	if (o->family == HS_FAMILY_IPV4) {
		__u32 local = HS_GET(sk, __sk_common.skc_rcv_saddr), remote = HS_GET(sk, __sk_common.skc_daddr);
		__builtin_memcpy(o->local, &local, 4);
		__builtin_memcpy(o->remote, &remote, 4);
	} else if (o->family == HS_FAMILY_IPV6) {
		bpf_probe_read_kernel(o->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(o->remote, 16, &sk->__sk_common.skc_v6_daddr);
	}
	if (o->family != HS_FAMILY_UNIX) {
		o->local_port = HS_GET(sk, __sk_common.skc_num);
		o->remote_port = bpf_ntohs(HS_GET(sk, __sk_common.skc_dport));
	}
}

/* The first sequence numbers of a TCP connection of any age, from the kernel's
 * counters (RFC 4898): what was acked, sent and received since the handshake.
 * An active opener's SYN counts as one acked byte and as none sent: that both
 * sums disagree by one tells who opened. If they disagree otherwise (they are
 * not read in one instant), nothing is known. */
static __always_inline void hs_firsts(struct tcp_sock *tp, struct hs_sock *s)
{
	__u32 acked = HS_GET(tp, snd_una) - (__u32)HS_GET(tp, bytes_acked);
	__u32 sent = HS_GET(tp, snd_nxt) - (__u32)(HS_GET(tp, bytes_sent) - HS_GET(tp, bytes_retrans));

	s->first[HS_DIR_SEND] = sent;
	s->first[HS_DIR_RECV] = HS_GET(tp, rcv_nxt) - (__u32)HS_GET(tp, bytes_received);
	if (sent == acked + 1)
		s->role = HS_ROLE_CLIENT;
	else if (sent == acked)
		s->role = HS_ROLE_SERVER;
	else
		return;
	s->flags |= HS_OPEN_KEYED;
}

/* Where both directions are now: the number of bytes after the last one that
 * the process has written and read. The kernel's 64-bit counters may be torn
 * (we do not hold the socket), the 32-bit sequence numbers may not: the former
 * only choose which 4 GiB the latter lie in. */
static __always_inline __u64 hs_near(__u64 about, __u32 low)
{
	return about + (__s64)(__s32)(low - (__u32)about);
}

/* Whether the peer's FIN was read. It takes a sequence number and is no byte: it
 * counts in rcv_nxt once it has come (tcp_fin sets SOCK_DONE then), and in
 * copied_seq once it was read, which the very call that reads the last bytes
 * does if it asked for more. */
static __always_inline bool hs_fin_read(struct tcp_sock *tp, __u32 copied_seq)
{
	return HS_GET((struct sock *)tp, __sk_common.skc_flags) & (1UL << HS_SOCK_DONE) && copied_seq == HS_GET(tp, rcv_nxt);
}

static __always_inline void hs_ends_at(struct tcp_sock *tp, const struct hs_sock *s, __u64 *sent, __u64 *received,
				       __u32 *write_seq, __u32 *copied_seq)
{
	__u32 w = HS_GET(tp, write_seq), c = HS_GET(tp, copied_seq);

	if (hs_fin_read(tp, c))
		c--;
	*sent = hs_near(HS_GET(tp, bytes_acked) + (__u32)(w - HS_GET(tp, snd_una)), w - s->first[HS_DIR_SEND]);
	*received = hs_near(HS_GET(tp, bytes_received), c - s->first[HS_DIR_RECV]);
	*write_seq = w;
	*copied_seq = c;
}

/* A unix socket that has its own address was accepted (it carries the
 * listener's); its peer has none. */
static __always_inline void hs_meet_unix(struct sock *sk, struct hs_sock *s)
{
	struct unix_sock *u = hs_unix(sk);
	struct unix_sock *peer;
	struct socket *so = HS_GET(sk, sk_socket);

	s->flags |= HS_OPEN_CONNECTED;
	if (so) {
		struct file *f = HS_GET(so, file);
		struct inode *in = f ? HS_GET(f, f_inode) : 0;
		/* A second is the precision: what was made in the second that we
		 * began in counts as older. */
		if (!in || hs_inode_ctime(in) <= hs_cfg_started)
			s->flags |= HS_OPEN_MIDSTREAM;
	}
	peer = u ? (struct unix_sock *)HS_GET(u, peer) : 0;
	if (!peer)
		return;
	s->peer_sock = HS_GET((struct sock *)peer, __sk_common.skc_cookie.counter);
	bool mine = HS_GET(u, addr), its = HS_PROBE(peer, addr);
	if (mine != its)
		s->role = mine ? HS_ROLE_SERVER : HS_ROLE_CLIENT;
}

/* Whether s was judged. What was refused is judged anew when the list of cgroups
 * has grown: a container that is asked for may begin later than its process. */
static __always_inline bool hs_judged(const struct hs_sock *s)
{
	if (!s || !(s->state & HS_MET))
		return false;
	return !(s->state & HS_IGNORED) || s->gen == hs_gen || !(hs_cfg_want & HS_WANT_CGROUP);
}

/* The name of the process. A worker of io_uring has one of its own. */
static __always_inline void hs_comm(__u8 *comm)
{
	struct task_struct *task = (struct task_struct *)hs_task();

	if (HS_GET(task, flags) & HS_PF_IO_WORKER)
		bpf_probe_read_kernel(comm, HS_COMM, &HS_GET(task, group_leader)->comm);
	else
		bpf_get_current_comm(comm, HS_COMM);
}

/* The first time that bytes move on a socket in a process. */
static __noinline struct hs_sock *hs_meet(struct sock *sk, struct hs_sock *s)
{
	__u16 family = HS_GET(sk, __sk_common.skc_family), type = HS_GET(sk, sk_type), proto = HS_GET(sk, sk_protocol);
	struct hs_open o = {};
	struct tcp_sock *tp;
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	bool again;

	if (family != HS_AF_INET && family != HS_AF_INET6 && !(family == HS_AF_UNIX && hs_cfg_unix))
		return 0;
	if (family == HS_AF_UNIX ? type != HS_SOCK_STREAM
				 : !(type == HS_SOCK_STREAM || (type == HS_SOCK_DGRAM && proto == HS_IPPROTO_UDP && hs_cfg_udp)))
		return 0;
	if (!s)
		s = hs_make(sk);
	if (!s) {
		hs_count(HS_ERR_NO_STORAGE);
		return 0;
	}
	again = s->state & HS_MET;
	s->state = (s->state & ~HS_IGNORED) | HS_MET;
	s->gen = hs_gen;
	if (hs_kernels_own(sk) || pid == hs_self || bpf_map_lookup_elem(&hs_skip_pids, &pid)) {
		s->state |= HS_IGNORED;
		return s;
	}
	s->cookie = hs_cookie(sk);
	s->proto = (__u64)HS_GET(sk, __sk_common.skc_prot);
	s->transport = type == HS_SOCK_DGRAM ? HS_TRANSPORT_UDP : HS_TRANSPORT_STREAM;
	s->family = family == HS_AF_UNIX ? HS_FAMILY_UNIX : family == HS_AF_INET ? HS_FAMILY_IPV4 : HS_FAMILY_IPV6;
	tp = s->transport == HS_TRANSPORT_STREAM && family != HS_AF_UNIX ? hs_tcp(sk) : 0;
	if (tp && HS_PROBE((struct inet_connection_sock *)tp, icsk_ulp_ops))
		tp = 0; /* kTLS: its sequence numbers are those of ciphertext */
	if (tp) {
		s->flags |= HS_OPEN_CONNECTED;
		if (!s->opened) {
			hs_firsts(tp, s);
			s->flags |= HS_OPEN_MIDSTREAM;
		}
	} else {
		s->state |= HS_COUNTED;
		if (family == HS_AF_UNIX)
			hs_meet_unix(sk, s);
		else if (s->transport == HS_TRANSPORT_STREAM)
			s->flags |= HS_OPEN_CONNECTED | HS_OPEN_MIDSTREAM;
	}
	o.family = s->family;
	o.transport = s->transport;
	o.netns = hs_netns_of(sk);
	o.cgroup = bpf_get_current_cgroup_id();
	hs_comm(o.comm);
	hs_ends(sk, &o);
	if (again && s->transport == HS_TRANSPORT_STREAM)
		s->flags |= HS_OPEN_MIDSTREAM;
	if (s->transport == HS_TRANSPORT_UDP && o.remote_port)
		s->flags |= HS_OPEN_CONNECTED;
	if (hs_unwanted(&o))
		s->state |= HS_IGNORED;
	return s;
}

/* User space has wishes, or knows more of Go processes. */
static __noinline void hs_refresh(struct hs_sock *s)
{
	__u32 *wish = bpf_map_lookup_elem(&hs_wishes, &s->cookie);

	s->gen = hs_gen;
	s->tgid = 0;
	if ((hs_cfg_want & HS_WANT_AGAIN) && hs_cgroup_refused())
		s->state |= HS_IGNORED;
	if (!wish)
		return;
	if (*wish & HS_WISH_MUTE)
		s->state |= HS_MUTED;
	if (*wish & HS_WISH_ANNOUNCE)
		s->state &= ~HS_ANNOUNCED;
	if (*wish & HS_WISH_RAISE)
		s->state |= HS_RAISED;
	if (*wish & HS_WISH_BURST)
		s->state |= HS_RAISED | HS_BURSTS;
	bpf_map_delete_elem(&hs_wishes, &s->cookie);
}

#endif
