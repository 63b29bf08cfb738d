/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What is remembered of a socket, how it is met, judged and announced.
 *
 * The object that includes this says how kernel memory is read (HS_GET), how a
 * socket's memory is found and made (hs_find, hs_make), and what its cookie is
 * (hs_cookie).
 */
#ifndef HS_SOCK_H
#define HS_SOCK_H

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
	__u32 pad;
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

#define HS_CGROUP_LEVELS 12 /* Kubernetes under systemd has 5 */

/* Filters. A kind that lists what to let in refuses what it does not list. */
static __always_inline bool hs_refused(__u32 kind, const __u8 *a, const __u8 *b)
{
	if ((a && *a == HS_PASS_OUT) || (b && *b == HS_PASS_OUT))
		return true;
	return (hs_cfg_want & kind) && !a && !b;
}

static __always_inline void hs_mapped(struct hs_cidr *c, const __u8 *addr, bool v4)
{
	c->bits = 128;
	if (v4) {
		__builtin_memset(c->addr, 0, 10);
		c->addr[10] = c->addr[11] = 0xff;
		__builtin_memcpy(c->addr + 12, addr, 4);
	} else {
		__builtin_memcpy(c->addr, addr, 16);
	}
}

/* A cgroup stands for all below it, also those that are made later. */
static __noinline bool hs_cgroup_refused(void)
{
	bool in = false;
	__u64 id;
	__u8 *a;
	int level;

#pragma unroll
	for (level = 0; level < HS_CGROUP_LEVELS; level++) {
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id)
			break;
		a = bpf_map_lookup_elem(&hs_cgroups, &id);
		if (!a)
			continue;
		if (*a == HS_PASS_OUT)
			return true;
		in = true;
	}
	return (hs_cfg_want & HS_WANT_CGROUP) && !in;
}

static __noinline bool hs_unwanted(struct hs_open *o)
{
	struct hs_cidr c;
	struct hs_name name;
	__u8 *a, *b;

	/* Whom an unconnected UDP socket talks to is known with each datagram: user
	 * space refuses those (Filter.Pair). */
	if (o->family != HS_FAMILY_UNIX && !(o->transport == HS_TRANSPORT_UDP && !o->remote_port)) {
		a = bpf_map_lookup_elem(&hs_ports, &o->local_port);
		b = bpf_map_lookup_elem(&hs_ports, &o->remote_port);
		if (hs_refused(HS_WANT_PORT, a, b))
			return true;
		bool v4 = o->family == HS_FAMILY_IPV4;
		hs_mapped(&c, o->local, v4);
		a = bpf_map_lookup_elem(&hs_cidrs, &c);
		hs_mapped(&c, o->remote, v4);
		b = bpf_map_lookup_elem(&hs_cidrs, &c);
		if (hs_refused(HS_WANT_CIDR, a, b))
			return true;
	} else if (o->family == HS_FAMILY_UNIX && (hs_cfg_want & (HS_WANT_PORT | HS_WANT_CIDR))) {
		return true;
	}
	__builtin_memcpy(name.comm, o->comm, HS_COMM);
	if (hs_refused(HS_WANT_NAME, bpf_map_lookup_elem(&hs_names, &name), 0))
		return true;
	if (hs_cgroup_refused())
		return true;
	return hs_refused(HS_WANT_NETNS, bpf_map_lookup_elem(&hs_netns, &o->netns), 0);
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
	bpf_get_current_comm(o.comm, sizeof(o.comm));
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
	bpf_get_current_comm(r->open.comm, HS_COMM);
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

struct hs_close_record {
	struct hs_head head;
	struct hs_close close;
};

/* Tell that something ended. Nobody is told of the end of what they do not
 * know. */
static __noinline void hs_tell_end(struct hs_sock *s, __u8 what)
{
	struct hs_close_record *r;
	struct hs_loss *loss;

	r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
	if (!r) {
		loss = hs_losses();
		if (loss)
			loss->other++;
		return;
	}
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
