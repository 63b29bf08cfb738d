// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
/*
 * Packets on interfaces, where traffic control sees them: behind the driver on
 * the way in, before it on the way out. Headers and the head of the payload go
 * through a ring; nothing is changed, and whatever else is attached runs as if
 * this were not here.
 *
 * On every interface: hs_packet_in and hs_packet_out. They go to a filter that
 * user space has made of its expression (internal/kernel), and that goes on to
 * hs_keep_in or hs_keep_out. Without a filter nothing is kept.
 */
#include "include/kernel.h"
#include "libbpf/bpf_helpers.h"
#include "libbpf/bpf_endian.h"
#include "include/packet.h"

#define BPF_MAP_TYPE_PROG_ARRAY 3
#define HS_NEXT -1 /* TCX_NEXT, TC_ACT_UNSPEC: others decide */

/* uapi/linux/bpf.h: what programs of traffic control get, as far as read. */
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
struct __sk_buff {
	__u32 len;
	__u32 pkt_type;
	__u32 mark;
	__u32 queue_mapping;
	__u32 protocol;
	__u32 vlan_present;
	__u32 vlan_tci;
	__u32 vlan_proto;
	__u32 priority;
	__u32 ingress_ifindex;
	__u32 ifindex;
};
#pragma clang diagnostic pop

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20); /* set by the loader */
} hs_packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hs_packet_stats);
} hs_packet_count SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, HS_STEPS);
	__type(key, __u32);
	__type(value, __u32);
} hs_steps SEC(".maps");

/* The interfaces that are captured; of each, enum hs_iface. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32); /* ifindex */
	__type(value, __u32);
} hs_ifaces SEC(".maps");

const volatile __u32 hs_cfg_snaplen = 512;
const volatile __u32 hs_cfg_packet_wake = 4 << 20; /* bytes pending that wake the reader */

/* Has the object's BTF hold what Go's twins are compared with. */
const volatile struct hs_packet_twins {
	struct hs_packet packet;
	struct hs_packet_stats stats;
	enum hs_packet_way way;
	enum hs_step step;
	enum hs_iface iface;
	__u32 pad;
} hs_packet_twins = {};

static __always_inline struct hs_packet_stats *hs_counts(void)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&hs_packet_count, &key);
}

/* As hs_wakeup in maps.h. */
static __always_inline __u64 hs_packet_wakeup(__u64 now)
{
	if ((now & 15) || bpf_ringbuf_query(&hs_packets, BPF_RB_AVAIL_DATA) < hs_cfg_packet_wake)
		return BPF_RB_NO_WAKEUP;
	return BPF_RB_FORCE_WAKEUP;
}

/* Keeps len bytes in a record that has room for n: the room of a record is a
 * constant for the verifier. False: the ring is full. */
static __always_inline bool hs_put(struct __sk_buff *skb, __u8 way, __u32 len, const __u32 n, __u32 iface)
{
	struct hs_packet *p = bpf_ringbuf_reserve(&hs_packets, sizeof(*p) + n, 0);

	if (!p)
		return false;
	p->time = bpf_ktime_get_ns();
	p->ifindex = skb->ifindex;
	p->wire = skb->len;
	p->captured = len;
	p->ethertype = bpf_ntohs((__u16)skb->protocol);
	p->vlan = skb->vlan_present ? (__u16)(skb->vlan_tci & 0xfff) : 0;
	p->way = way;
	p->iface = (__u8)iface;
	if (len == 0 || len > n || bpf_skb_load_bytes(skb, 0, p + 1, len))
		p->captured = 0;
	bpf_ringbuf_submit(p, hs_packet_wakeup(p->time));
	return true;
}

static __always_inline int hs_keep(struct __sk_buff *skb, __u8 way)
{
	__u32 index = skb->ifindex, len = skb->len;
	__u32 *iface = bpf_map_lookup_elem(&hs_ifaces, &index);
	struct hs_packet_stats *count = hs_counts();
	bool ok;

	if (!iface || !count)
		return HS_NEXT;
	if (len > hs_cfg_snaplen)
		len = hs_cfg_snaplen;
	if (len <= 128)
		ok = hs_put(skb, way, len, 128, *iface);
	else if (len <= 256)
		ok = hs_put(skb, way, len, 256, *iface);
	else if (len <= 512)
		ok = hs_put(skb, way, len, 512, *iface);
	else if (len <= 1536)
		ok = hs_put(skb, way, len, 1536, *iface);
	else if (len <= 4096)
		ok = hs_put(skb, way, len, 4096, *iface);
	else if (len <= 16384)
		ok = hs_put(skb, way, len, 16384, *iface);
	else
		ok = hs_put(skb, way, len > HS_MAX_SNAPLEN ? HS_MAX_SNAPLEN : len, HS_MAX_SNAPLEN, *iface);
	if (ok)
		count->kept++;
	else
		count->dropped++;
	return HS_NEXT;
}

SEC("tc")
int hs_packet_in(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &hs_steps, HS_STEP_FILTER_IN);
	return HS_NEXT;
}

SEC("tc")
int hs_packet_out(struct __sk_buff *skb)
{
	bpf_tail_call(skb, &hs_steps, HS_STEP_FILTER_OUT);
	return HS_NEXT;
}

SEC("tc")
int hs_keep_in(struct __sk_buff *skb)
{
	return hs_keep(skb, HS_WAY_IN);
}

SEC("tc")
int hs_keep_out(struct __sk_buff *skb)
{
	return hs_keep(skb, HS_WAY_OUT);
}

char hs_license[] SEC("license") = "Dual BSD/GPL";
