/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernels that differ from the one that kernel.h describes. Every flavour
 * (___v...) names the commit that changed it.
 */
#ifndef HS_DRIFT_H
#define HS_DRIFT_H

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wpadded"
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* From 6.11: commit 3aa63a569c64 "fs: switch timespec64 fields in inode to
 * discrete integers". */
struct inode___v6_11 {
	__s64 i_ctime_sec;
};

struct timespec64___hs {
	__s64 tv_sec;
};

/* 6.6 to 6.10: commit 13bc24457850 "fs: rename i_ctime field to __i_ctime". */
struct inode___v6_6 {
	struct timespec64___hs __i_ctime;
};

/* Before. */
struct inode___v5 {
	struct timespec64___hs i_ctime;
};

#pragma clang attribute pop
#pragma clang diagnostic pop

/* Seconds since 1970 that an inode was made at, 0 if this kernel hides it. */
static __always_inline __s64 hs_inode_ctime(const void *inode)
{
	__s64 sec = 0;
	if (bpf_core_field_exists(struct inode___v6_11, i_ctime_sec))
		bpf_probe_read_kernel(&sec, sizeof(sec), &((const struct inode___v6_11 *)inode)->i_ctime_sec);
	else if (bpf_core_field_exists(struct inode___v6_6, __i_ctime))
		bpf_probe_read_kernel(&sec, sizeof(sec), &((const struct inode___v6_6 *)inode)->__i_ctime.tv_sec);
	else if (bpf_core_field_exists(struct inode___v5, i_ctime))
		bpf_probe_read_kernel(&sec, sizeof(sec), &((const struct inode___v5 *)inode)->i_ctime.tv_sec);
	return sec;
}

#endif
