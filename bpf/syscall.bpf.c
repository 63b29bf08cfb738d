// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Bytes that processes move on sockets, seen at the end of the system calls
 * that can move some: for kernels without BTF tracing of the socket layer.
 *
 * Only the end is hooked: the registers still hold the arguments. It costs
 * every read and write of the host, socket or not, and is blind to io_uring.
 */
#include "include/kernel.h"
#include "libbpf/bpf_helpers.h"
#include "libbpf/bpf_core_read.h"
#include "libbpf/bpf_endian.h"
#include "include/event.h"

/* These programs have plain pointers: kernel memory is read by copying. */
#define HS_GET(p, f)                                                \
	({                                                          \
		typeof((p)->f) v_;                                  \
		bpf_probe_read_kernel(&v_, sizeof(v_), &(p)->f);    \
		v_;                                                 \
	})
#define HS_READ_USER(dst, n, src) bpf_probe_read_user((dst), (n), (const void *)(src))
#define HS_AFTER_CALL 1 /* the call is over, its results are in user memory */
#define hs_task() bpf_get_current_task_btf()
#define hs_regs(t) ((struct pt_regs *)bpf_task_pt_regs(t))
#define hs_kernels_own(sk) false /* a process has it as a file */

#include "include/drift.h"
#include "include/maps.h"
#include "include/regs.h"
#include "include/moved.h"
#include "include/proc.h"
#include "include/file.h"

/* By the address of the socket, which another may get after it: hs_socket
 * compares inodes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct hs_sock);
} hs_socks SEC(".maps");

/* A zero hs_sock: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hs_sock);
} hs_blank SEC(".maps");

static __always_inline struct hs_sock *hs_find(struct sock *sk)
{
	__u64 key = (__u64)sk;
	return bpf_map_lookup_elem(&hs_socks, &key);
}

static __noinline struct hs_sock *hs_make(struct sock *sk)
{
	__u64 key = (__u64)sk;
	__u32 zero = 0;
	struct hs_sock *blank = bpf_map_lookup_elem(&hs_blank, &zero);

	if (blank)
		bpf_map_update_elem(&hs_socks, &key, blank, BPF_ANY);
	return bpf_map_lookup_elem(&hs_socks, &key);
}

static __always_inline __u64 hs_cookie(struct sock *sk)
{
	(void)sk;
	return (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32();
}

static __always_inline struct tcp_sock *hs_tcp(struct sock *sk)
{
	return HS_GET(sk, sk_protocol) == HS_IPPROTO_TCP && HS_GET(sk, sk_type) == HS_SOCK_STREAM ? (struct tcp_sock *)sk : 0;
}

static __always_inline struct unix_sock *hs_unix(struct sock *sk)
{
	return (struct unix_sock *)sk;
}

/* The socket that a file descriptor of this process is; 0: it is none. */
static __noinline struct sock *hs_socket(struct task_struct *task, __u32 fd, __u32 *ino)
{
	return hs_file_sock(hs_file(task, fd), ino);
}

/* One message. */
static __noinline int hs_one(struct sock *sk, __u32 n, __u32 dir, __u32 ino, __u32 flags)
{
	struct hs_sock *s = hs_find(sk);

	if (n == 0) {
		hs_stopped(sk, 0, dir);
		return 0;
	}
	if (s && s->ino && s->ino != ino) { /* another socket was here */
		s = hs_make(sk);
		if (!s)
			return 0;
	}
	if (!hs_judged(s)) {
		s = hs_meet(sk, s);
		if (!s)
			return 0;
		s->ino = ino;
	}
	return hs_moved(sk, s, n, dir, flags & HS_MSG_TRUNC);
}

#define HS_MMSGS 16 /* messages of one call that are looked at */

static __noinline int hs_many(struct task_struct *task, struct sock *sk, __u32 n, __u32 dir, __u32 ino)
{
	struct pt_regs *regs = hs_regs(task);
	__u64 vec = HS_ARG1(regs);
	__u32 i, len;
	struct hs_sock *s;

	for (i = 0; i < HS_MMSGS && i < n; i++) {
		if (HS_READ_USER(&len, sizeof(len), vec + i * HS_MMSGHDR + HS_MMSG_LEN))
			return 0;
		s = hs_find(sk);
		if (s) { /* hs_call_bytes goes on from here */
			s->mm_vec = vec;
			s->mm_tid = HS_GET(task, pid);
			s->mm_next = i;
		}
		hs_one(sk, len, dir, ino, 0);
	}
	return 0;
}

/* A system call is over. */
static __noinline int hs_syscall(__s32 nr, __s64 ret)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct pt_regs *regs = hs_regs(task);
	__u32 dir = HS_DIR_RECV, fd = HS_ARG0(regs), flags = 0, ino = 0;
	struct sock *sk;

	if (ret < 0 || ret > 0x7fffffff)
		return 0;
	switch (nr) {
	case HS_NR_WRITE:
	case HS_NR_WRITEV:
	case HS_NR_PWRITEV2:
	case HS_NR_SENDTO:
	case HS_NR_SENDMSG:
	case HS_NR_SENDMMSG:
	case HS_NR_SENDFILE:
		dir = HS_DIR_SEND;
		break;
	case HS_NR_RECVMSG:
		flags = HS_ARG2(regs);
		break;
	case HS_NR_RECVFROM:
	case HS_NR_RECVMMSG:
		flags = HS_ARG3(regs);
		break;
	case HS_NR_SPLICE:
		sk = hs_socket(task, HS_ARG2(regs), &ino);
		if (sk)
			return hs_one(sk, ret, HS_DIR_SEND, ino, 0);
		break;
	}
	if (flags & (HS_MSG_PEEK | HS_MSG_OOB | HS_MSG_ERRQUEUE))
		return 0;
	sk = hs_socket(task, fd, &ino);
	if (!sk)
		return 0;
	if (nr == HS_NR_SENDMMSG || nr == HS_NR_RECVMMSG)
		return hs_many(task, sk, ret, dir, ino);
	return hs_one(sk, ret, dir, ino, flags);
}

/* Fields of the tracepoint's record: common, number, result. */
struct hs_sys_exit {
	__u64 common;
	__s64 nr;
	__s64 ret;
};

#define HS_SYSCALL(name, number)                                   \
	SEC("tracepoint/syscalls/sys_exit_" #name)                 \
	int hs_sys_##name(struct hs_sys_exit *ctx)                 \
	{                                                          \
		hs_syscall(number, ctx->ret);                      \
		return 0;                                          \
	}

HS_SYSCALL(read, HS_NR_READ)
HS_SYSCALL(write, HS_NR_WRITE)
HS_SYSCALL(readv, HS_NR_READV)
HS_SYSCALL(writev, HS_NR_WRITEV)
HS_SYSCALL(preadv2, HS_NR_PREADV2)
HS_SYSCALL(pwritev2, HS_NR_PWRITEV2)
HS_SYSCALL(recvfrom, HS_NR_RECVFROM)
HS_SYSCALL(sendto, HS_NR_SENDTO)
HS_SYSCALL(recvmsg, HS_NR_RECVMSG)
HS_SYSCALL(sendmsg, HS_NR_SENDMSG)
HS_SYSCALL(recvmmsg, HS_NR_RECVMMSG)
HS_SYSCALL(sendmmsg, HS_NR_SENDMMSG)
HS_SYSCALL(sendfile64, HS_NR_SENDFILE)
HS_SYSCALL(splice, HS_NR_SPLICE)

/* All of them in one, without tracefs: dearer for every other call.
 * TP_PROTO(struct pt_regs *regs, long ret) */
SEC("raw_tp/sys_exit")
int hs_sys_exit(__u64 *ctx)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
	struct pt_regs *regs = hs_regs(task);
	__s32 nr = HS_NR(regs);

	switch (nr) {
	case HS_NR_READ:
	case HS_NR_WRITE:
	case HS_NR_READV:
	case HS_NR_WRITEV:
	case HS_NR_PREADV2:
	case HS_NR_PWRITEV2:
	case HS_NR_RECVFROM:
	case HS_NR_SENDTO:
	case HS_NR_RECVMSG:
	case HS_NR_SENDMSG:
	case HS_NR_RECVMMSG:
	case HS_NR_SENDMMSG:
	case HS_NR_SENDFILE:
	case HS_NR_SPLICE:
		hs_syscall(nr, ctx[1]);
	}
	return 0;
}

SEC("raw_tp/inet_sock_set_state")
int hs_raw_state(__u64 *ctx)
{
	hs_tcp_state((struct sock *)ctx[0], (int)ctx[1], (int)ctx[2]);
	return 0;
}

SEC("raw_tp/tcp_destroy_sock")
int hs_raw_gone(__u64 *ctx)
{
	__u64 key = ctx[0];

	hs_tcp_gone((struct sock *)ctx[0]);
	bpf_map_delete_elem(&hs_socks, &key);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int hs_raw_exec(__u64 *ctx)
{
	hs_process((struct task_struct *)ctx[0], 0, HS_KIND_EXEC);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int hs_raw_exit(__u64 *ctx)
{
	hs_process((struct task_struct *)ctx[0], 0, HS_KIND_EXIT);
	return 0;
}

SEC("raw_tp/sched_process_fork")
int hs_raw_fork(__u64 *ctx)
{
	hs_process((struct task_struct *)ctx[1], (struct task_struct *)ctx[0], HS_KIND_FORK);
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
