/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the programs share with user space: the ring, counters, configuration.
 */
#ifndef HS_MAPS_H
#define HS_MAPS_H

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20); /* set by the loader */
} hs_events SEC(".maps");

/* Calls that did not fit the ring. Twin of event.Loss, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hs_loss);
} hs_drops SEC(".maps");

struct hs_lost_record {
	struct hs_head head;
	struct hs_lost lost;
};

struct hs_close_record {
	struct hs_head head;
	struct hs_close close;
};

/* The last words of sockets that are gone, where the ring was full: user space
 * comes for them. What was lost on a connection would be known by nobody. */
struct hs_last_words {
	struct hs_lost_record lost;
	struct hs_close_record close;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64); /* cookie */
	__type(value, struct hs_last_words);
} hs_last SEC(".maps");

enum hs_err {
	HS_ERR_NO_STORAGE = 0,  /* no room to remember a socket */
	HS_ERR_READ_MSG = 1,    /* a msghdr or iovec could not be read */
	HS_ERR_READ_BUFFER = 2, /* a buffer could not be read */
	HS_ERR_MMSG_LOST = 3,   /* which message of sendmmsg or recvmmsg: unsure */
	HS_ERR_GOID = 4,        /* a goroutine could not be read */
	HS_ERR_NO_REGS = 5,     /* bytes moved outside of a system call */
	HS_ERR_COMPAT = 6,      /* 32-bit system call: bytes counted only */
	HS_ERR_URING = 7,       /* which request of io_uring moved bytes: unsure, counted only */
	HS_ERRS = 8,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HS_ERRS);
	__type(key, __u32);
	__type(value, __u64);
} hs_errors SEC(".maps");

/* What user space wants of a socket; looked at when hs_gen has changed. */
enum hs_wish {
	HS_WISH_MUTE = 1,
	HS_WISH_ANNOUNCE = 2,
	HS_WISH_RAISE = 4,
	HS_WISH_BURST = 8,
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* cookie */
	__type(value, __u32);
} hs_wishes SEC(".maps");

/* Where the goroutine is found in processes of Go. */
struct hs_go {
	__s32 g;      /* of the g pointer from the thread pointer */
	__u32 goid;   /* of goid in the g */
	__u32 parent; /* of parentGoid in the g; 0: not known */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32); /* pid */
	__type(value, struct hs_go);
} hs_gos SEC(".maps");

/* Filters: a value says what to do with a socket that has the key. */
enum hs_pass {
	HS_PASS_IN = 1,
	HS_PASS_OUT = 2,
};

/* Bits of hs_cfg_want: kinds that have a list of what to let in. */
enum hs_want {
	HS_WANT_PORT = 1,
	HS_WANT_CIDR = 2,
	HS_WANT_NAME = 4,
	HS_WANT_CGROUP = 8,
	HS_WANT_NETNS = 16,
	HS_WANT_AGAIN = 32, /* cgroups are kept out: also those that begin later */
};

struct hs_cidr {
	__u32 bits;
	__u8 addr[16]; /* IPv4 mapped into IPv6 */
};

struct hs_name {
	char comm[HS_COMM];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u16);
	__type(value, __u8);
} hs_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct hs_cidr);
	__type(value, __u8);
} hs_cidrs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct hs_name);
	__type(value, __u8);
} hs_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u8);
} hs_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u8);
} hs_netns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32); /* pid */
	__type(value, __u8);
} hs_skip_pids SEC(".maps");

const volatile __u32 hs_cfg_max_capture = 4096;
const volatile __u32 hs_cfg_further = 256;
const volatile __u32 hs_cfg_max_burst = 32768; /* of a call, where calls move many messages */
const volatile __u32 hs_cfg_want = 0;
const volatile __u32 hs_cfg_wake = 8 << 20; /* bytes pending that wake the reader */
const volatile bool hs_cfg_udp = true;
const volatile bool hs_cfg_unix = true;
const volatile bool hs_cfg_flows = false; /* what the kernel counted is wanted */
const volatile __s64 hs_cfg_started = 0; /* unix seconds */

/* Nobody reads it. It has the object's BTF hold what Go's twins are compared
 * with, also where only code uses it. */
const volatile struct hs_twins {
	struct hs_head head;
	struct hs_open open;
	struct hs_data data;
	struct hs_peer peer;
	struct hs_close close;
	struct hs_proc proc;
	struct hs_loss loss;
	struct hs_clock clock;
	struct hs_handover handover;
	struct hs_tcp tcp;
	struct hs_lost lost;
	enum hs_kind kind;
	enum hs_data_flag data_flag;
	enum hs_open_flag open_flag;
	enum hs_close_what close_what;
	enum hs_handover_what handover_what;
	enum hs_err err;
	enum hs_wish wish;
	enum hs_pass pass;
	enum hs_want want;
	__u32 pad;
} hs_twins = {};

__u32 hs_self = 0; /* the collector, as the initial namespace calls it */
__u32 hs_gen = 1;  /* goes up with every wish */
__u32 hs_late = 0; /* goes up with every end in hs_last */

static __always_inline void hs_count(enum hs_err what)
{
	__u32 key = what;
	__u64 *n = bpf_map_lookup_elem(&hs_errors, &key);
	if (n)
		*n += 1;
}

static __always_inline struct hs_loss *hs_losses(void)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&hs_drops, &key);
}

/* The reader comes by itself every few milliseconds: a wake-up for every record
 * costs more than the record. When the ring fills faster it is woken, by about
 * one record of 16 (the clock's low bits are as good as a die). */
static __always_inline __u64 hs_wakeup(__u64 now)
{
	if ((now & 15) || bpf_ringbuf_query(&hs_events, BPF_RB_AVAIL_DATA) < hs_cfg_wake)
		return BPF_RB_NO_WAKEUP;
	return BPF_RB_FORCE_WAKEUP;
}

#endif
