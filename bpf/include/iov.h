/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Where the bytes of a call lie in the process: one buffer or a vector of them.
 * Only user memory is read, through HS_READ_USER(dst, n, src), which gives 0 on
 * success: so this file also compiles natively, for its tests.
 */
#ifndef HS_IOV_H
#define HS_IOV_H

#define HS_IOVS 8        /* pieces looked at: nginx and Go use up to 4 */
#define HS_MMSGHDR 64    /* sizeof(struct mmsghdr), 64 bit */
#define HS_MMSG_LEN 56   /* offset of its msg_len */

struct hs_iov {
	__u64 base;
	__u64 len;
};

struct hs_bytes {
	__u32 n; /* pieces in v; 0: unknown */
	__u32 pad;
	__u64 name; /* msg_name, or sendto's address; 0: none */
	struct hs_iov v[HS_IOVS];
};

static __always_inline void hs_bytes_one(struct hs_bytes *b, __u64 base, __u64 len)
{
	b->v[0].base = base;
	b->v[0].len = len;
	b->n = 1;
}

static __always_inline void hs_bytes_vector(struct hs_bytes *b, __u64 vec, __u64 n)
{
	if (n > HS_IOVS)
		n = HS_IOVS;
	if (n == 0)
		return;
	if (n == 1) { /* by far the most */
		if (!HS_READ_USER(b->v, sizeof(struct hs_iov), vec))
			b->n = 1;
		return;
	}
	if (!HS_READ_USER(b->v, (__u32)n * sizeof(struct hs_iov), vec))
		b->n = n;
}

/* struct user_msghdr on 64 bit: name, namelen (int, padded), iov, iovlen, ... */
static __always_inline void hs_bytes_msg(struct hs_bytes *b, __u64 msg)
{
	__u64 h[4];

	if (HS_READ_USER(h, sizeof(h), msg))
		return;
	b->name = h[0];
	hs_bytes_vector(b, h[2], h[3]);
}

/* The sum of the pieces' lengths. */
static __always_inline __u64 hs_bytes_total(const struct hs_bytes *b)
{
	__u64 sum = 0;
	__u32 i;

	for (i = 0; i < HS_IOVS; i++)
		if (i < b->n)
			sum += b->v[i].len;
	return sum;
}

/* Not static: the verifier looks at it once and then takes its result for any
 * number, which spares it every combination of cases. */
__noinline __u32 hs_least(__u64 a, __u64 b)
{
	return a < b ? a : b;
}

/* What is kept of several pieces at most: twice that, and 2, is the longest
 * record (hs_bytes_need). */
#define HS_MAX_PIECES 16383

/* What has to be reserved for want bytes of b: pieces are put together with
 * room for one more of any size, since the verifier can't relate a piece's
 * place to its length. */
static __always_inline __u32 hs_bytes_need(const struct hs_bytes *b, __u32 want)
{
	return b->n > 1 ? 2 * want + 2 : want;
}

/* Copy the first want bytes of b to dst, which has room bytes: a power of two,
 * at least hs_bytes_need. Returns how many were copied: a prefix. */
static __always_inline __u32 hs_bytes_copy(__u8 *dst, __u32 room, const struct hs_bytes *b, __u32 want)
{
	__u32 mask = room / 2 - 1, done = 0, i, len;

	if (b->n == 1) {
		len = b->v[0].len < want ? b->v[0].len : want;
		if (len > room)
			return 0;
		return HS_READ_USER(dst, len, b->v[0].base) ? 0 : len;
	}
	for (i = 0; i < HS_IOVS; i++) {
		if (i >= b->n)
			break;
		len = hs_least(b->v[i].len, want - done) & mask;
		if (HS_READ_USER(dst + done, len, b->v[i].base))
			break;
		done = (done + len) & mask;
		if (done >= want)
			break;
	}
	return done;
}

#endif
