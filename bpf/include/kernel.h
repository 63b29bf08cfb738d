/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel's types, with only the fields that we read. Names are checked
 * against the running kernel's BTF by TestKernelFields; offsets are the
 * loader's business (CO-RE).
 */
#ifndef HS_KERNEL_H
#define HS_KERNEL_H

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef signed short __s16;
typedef signed int __s32;
typedef signed long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u32 __wsum;
typedef __u16 __sum16;
typedef _Bool bool;

enum {
	false = 0,
	true = 1,
};

/* uapi/linux/bpf.h: numbers that never change. */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_SK_STORAGE_GET_F_CREATE = 1,
	BPF_RB_NO_WAKEUP = 1,
	BPF_RB_FORCE_WAKEUP = 2,
	BPF_RB_AVAIL_DATA = 0,
};

enum {
	HS_AF_UNIX = 1,
	HS_AF_INET = 2,
	HS_AF_INET6 = 10,
	HS_SOCK_STREAM = 1,
	HS_SOCK_DGRAM = 2,
	HS_SOCK_DONE = 1, /* of enum sock_flags */
	HS_IPPROTO_TCP = 6,
	HS_IPPROTO_UDP = 17,
	HS_TCP_ESTABLISHED = 1,
	HS_TCP_SYN_SENT = 2,
	HS_TCP_SYN_RECV = 3,
	HS_TCP_FIN_WAIT1 = 4,
	HS_TCP_CLOSE = 7,
	HS_TCP_LAST_ACK = 9,
	HS_RCV_SHUTDOWN = 1,
	HS_SHUTDOWN_BOTH = 3,
	HS_MSG_OOB = 1,
	HS_MSG_PEEK = 2,
	HS_MSG_TRUNC = 0x20,
	HS_MSG_ERRQUEUE = 0x2000,
	HS_PF_IO_WORKER = 0x10,
	HS_PF_KTHREAD = 0x00200000,
};

/* uapi/linux/bpf.h: the context of cgroup address hooks, not the kernel's own. */
struct bpf_sock;
struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;
	__u32 user_ip6[4];
	__u32 user_port;
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;
	__u32 msg_src_ip6[4];
	__u32 : 32;
	struct bpf_sock *sk __attribute__((aligned(8)));
};

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u8 u6_addr8[16];
	} in6_u;
};

typedef struct {
	long counter;
} atomic64_t;

struct proto;

struct sock_common {
	__be32 skc_daddr;
	__be32 skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
	struct proto *skc_prot;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
	unsigned long skc_flags;
};

struct socket;
struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1];
};

struct sock {
	struct sock_common __sk_common;
	struct socket *sk_socket;
	__u16 sk_protocol;
	__u16 sk_type;
	__u8 sk_kern_sock : 1;
	__u8 sk_shutdown;
	int sk_err;
	struct pid *sk_peer_pid;
};

struct inet_connection_sock {
	const void *icsk_ulp_ops;
};

struct minmax_sample {
	__u32 t;
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	__u32 copied_seq;
	__u32 write_seq;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 snd_una;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
	__u64 bytes_acked;
	__u32 srtt_us;
	struct minmax rtt_min;
	__u32 total_retrans;
	__u32 segs_in;
	__u32 segs_out;
};

struct sockaddr_un {
	unsigned short sun_family;
	char sun_path[108];
};

struct unix_address {
	int len;
	struct sockaddr_un name[0];
};

struct unix_sock {
	struct unix_address *addr;
	struct sock *peer;
};

struct file;

struct socket {
	struct file *file;
	struct sock *sk;
};

struct inode {
	unsigned short i_mode;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
	void *private_data;
};

struct iovec {
	void *iov_base;
	unsigned long iov_len;
};

struct iov_iter {
	__u8 iter_type;
	unsigned long iov_offset;
	union {
		const struct iovec *__iov;
		void *ubuf;
	};
};

struct msghdr {
	struct iov_iter msg_iter;
};

/* io_uring: a request, and what it keeps while it runs. */
struct iou_vec {
	struct iovec *iovec;
	unsigned int nr;
};

struct io_async_msghdr {
	struct iou_vec vec;
	struct msghdr msg;
};

struct io_async_rw {
	struct iou_vec vec;
	struct iov_iter iter;
};

struct io_sr_msg {
	void *buf;
	unsigned int done_io;
};

struct io_rw {
	__u64 addr;
};

struct io_rsrc_node {
	unsigned long file_ptr;
};

struct io_rsrc_data {
	unsigned int nr;
	struct io_rsrc_node **nodes;
};

struct io_file_table {
	struct io_rsrc_data data;
};

struct io_ring_ctx {
	struct io_file_table file_table;
};

struct io_cqe {
	int fd;
};

struct io_kiocb {
	struct file *file; /* io_sr_msg and io_rw lie here, too */
	__u8 opcode;
	__u64 flags;
	struct io_cqe cqe;
	struct io_ring_ctx *ctx;
	void *async_data;
};

struct fdtable {
	unsigned int max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct nsproxy {
	struct net *net_ns;
};


#if defined(__TARGET_ARCH_x86)
struct thread_info {
	unsigned int status;
};

struct thread_struct {
	unsigned long fsbase;
};

struct pt_regs {
	unsigned long r14;
	unsigned long bx;
	unsigned long cx;
	unsigned long r10;
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long orig_ax;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	__u64 regs[31];
};

struct pt_regs {
	struct user_pt_regs user_regs;
	__u64 orig_x0;
	__s32 syscallno;
};
#else
#error "registers of this architecture: add them here and in regs.h"
#endif

struct task_struct {
#if defined(__TARGET_ARCH_x86)
	struct thread_info thread_info;
	struct thread_struct thread;
#endif
	unsigned int flags;
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct files_struct *files;
	struct nsproxy *nsproxy;
	char comm[16];
};

#pragma clang attribute pop
#pragma clang diagnostic pop

#endif
