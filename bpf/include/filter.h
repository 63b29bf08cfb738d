/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Which sockets are wanted, by what is known of them when they are met.
 */
#ifndef HS_FILTER_H
#define HS_FILTER_H

#define HS_CGROUP_LEVELS 12 /* Kubernetes under systemd has 5 */

/* Filters. A kind that lists what to let in refuses what it does not list. */
static __always_inline bool hs_refused(__u32 kind, const __u8 *a, const __u8 *b)
{
	if ((a && *a == HS_PASS_OUT) || (b && *b == HS_PASS_OUT))
		return true;
	return (hs_cfg_want & kind) && !a && !b;
}

static __always_inline void hs_mapped(struct hs_cidr *c, const __u8 *addr, bool v4)
{
	c->bits = 128;
	if (v4) {
		__builtin_memset(c->addr, 0, 10);
		c->addr[10] = c->addr[11] = 0xff;
		__builtin_memcpy(c->addr + 12, addr, 4);
	} else {
		__builtin_memcpy(c->addr, addr, 16);
	}
}

/* A cgroup stands for all below it, also those that are made later. */
static __noinline bool hs_cgroup_refused(void)
{
	bool in = false;
	__u64 id;
	__u8 *a;
	int level;

#pragma unroll
	for (level = 0; level < HS_CGROUP_LEVELS; level++) {
		id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id)
			break;
		a = bpf_map_lookup_elem(&hs_cgroups, &id);
		if (!a)
			continue;
		if (*a == HS_PASS_OUT)
			return true;
		in = true;
	}
	return (hs_cfg_want & HS_WANT_CGROUP) && !in;
}

static __noinline bool hs_unwanted(struct hs_open *o)
{
	struct hs_cidr c;
	struct hs_name name;
	__u8 *a, *b;

	/* Whom an unconnected UDP socket talks to is known with each datagram: user
	 * space refuses those (Filter.Pair). */
	if (o->family != HS_FAMILY_UNIX && !(o->transport == HS_TRANSPORT_UDP && !o->remote_port)) {
		a = bpf_map_lookup_elem(&hs_ports, &o->local_port);
		b = bpf_map_lookup_elem(&hs_ports, &o->remote_port);
		if (hs_refused(HS_WANT_PORT, a, b))
			return true;
		bool v4 = o->family == HS_FAMILY_IPV4;
		hs_mapped(&c, o->local, v4);
		a = bpf_map_lookup_elem(&hs_cidrs, &c);
		hs_mapped(&c, o->remote, v4);
		b = bpf_map_lookup_elem(&hs_cidrs, &c);
		if (hs_refused(HS_WANT_CIDR, a, b))
			return true;
	} else if (o->family == HS_FAMILY_UNIX && (hs_cfg_want & (HS_WANT_PORT | HS_WANT_CIDR))) {
		return true;
	}
	__builtin_memcpy(name.comm, o->comm, HS_COMM);
	if (hs_refused(HS_WANT_NAME, bpf_map_lookup_elem(&hs_names, &name), 0))
		return true;
	if (hs_cgroup_refused())
		return true;
	return hs_refused(HS_WANT_NETNS, bpf_map_lookup_elem(&hs_netns, &o->netns), 0);
}

#endif
