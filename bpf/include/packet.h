/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What packet.bpf.c tells the collector: a hs_packet a packet, the captured
 * bytes behind it. The Go twins are in internal/kernel.
 */
#ifndef HS_PACKET_H
#define HS_PACKET_H

#define HS_MAX_SNAPLEN 65536

enum hs_packet_way {
	HS_WAY_IN = 1,  /* received by the interface */
	HS_WAY_OUT = 2, /* sent by it */
};

/* Places in hs_steps. */
enum hs_step {
	HS_STEP_FILTER_IN = 0,
	HS_STEP_FILTER_OUT = 1,
	HS_STEP_KEEP_IN = 2,
	HS_STEP_KEEP_OUT = 3,
	HS_STEPS = 4,
};

/* What frames of an interface begin with. */
enum hs_iface {
	HS_IFACE_ETHERNET = 1,
	HS_IFACE_BARE = 2, /* the network header: tun, ppp, wireguard */
};

struct hs_packet {
	__u64 time;      /* CLOCK_MONOTONIC, ns */
	__u32 ifindex;
	__u32 wire;      /* length of the packet */
	__u32 captured;  /* bytes that follow */
	__u16 ethertype; /* of what follows the link header and the tag below */
	__u16 vlan;      /* the tag that the card took off; 0: none */
	__u8 way;        /* enum hs_packet_way */
	__u8 iface;      /* enum hs_iface */
	__u8 pad[6];
};
_Static_assert(sizeof(struct hs_packet) == 32, "hs_packet");

struct hs_packet_stats {
	__u64 kept;
	__u64 dropped; /* the ring was full */
};
_Static_assert(sizeof(struct hs_packet_stats) == 16, "hs_packet_stats");

#endif
