/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Bytes that io_uring moves. The system call's registers say nothing of them: a
 * request runs in the call that submits it, or later, on the way out of any other
 * call, in a worker thread or in the one that polls the submission queue.
 *
 * So requests are noted by their socket when they are submitted. When bytes have
 * moved, the one whose iterator has moved is it: it is read while it runs, and
 * names the buffer, also one that the kernel has chosen from a group (provided
 * buffers). All of these threads share the memory of the process.
 */
#ifndef HS_URING_H
#define HS_URING_H

#include "file.h"

#define HS_URING_REQS 4 /* of one socket and direction at a time */

struct hs_uring_reqs {
	__u64 req[HS_URING_REQS];
};

/* By the address of the socket, with the direction in its lowest bit: another
 * socket may get it, hs_uring_this looks. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct hs_uring_reqs);
} hs_uring SEC(".maps");

/* uapi/linux/io_uring.h: enum io_uring_op. */
enum hs_uring_op {
	HS_OP_READV = 1, HS_OP_WRITEV = 2, HS_OP_READ_FIXED = 4, HS_OP_WRITE_FIXED = 5,
	HS_OP_SENDMSG = 9, HS_OP_RECVMSG = 10, HS_OP_READ = 22, HS_OP_WRITE = 23,
	HS_OP_SEND = 26, HS_OP_RECV = 27, HS_OP_SEND_ZC = 47, HS_OP_SENDMSG_ZC = 48,
	HS_OP_READ_MULTISHOT = 49, HS_OP_READV_FIXED = 60, HS_OP_WRITEV_FIXED = 61,
};

enum {
	HS_REQ_FIXED_FILE = 1 << 0, /* of io_req_flags_t; the order is old and stays */
	HS_ITER_UBUF = 0,           /* enum iter_type */
	HS_ITER_IOVEC = 1,
	HS_ITER_BVEC = 2,
};

static __always_inline __u32 hs_uring_dir(__u8 op)
{
	switch (op) {
	case HS_OP_WRITEV:
	case HS_OP_WRITE_FIXED:
	case HS_OP_SENDMSG:
	case HS_OP_WRITE:
	case HS_OP_SEND:
	case HS_OP_SEND_ZC:
	case HS_OP_SENDMSG_ZC:
	case HS_OP_WRITEV_FIXED:
		return HS_DIR_SEND;
	case HS_OP_READV:
	case HS_OP_READ_FIXED:
	case HS_OP_RECVMSG:
	case HS_OP_READ:
	case HS_OP_RECV:
	case HS_OP_READ_MULTISHOT:
	case HS_OP_READV_FIXED:
		return HS_DIR_RECV;
	}
	return HS_DIRS;
}

/* Whether op works on a message header, else on a file's iterator. */
static __always_inline bool hs_uring_net(__u8 op)
{
	return op == HS_OP_SENDMSG || op == HS_OP_RECVMSG || op == HS_OP_SEND || op == HS_OP_RECV ||
	       op == HS_OP_SEND_ZC || op == HS_OP_SENDMSG_ZC;
}

/* Whether this kernel's requests have what hs_uring_this reads: the iterator is
 * kept with the request from 6.10 on or so, the vector in this form from 6.15. */
static __always_inline bool hs_uring_told(void)
{
	return bpf_core_field_exists(struct io_kiocb, async_data) && bpf_core_field_exists(struct io_async_msghdr, vec) &&
	       bpf_core_field_exists(struct io_async_msghdr, msg) && bpf_core_field_exists(struct io_async_rw, vec) &&
	       bpf_core_field_exists(struct io_async_rw, iter) && bpf_core_field_exists(struct io_sr_msg, done_io) &&
	       bpf_core_field_exists(struct io_rw, addr) && bpf_core_field_exists(struct iov_iter, __iov) &&
	       bpf_core_field_exists(struct iov_iter, ubuf);
}

/* The program that has this is refused, and told as missing, where they are not. */
#define HS_NEED(type, field) asm volatile("" ::"r"((__u64)bpf_core_field_offset(type, field)))

/* The socket of a request whose file the kernel has not looked up yet. */
static __always_inline struct sock *hs_uring_sock(struct io_kiocb *req)
{
	__u32 fd = HS_PROBE(req, cqe.fd), ino;
	struct file *f = 0;

	if (HS_PROBE(req, flags) & HS_REQ_FIXED_FILE) {
		struct io_ring_ctx *ctx = HS_PROBE(req, ctx);
		struct io_rsrc_node **nodes = HS_PROBE(ctx, file_table.data.nodes), *node = 0;
		if (fd >= HS_PROBE(ctx, file_table.data.nr))
			return 0;
		bpf_probe_read_kernel(&node, sizeof(node), nodes + fd);
		if (node) /* flags are in the lowest bits */
			f = (struct file *)(HS_PROBE(node, file_ptr) & ~7UL);
	} else {
		f = hs_file((struct task_struct *)hs_task(), fd);
	}
	return hs_file_sock(f, &ino);
}

/* A request is submitted; it is prepared, and has not run. */
static __always_inline void hs_uring_submitted(struct io_kiocb *req)
{
	__u32 dir = hs_uring_dir(HS_PROBE(req, opcode)), i;
	struct hs_uring_reqs fresh = {}, *r;
	__u64 key;

	HS_NEED(struct io_async_msghdr, vec);
	HS_NEED(struct io_async_rw, vec);
	HS_NEED(struct iov_iter, ubuf);
	if (dir >= HS_DIRS)
		return;
	key = (__u64)hs_uring_sock(req);
	if (!key)
		return;
	key |= dir;
	r = bpf_map_lookup_elem(&hs_uring, &key);
	if (!r) {
		fresh.req[0] = (__u64)req;
		bpf_map_update_elem(&hs_uring, &key, &fresh, BPF_ANY);
		return;
	}
	for (i = 0; i < HS_URING_REQS; i++)
		if (r->req[i] == (__u64)req) /* its memory is used again */
			return;
	for (i = 0; i < HS_URING_REQS; i++)
		if (!r->req[i]) {
			r->req[i] = (__u64)req;
			return;
		}
	for (i = 1; i < HS_URING_REQS; i++)
		r->req[i - 1] = r->req[i];
	r->req[HS_URING_REQS - 1] = (__u64)req;
}

/* A request is over. */
static __always_inline void hs_uring_over(struct io_kiocb *req)
{
	__u32 dir = hs_uring_dir(HS_PROBE(req, opcode)), i, ino;
	struct hs_uring_reqs *r;
	__u64 key;

	if (dir >= HS_DIRS)
		return;
	key = (__u64)hs_file_sock(HS_PROBE(req, file), &ino);
	if (!key)
		return;
	key |= dir;
	r = bpf_map_lookup_elem(&hs_uring, &key);
	if (!r)
		return;
	for (i = 0; i < HS_URING_REQS; i++)
		if (r->req[i] == (__u64)req)
			r->req[i] = 0;
}

/* Where the ret bytes lie that req has just moved on sk; false: it was not it, or
 * does not say. */
static __always_inline bool hs_uring_this(struct hs_bytes *b, struct io_kiocb *req, __u64 sk, __u32 dir, __u32 ret)
{
	__u8 op = HS_PROBE(req, opcode);
	struct file *f = HS_PROBE(req, file);
	struct socket *so = f ? HS_PROBE(f, private_data) : 0;
	void *data = HS_PROBE(req, async_data);
	bool net = hs_uring_net(op);
	struct iov_iter *iter;
	struct iovec *iov, *at;
	__u64 off;
	__u32 n;

	if (hs_uring_dir(op) != dir || !so || (__u64)HS_PROBE(so, sk) != sk || !data)
		return false;
	/* The kernel moves a message's own iterator; of a file's it gives a copy
	 * away, and moves it later. */
	iter = net ? &((struct io_async_msghdr *)data)->msg.msg_iter : &((struct io_async_rw *)data)->iter;
	off = HS_PROBE(iter, iov_offset);
	switch (HS_PROBE(iter, iter_type)) {
	case HS_ITER_UBUF:
		if (net) {
			if (off < ret)
				return false;
			off -= ret;
		}
		hs_bytes_one(b, (__u64)HS_PROBE(iter, ubuf) + off, ret);
		return true;
	case HS_ITER_IOVEC:
		iov = net ? HS_PROBE((struct io_async_msghdr *)data, vec.iovec) : HS_PROBE((struct io_async_rw *)data, vec.iovec);
		at = (struct iovec *)HS_PROBE(iter, __iov);
		if (!iov || net == (at == iov && !off))
			return false;
		if (net && HS_PROBE((struct io_sr_msg *)req, done_io)) /* it goes on where it stopped */
			return false;
		n = net ? HS_PROBE((struct io_async_msghdr *)data, vec.nr) : HS_PROBE((struct io_async_rw *)data, vec.nr);
		if (n > HS_IOVS)
			n = HS_IOVS;
		if (!n || bpf_probe_read_kernel(b->v, n * sizeof(struct hs_iov), iov))
			return false;
		b->n = n;
		return true;
	case HS_ITER_BVEC: /* registered buffers: the request has the process's address */
		hs_bytes_one(b, net ? (__u64)HS_PROBE((struct io_sr_msg *)req, buf) : HS_PROBE((struct io_rw *)req, addr), ret);
		return net ? HS_PROBE((struct io_sr_msg *)req, done_io) == 0 : true;
	}
	return false;
}

/* Not static: verified once. Finds the bytes of a move; 0: not known. */
__noinline int hs_uring_bytes(struct hs_move *m, __u32 ret)
{
	struct hs_uring_reqs *r;
	__u64 key, req;
	__u32 i;

	if (!m || !hs_uring_told())
		return 0;
	key = m->sk | m->data.dir;
	r = bpf_map_lookup_elem(&hs_uring, &key);
	if (!r)
		return 0;
	for (i = 0; i < HS_URING_REQS; i++) {
		req = r->req[i];
		if (req && hs_uring_this(&m->bytes, (struct io_kiocb *)req, m->sk, m->data.dir, ret))
			return 1;
	}
	return 0;
}

#endif
