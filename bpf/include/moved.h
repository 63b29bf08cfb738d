/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Bytes moved on a socket: which, where in the stream, and the head of them.
 *
 * The bytes are read from the buffer that the interrupted system call names:
 * after a send it still holds what was sent, after a receive what was received.
 * So nothing is remembered between hooks, and calls that touch no socket cost
 * nothing.
 */
#ifndef HS_MOVED_H
#define HS_MOVED_H

#include "iov.h"
#include "told.h"

/* Past so many calls of a run that has used up its capture, large calls are
 * told together: a download costs nearly nothing. */
#define HS_BULK_CALLS 64
#define HS_BULK_MIN 4096
#define HS_BULK_BYTES (1 << 20)
#define HS_BULK_NS 20000000ULL /* the last bytes of a message are late by no more */

/* One call that moved bytes. */
struct hs_move {
	struct hs_data data;
	__u64 now;
	__u64 sk;
	__u32 pid;
	__u32 tid;
	struct hs_bytes bytes; /* where they lie */
};

#if HS_AFTER_CALL /* these rows do not see what io_uring moves */
#define hs_uring_bytes(m, ret) ((void)(ret), 0)
#else
#include "uring.h"
#endif

struct hs_data_record {
	struct hs_head head;
	struct hs_data data;
	__u8 b[];
};

struct hs_datagram_record {
	struct hs_head head;
	struct hs_data data;
	struct hs_peer peer;
	__u8 b[];
};

/* Bytes that no system call moved: io_uring. */
static __always_inline bool hs_other_bytes(struct hs_move *m, __u32 moved, enum hs_err unknown)
{
	m->data.flags |= HS_DATA_URING;
	if (hs_uring_bytes(m, moved))
		return true;
	m->bytes.n = 0;
	hs_count(unknown);
	return false;
}

/* Where the bytes lie, from the system call's registers. For a 0 nothing is
 * known, and flags say why. */
static __always_inline bool hs_call_bytes(struct task_struct *task, struct pt_regs *regs, struct hs_sock *s,
					  struct hs_move *m, __u32 moved)
{
	struct hs_bytes *b = &m->bytes;
	__s32 nr;

	b->n = 0;
	if (HS_GET(task, flags) & (HS_PF_KTHREAD | HS_PF_IO_WORKER))
		return hs_other_bytes(m, moved, HS_ERR_URING);
	if (!HS_IN_CALL(regs, task))
		return hs_other_bytes(m, moved, HS_ERR_NO_REGS);
	nr = HS_NR(regs);
	switch (nr) {
	case HS_NR_READ:
	case HS_NR_WRITE:
	case HS_NR_SENDTO:
	case HS_NR_RECVFROM:
		hs_bytes_one(b, HS_ARG1(regs), HS_ARG2(regs));
		if (nr == HS_NR_SENDTO || (HS_AFTER_CALL && nr == HS_NR_RECVFROM))
			m->bytes.name = HS_ARG4(regs);
		break;
	case HS_NR_READV:
	case HS_NR_WRITEV:
	case HS_NR_PREADV2:
	case HS_NR_PWRITEV2:
		hs_bytes_vector(b, HS_ARG1(regs), HS_ARG2(regs));
		break;
	case HS_NR_SENDMSG:
	case HS_NR_RECVMSG:
		hs_bytes_msg(b, HS_ARG1(regs));
		break;
	case HS_NR_SENDMMSG:
	case HS_NR_RECVMMSG: {
		/* The vector is worked through in order; a call that stops early
		 * fails, and that resets the place (hs_stopped). */
		__u64 vec = HS_ARG1(regs);
		__u32 tid = HS_GET(task, pid), i = 0;

		if (s->mm_vec == vec && s->mm_tid == tid)
			i = s->mm_next;
		s->mm_tid = tid;
		s->mm_next = i + 1;
		s->mm_vec = i + 1 < (__u32)HS_ARG2(regs) ? vec : 0;
		hs_bytes_msg(b, vec + (__u64)i * HS_MMSGHDR);
		/* A datagram moves whole or not at all: if the lengths disagree this
		 * is another message. */
		if (s->transport == HS_TRANSPORT_UDP && m->data.dir == HS_DIR_SEND && hs_bytes_total(b) != moved) {
			b->n = 0;
			s->mm_vec = 0;
			hs_count(HS_ERR_MMSG_LOST);
			m->data.flags |= HS_DATA_FAULT;
			return false;
		}
		return true;
	}
	case HS_NR_IO_URING_ENTER:
		return hs_other_bytes(m, moved, HS_ERR_URING);
	default:
		m->data.flags |= HS_DATA_NO_BUFFER;
		return false;
	}
	s->mm_vec = 0;
	return true;
}

/* The goroutine that runs on this thread: Go keeps its g below the thread
 * pointer, and numbers it. */
static __always_inline void hs_goid(struct task_struct *task, struct hs_sock *s, struct hs_data *d)
{
#if defined(__TARGET_ARCH_x86)
	__u32 tgid = HS_GET(task, tgid);
	__u64 g = 0;

	if (HS_GET(task, flags) & HS_PF_IO_WORKER) /* a thread of the kernel's making */
		return;
	if (s->tgid != tgid) {
		struct hs_go *go = bpf_map_lookup_elem(&hs_gos, &tgid);
		s->tgid = tgid;
		s->goid = 0;
		s->go.g = go ? go->g : 0;
		s->go.goid = go ? go->goid : 0;
		s->go.parent = go ? go->parent : 0;
	}
	if (!s->go.goid)
		return;
	if (bpf_probe_read_user(&g, 8, (void *)(HS_GET(task, thread.fsbase) + (__s64)s->go.g)) || !g ||
	    bpf_probe_read_user(&d->goid, 8, (void *)(g + s->go.goid))) {
		d->goid = 0;
		hs_count(HS_ERR_GOID);
		return;
	}
	/* A goroutine's number is never used again, and its parent stays: each
	 * read of user memory costs as much as all the rest of a small event. */
	if (s->goid != d->goid) {
		s->goid = d->goid;
		s->goid_parent = 0;
		if (s->go.parent && bpf_probe_read_user(&s->goid_parent, 8, (void *)(g + s->go.parent))) {
			s->goid = 0;
			s->goid_parent = 0;
			hs_count(HS_ERR_GOID);
		}
	}
	d->parent = s->goid_parent;
#else
	(void)task;
	(void)s;
	(void)d; /* arm64 keeps g in a register that the kernel's entry does not show us */
#endif
}

static __noinline void hs_lost(struct hs_sock *s, __u32 dir, bool turned)
{
	struct hs_loss *loss = hs_losses();
	__u32 role = s->role;

	if (s->transport == HS_TRANSPORT_UDP)
		turned = true; /* a datagram is a message */
	__sync_fetch_and_add(&s->lost[dir & 1], 1);
	if (turned)
		__sync_fetch_and_add(&s->turns[dir & 1], 1);
	if (!loss || role >= HS_ROLES)
		return;
	role += (dir & 1) * HS_ROLES;
	if (role >= HS_DIRS * HS_ROLES)
		return;
	loss->calls[role]++;
	if (turned)
		loss->turns[role]++;
}

/* Where a datagram of an unconnected socket goes to: the program's sockaddr. */
static __always_inline void hs_peer_of_name(struct hs_peer *p, __u64 name)
{
	__u8 sa[28] = {};
	__u16 family;

	if (!name || bpf_probe_read_user(sa, 16, (void *)name))
		return;
	family = sa[0] | (__u16)sa[1] << 8;
	p->port = (__u16)sa[2] << 8 | sa[3];
	if (family == HS_AF_INET) {
		__builtin_memcpy(p->addr, sa + 4, 4);
		p->family = HS_FAMILY_IPV4;
	} else if (family == HS_AF_INET6 && !bpf_probe_read_user(sa, 28, (void *)name)) {
		__builtin_memcpy(p->addr, sa + 8, 16);
		p->family = HS_FAMILY_IPV6;
	}
}

static __always_inline void hs_fill(struct hs_head *h, struct hs_data *d, struct hs_sock *s, struct hs_move *m, __u32 kind,
				    __u32 size)
{
	h->time = m->now;
	h->sock = s->cookie;
	h->pid = m->pid;
	h->tid = m->tid;
	h->size = size + m->data.captured;
	h->cpu = bpf_get_smp_processor_id();
	h->kind = kind;
	h->pad = 0;
	*d = m->data;
}

/* Reserve a record with room for need bytes. Sizes double, so that a record
 * wastes no more than half of what it takes; what is not written is not
 * touched. The kernel wants constants. */
#define HS_CLASS(size)                                                                          \
	if (!room && need <= (size)) {                                                         \
		room = (size);                                                                 \
		r = bpf_ringbuf_reserve(&hs_events, sizeof(*r) + (size), 0);                   \
	}

/* These two are not static: verified once, whatever they are called with. */
__noinline int hs_emit(struct hs_sock *s, struct hs_move *m, __u32 cap)
{
	struct hs_data_record *r = 0;
	__u32 need, room = 0;

	if (!s || !m)
		return 0;
	need = hs_bytes_need(&m->bytes, cap);
	HS_CLASS(128)
	HS_CLASS(256)
	HS_CLASS(512)
	HS_CLASS(1024)
	HS_CLASS(2048)
	HS_CLASS(4096)
	HS_CLASS(8192)
	HS_CLASS(16384)
	HS_CLASS(32768)
	if (!r)
		return 0;
	m->data.captured = cap ? hs_bytes_copy(r->b, room, &m->bytes, cap) : 0;
	if (!m->data.captured && cap)
		m->data.flags |= HS_DATA_FAULT;
	hs_fill(&r->head, &r->data, s, m, HS_KIND_DATA, sizeof(*r));
	bpf_ringbuf_submit(r, hs_wakeup(m->now));
	return 1;
}

__noinline int hs_emit_datagram(struct hs_sock *s, struct hs_move *m, __u32 cap)
{
	struct hs_datagram_record *r = 0;
	__u32 need, room = 0;

	if (!s || !m)
		return 0;
	need = hs_bytes_need(&m->bytes, cap);
	HS_CLASS(128)
	HS_CLASS(512)
	HS_CLASS(2048)
	HS_CLASS(8192)
	HS_CLASS(32768)
	if (!r)
		return 0;
	__builtin_memset(&r->peer, 0, sizeof(r->peer));
	if (!(s->flags & HS_OPEN_CONNECTED)) {
		if (HS_AFTER_CALL || m->data.dir == HS_DIR_SEND)
			hs_peer_of_name(&r->peer, m->bytes.name);
		else if (s->peer_known && s->peer_tid == m->tid)
			r->peer = s->peer;
		s->peer_known = 0;
		if (r->peer.family)
			m->data.flags |= HS_DATA_PEER;
	}
	m->data.captured = cap ? hs_bytes_copy(r->b, room, &m->bytes, cap) : 0;
	if (!m->data.captured && cap)
		m->data.flags |= HS_DATA_FAULT;
	hs_fill(&r->head, &r->data, s, m, HS_KIND_DATAGRAM, sizeof(*r));
	bpf_ringbuf_submit(r, hs_wakeup(m->now));
	return 1;
}

/* Tell bulk calls that were not told yet, as one. */
static __noinline void hs_tell_bulk(struct hs_sock *s, __u32 dir)
{
	struct hs_data_record *r;

	if (s->merged) {
		r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
		if (!r) {
			hs_lost(s, dir, false);
		} else {
			__builtin_memset(&r->data, 0, sizeof(r->data));
			hs_fill_head(&r->head, s, HS_KIND_DATA, sizeof(*r), s->merged_time);
			r->data.pos = s->merged_pos;
			r->data.seq = (__u32)s->merged_pos + s->first[dir & 1];
			r->data.wire = s->merged > 0xffffffff ? 0xffffffff : s->merged;
			r->data.dir = dir;
			r->data.role = s->role;
			r->data.flags = HS_DATA_MERGED;
			r->data.cap_seq = s->cap_seq;
			bpf_ringbuf_submit(r, hs_wakeup(s->merged_time));
		}
		s->merged = 0;
	}
}

/* Nothing moved: the end of the stream, or the end of a vector of messages. */
static __noinline void hs_stopped(struct sock *sk, int ret, __u32 dir)
{
	struct hs_sock *s = hs_find(sk);

	if (!s)
		return;
	s->mm_vec = 0;
	if (ret == 0 && dir == HS_DIR_RECV && !(s->state & HS_EOF) && hs_told(s) &&
	    s->transport == HS_TRANSPORT_STREAM && (HS_GET(sk, sk_shutdown) & HS_RCV_SHUTDOWN)) {
		hs_tell_bulk(s, dir);
		hs_tell_end(s, HS_CLOSE_RECEIVED);
	}
}

/* How many of ret bytes to keep. A message is kept up to hs_cfg_max_capture
 * until the other end speaks; of each further call of the same end the head is
 * kept, so that messages which follow each other can still be read. */
static __always_inline __u32 hs_budget(struct hs_sock *s, __u32 ret, __u32 dir)
{
	__u32 cap = s->state & HS_BURSTS ? hs_cfg_max_burst : hs_cfg_max_capture;

	if (s->last != dir + 1) {
		s->run = 0;
		s->run_calls = 0;
	}
	s->run_calls++;
	if (s->transport == HS_TRANSPORT_STREAM && !(s->state & HS_RAISED)) {
		cap = s->run < cap ? cap - s->run : 0;
		if (cap < hs_cfg_further)
			cap = hs_cfg_further;
	}
	cap = ret < cap ? ret : cap;
	s->run += cap;
	return cap;
}

/* The heart: ret bytes moved on sk in the current task. */
static __always_inline int hs_moved(struct sock *sk, struct hs_sock *s, __u32 ret, __u32 dir, bool truncated)
{
	struct task_struct *task = (struct task_struct *)hs_task();
	struct hs_move m = {};
	__u64 now;
	struct tcp_sock *tp;
	__u32 cap, w, c;
	__u64 at[HS_DIRS];
	bool turned, ok;

	if (s->gen != hs_gen)
		hs_refresh(s);
	if (s->state & (HS_IGNORED | HS_MUTED | HS_GONE))
		return 0;
	turned = s->last != dir + 1;
	if (turned && s->merged)
		hs_tell_bulk(s, dir ^ 1);
	cap = hs_budget(s, ret, dir);
	s->last = dir + 1;
	s->cap_seq++;
	now = bpf_ktime_get_ns();
	m.now = now;
	m.sk = (__u64)sk;
	m.pid = HS_GET(task, tgid);
	m.tid = HS_GET(task, pid);
	m.data.dir = dir;
	m.data.wire = ret;

	/* kTLS or a sockmap took the socket over: its sequence numbers are no
	 * longer those of the bytes that the process moves. */
	if (s->proto != (__u64)HS_GET(sk, __sk_common.skc_prot) && !(s->state & HS_COUNTED)) {
		s->state |= HS_COUNTED;
		s->flags &= ~HS_OPEN_KEYED;
		s->state &= ~HS_ANNOUNCED;
	}
	tp = s->state & HS_COUNTED ? 0 : hs_tcp(sk);
	if (tp) {
		hs_ends_at(tp, s, &at[HS_DIR_SEND], &at[HS_DIR_RECV], &w, &c);
		s->count[HS_DIR_SEND] = at[HS_DIR_SEND];
		s->count[HS_DIR_RECV] = at[HS_DIR_RECV];
		m.data.seq = (dir == HS_DIR_SEND ? w : c) - ret;
		m.data.pos = (dir == HS_DIR_SEND ? at[HS_DIR_SEND] : at[HS_DIR_RECV]) - ret;
		m.data.other = dir == HS_DIR_SEND ? at[HS_DIR_RECV] : at[HS_DIR_SEND];
	} else {
		m.data.pos = dir == HS_DIR_SEND ? s->count[HS_DIR_SEND] : s->count[HS_DIR_RECV];
		m.data.other = dir == HS_DIR_SEND ? s->count[HS_DIR_RECV] : s->count[HS_DIR_SEND];
		m.data.seq = (__u32)m.data.pos;
		if (dir == HS_DIR_SEND)
			s->count[HS_DIR_SEND] += ret;
		else
			s->count[HS_DIR_RECV] += ret;
	}
	if (s->merged || (ret >= HS_BULK_MIN && s->run_calls > HS_BULK_CALLS && !(s->state & HS_RAISED) &&
			  s->transport == HS_TRANSPORT_STREAM && (s->state & HS_ANNOUNCED))) {
		if (ret >= HS_BULK_MIN) {
			if (!s->merged) {
				s->merged_pos = m.data.pos;
				s->merged_since = now;
			}
			s->merged += ret;
			s->merged_time = now;
			if (s->merged >= HS_BULK_BYTES || now - s->merged_since >= HS_BULK_NS)
				hs_tell_bulk(s, dir);
			return 0;
		}
		hs_tell_bulk(s, dir);
	}
	if (s->family == HS_FAMILY_UNIX && !s->peer_sock && (s->state & HS_ANNOUNCED)) {
		/* The peer was nobody yet when the socket was announced. */
		hs_meet_unix(sk, s);
		if (s->peer_sock)
			s->state &= ~HS_ANNOUNCED;
	}
	s->pid = m.pid;
	if (!(s->state & HS_ANNOUNCED)) {
		hs_announce(sk, s, now);
		if (!(s->state & HS_ANNOUNCED)) { /* bytes of what nobody knows say nothing */
			hs_lost(s, dir, turned);
			return 0;
		}
	}

	if (!hs_call_bytes(task, hs_regs(task), s, &m, ret) || truncated)
		m.bytes.n = 0;
	if (!m.bytes.n)
		cap = 0;
	else if (m.bytes.n > 1 && cap > HS_MAX_PIECES)
		cap = HS_MAX_PIECES;
	hs_goid(task, s, &m.data);
	m.data.role = s->role;
	m.data.cap_seq = s->cap_seq;
	w = s->lost[HS_DIR_SEND];
	c = s->lost[HS_DIR_RECV];
	m.data.lost_send = w - s->told[HS_DIR_SEND];
	m.data.lost_recv = c - s->told[HS_DIR_RECV];
	if (w + c != s->said) {
		at[HS_DIR_SEND] = dir == HS_DIR_SEND ? m.data.pos : m.data.other;
		at[HS_DIR_RECV] = dir == HS_DIR_SEND ? m.data.other : m.data.pos;
		hs_tell_lost(s, at);
	}
	if (s->transport == HS_TRANSPORT_UDP)
		ok = hs_emit_datagram(s, &m, cap);
	else
		ok = hs_emit(s, &m, cap);
	if (!ok) {
		hs_lost(s, dir, turned);
		return 0;
	}
	s->told[HS_DIR_SEND] = w;
	s->told[HS_DIR_RECV] = c;
	return 0;
}

#endif
