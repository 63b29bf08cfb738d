/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Processes that begin, run something new, and end: so that user space knows
 * who a pid is before its first bytes, and forgets it.
 */
#ifndef HS_PROC_H
#define HS_PROC_H

struct hs_proc_record {
	struct hs_head head;
	struct hs_proc proc;
};

/* Threads are told of only by their bytes: t is the process's first thread. */
static __always_inline void hs_process(struct task_struct *t, struct task_struct *parent, __u8 kind)
{
	struct hs_proc_record *r;
	struct hs_loss *loss;
	__u32 pid = HS_GET(t, pid), tgid = HS_GET(t, tgid);

	if (pid != tgid)
		return;
	r = bpf_ringbuf_reserve(&hs_events, sizeof(*r), 0);
	if (!r) {
		loss = hs_losses();
		if (loss)
			loss->other++;
		return;
	}
	__builtin_memset(r, 0, sizeof(*r));
	r->head.time = bpf_ktime_get_ns();
	r->head.pid = tgid;
	r->head.tid = pid;
	r->head.size = sizeof(*r);
	r->head.kind = kind;
	if (!parent)
		parent = HS_GET(t, real_parent);
	if (parent)
		r->proc.parent = HS_GET(parent, tgid);
	r->proc.cgroup = bpf_get_current_cgroup_id();
	if (kind != HS_KIND_EXIT) { /* at its end a process has left its namespaces */
		struct nsproxy *ns = HS_GET(t, nsproxy);
		struct net *net = ns ? HS_GET(ns, net_ns) : 0;
		if (net)
			r->proc.netns = HS_GET(net, ns.inum);
	}
	bpf_probe_read_kernel(r->proc.comm, HS_COMM, &t->comm);
	bpf_ringbuf_submit(r, hs_wakeup(0));
}

#endif
