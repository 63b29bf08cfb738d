/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side tells the collector. No kernel type in here. Every
 * record in hs_events is a hs_head, the body of its kind, and for some kinds
 * bytes behind it; head.size is all of it. The Go twins are in internal/event,
 * compared with this file by TestTwins.
 */
#ifndef HS_EVENT_H
#define HS_EVENT_H

#define HS_COMM 16
#define HS_PATH 108 /* sun_path */

enum hs_kind {
	HS_KIND_OPEN = 1,     /* hs_open, then the path of a unix socket */
	HS_KIND_DATA = 2,     /* hs_data, then captured bytes */
	HS_KIND_DATAGRAM = 3, /* hs_data, hs_peer, then captured bytes */
	HS_KIND_CLOSE = 4,    /* hs_close */
	HS_KIND_EXEC = 5,     /* hs_proc */
	HS_KIND_EXIT = 6,     /* hs_proc */
	HS_KIND_FORK = 7,     /* hs_proc */
	HS_KIND_LOSS = 8,     /* hs_loss; made by the reader */
	HS_KIND_CLOCK = 9,    /* hs_clock; made by the reader */
	HS_KIND_CONNECT = 10, /* nothing more: this thread begins to connect */
	HS_KIND_HANDOVER = 11, /* hs_handover */
	HS_KIND_TCP = 12,     /* hs_tcp */
	HS_KIND_LOST = 13,    /* hs_lost */
};

enum hs_dir {
	HS_DIR_SEND = 0,
	HS_DIR_RECV = 1,
	HS_DIRS = 2,
};

enum hs_role {
	HS_ROLE_UNKNOWN = 0,
	HS_ROLE_CLIENT = 1,
	HS_ROLE_SERVER = 2,
	HS_ROLES = 3,
};

enum hs_family {
	HS_FAMILY_UNIX = 1,
	HS_FAMILY_IPV4 = 4,
	HS_FAMILY_IPV6 = 6,
};

enum hs_transport {
	HS_TRANSPORT_STREAM = 1, /* TCP, unix stream */
	HS_TRANSPORT_UDP = 2,
};

/* hs_open.flags */
enum hs_open_flag {
	HS_OPEN_MIDSTREAM = 1, /* bytes went by before the first that we saw */
	HS_OPEN_KEYED = 2,     /* first_send and first_recv hold */
	HS_OPEN_CONNECTED = 4, /* the remote end holds; else every datagram has its own */
};

/* hs_data.flags */
enum hs_data_flag {
	HS_DATA_NO_BUFFER = 1, /* bytes moved that no user buffer holds: sendfile, splice */
	HS_DATA_URING = 2,     /* moved by io_uring */
	HS_DATA_FAULT = 4,     /* the buffer could not be read */
	HS_DATA_PEER = 8,      /* hs_peer holds */
	HS_DATA_MERGED = 16,   /* several bulk calls told as one */
};

enum hs_close_what {
	HS_CLOSE_GONE = 1,     /* the connection is gone */
	HS_CLOSE_SENT = 2,     /* this end sends no more */
	HS_CLOSE_RECEIVED = 3, /* the peer sends no more, and all of it was read */
	HS_CLOSE_RESET = 4,    /* a reset: nothing more moves */
};

enum hs_handover_what {
	HS_HANDOVER_ASKS = 1,   /* what is sent next on the socket is for this goroutine */
	HS_HANDOVER_SERVES = 2, /* this goroutine serves what was received */
};

struct hs_head {
	__u64 time;  /* CLOCK_MONOTONIC, ns */
	__u64 sock;  /* socket cookie; 0 for processes */
	__u32 pid;   /* as user space calls it, in the initial namespace */
	__u32 tid;
	__u32 size;  /* of the record */
	__u16 cpu;
	__u8 kind;   /* enum hs_kind */
	__u8 pad;
};
_Static_assert(sizeof(struct hs_head) == 32, "hs_head");

struct hs_open {
	__u64 opened;      /* CLOCK_MONOTONIC, ns; 0: before capture began */
	__u64 peer_sock;   /* unix: the cookie of the other end, if it has one yet */
	__u64 cgroup;      /* id of the cgroup of the process */
	__u8 local[16];    /* IPv4 as its first four bytes */
	__u8 remote[16];
	__u8 comm[HS_COMM];
	__u32 netns;       /* inode */
	__u32 first_send;  /* sequence number of the first byte of each direction */
	__u32 first_recv;
	__u32 peer_pid;    /* unix */
	__u16 local_port;  /* host order */
	__u16 remote_port;
	__u8 family;
	__u8 transport;
	__u8 role;
	__u8 flags;        /* enum hs_open_flag */
};
_Static_assert(sizeof(struct hs_open) == 96, "hs_open");

struct hs_data {
	__u64 pos;       /* offset of the first byte in its direction's stream */
	__u64 other;     /* offset that the other direction was at */
	__u64 goid;      /* goroutine; 0: not Go */
	__u64 parent;    /* the goroutine that started it; 0: not known */
	__u32 seq;       /* TCP sequence number of the first byte */
	__u32 wire;      /* bytes moved */
	__u32 captured;  /* bytes that follow */
	__u32 cap_seq;   /* numbers the calls on the socket */
	__u16 lost_send; /* calls on this socket not told before this one */
	__u16 lost_recv;
	__u8 dir;        /* enum hs_dir */
	__u8 role;       /* enum hs_role, as far as known by now */
	__u16 flags;     /* enum hs_data_flag */
};
_Static_assert(sizeof(struct hs_data) == 56, "hs_data");

struct hs_peer {
	__u8 addr[16];
	__u16 port; /* host order */
	__u8 family;
	__u8 pad[5];
};
_Static_assert(sizeof(struct hs_peer) == 24, "hs_peer");

struct hs_close {
	__u64 sent;      /* stream bytes of each direction in the socket's life */
	__u64 received;
	__u16 lost_send; /* calls not told before */
	__u16 lost_recv;
	__u8 what;       /* enum hs_close_what */
	__u8 role;
	__u8 pad[2];
};
_Static_assert(sizeof(struct hs_close) == 24, "hs_close");

struct hs_proc {
	__u64 cgroup;
	__u32 parent; /* pid */
	__u32 netns;
	__u8 comm[HS_COMM];
};
_Static_assert(sizeof(struct hs_proc) == 32, "hs_proc");

/* A goroutine and goroutines of a connection hand a request over. */
struct hs_handover {
	__u64 goid;
	__u64 parent; /* the goroutine that started it; 0: not known */
	__u32 stream; /* which request of the connection, where they have numbers */
	__u8 what;    /* enum hs_handover_what */
	__u8 pad[3];
};
_Static_assert(sizeof(struct hs_handover) == 24, "hs_handover");

/* What the kernel has counted of a TCP socket since it was made. */
struct hs_tcp {
	__u64 sent;        /* bytes that the peer has acknowledged */
	__u64 received;
	__u64 resent;      /* bytes sent again */
	__u32 srtt;        /* smoothed round trip, us; 0: none was measured */
	__u32 rtt_min;     /* us */
	__u32 retransmits; /* segments sent again */
	__u32 segs_out;
	__u32 segs_in;
	__u16 error;       /* errno that ended the connection */
	__u8 gone;         /* 1: the socket is gone */
	__u8 role;         /* enum hs_role */
};
_Static_assert(sizeof(struct hs_tcp) == 48, "hs_tcp");

/* What of a socket was not told, since it was met: comes before what is told
 * next, and before its end. */
struct hs_lost {
	__u64 at[HS_DIRS];    /* where both streams are: bytes before were told, or lost */
	__u32 calls[HS_DIRS];
	__u32 turns[HS_DIRS]; /* of these, calls that began to speak; each datagram does */
	__u8 role;            /* enum hs_role: which of hs_loss's they are in */
	__u8 pad[7];
};
_Static_assert(sizeof(struct hs_lost) == 40, "hs_lost");

/* Calls that did not fit the ring since capture began, all CPUs. */
struct hs_loss {
	__u64 calls[HS_DIRS * HS_ROLES]; /* [dir * HS_ROLES + role] */
	__u64 turns[HS_DIRS * HS_ROLES]; /* of these, calls that began to speak */
	__u64 other;                     /* records that were not data */
};
_Static_assert(sizeof(struct hs_loss) == 104, "hs_loss");

struct hs_clock {
	__s64 offset; /* unix time minus CLOCK_MONOTONIC, ns */
};
_Static_assert(sizeof(struct hs_clock) == 8, "hs_clock");

#endif
