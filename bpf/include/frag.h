/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's own copy of what a TCP send has just taken from the process.
 *
 * tcp_sendmsg copies into the task's page fragment (task_struct.task_frag) and
 * moves its end forward, so right after the call the bytes lie before that end,
 * in one piece even if the process gave several. Reading there costs a third of
 * reading user memory (37 against 100 ns for 256 bytes on the machines of the
 * project: crossing SMAP is dear), and for a vector it is one read, not three.
 *
 * It holds where all of this is so; elsewhere user memory is read:
 *  - the kernel has no linear room in TCP skbs (5.17 on) and the socket uses the
 *    task's fragment (sk_use_task_frag, 6.2 on): the hooks that this is for
 *    exist from 6.3 on;
 *  - the call copies: not MSG_ZEROCOPY, MSG_SPLICE_PAGES or data on a SYN
 *    (callers do not ask for the first bytes of a stream, nor for calls other
 *    than write and send);
 *  - the message did not go on in a fresh page, for then its end is nearer to
 *    the page's start than the message is long;
 *  - nothing between TCP and the process (a ULP) has made other bytes of it.
 */
#ifndef HS_FRAG_H
#define HS_FRAG_H

#define HS_MSG_ZEROCOPY 0x4000000
#define HS_MSG_FASTOPEN 0x20000000

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
/* commit fb87bd47516d "net: Introduce sk_use_task_frag in struct sock." */
struct sock___v6_2 {
	bool sk_use_task_frag;
};
#pragma clang diagnostic pop
#pragma clang attribute pop

#if defined(__TARGET_ARCH_x86)
extern void vmemmap_base __ksym __weak;
extern void page_offset_base __ksym __weak;

__u64 hs_vmemmap = 0;     /* address of the first struct page; 0: unknown */
__u64 hs_page_offset = 0; /* address of the first page */

static __always_inline void hs_frag_init(void)
{
	if (!bpf_core_field_exists(struct sock___v6_2, sk_use_task_frag) || !&vmemmap_base || !&page_offset_base)
		return;
	if (bpf_probe_read_kernel(&hs_vmemmap, 8, &vmemmap_base) ||
	    bpf_probe_read_kernel(&hs_page_offset, 8, &page_offset_base))
		hs_vmemmap = 0;
}

/* Where the n bytes lie that the current task has just sent on sk; 0: ask user
 * memory. flags are those of the call. */
static __always_inline __u64 hs_frag_of(struct sock *sk, struct task_struct *task, __u64 *scratch, __u32 n, __u64 flags)
{
	__u64 end = task->task_frag.offset, page;

	if (!hs_vmemmap || n > end || (flags & (HS_MSG_ZEROCOPY | HS_MSG_FASTOPEN)))
		return 0;
	/* Through memory, a pointer becomes a number that one may count with. */
	*(volatile __u64 *)scratch = (__u64)task->task_frag.page;
	page = *(volatile __u64 *)scratch;
	if (!page)
		return 0;
	if (!((struct sock___v6_2 *)sk)->sk_use_task_frag) /* hs_frag_init has looked for it */
		return 0;
	return hs_page_offset + ((page - hs_vmemmap) / bpf_core_type_size(struct page) << 12) + end - n;
}
#else
static __always_inline void hs_frag_init(void)
{
}

static __always_inline __u64 hs_frag_of(struct sock *sk, struct task_struct *task, __u64 *scratch, __u32 n, __u64 flags)
{
	(void)sk;
	(void)task;
	(void)scratch;
	(void)n;
	(void)flags;
	return 0;
}
#endif

#endif
