/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The socket that a file of a process is.
 */
#ifndef HS_FILE_H
#define HS_FILE_H

static __always_inline struct file *hs_file(struct task_struct *task, __u32 fd)
{
	struct files_struct *files = HS_PROBE(task, files);
	struct fdtable *fdt = files ? HS_PROBE(files, fdt) : 0;
	struct file **fds, *f = 0;

	if (!fdt || fd >= HS_PROBE(fdt, max_fds))
		return 0;
	fds = HS_PROBE(fdt, fd);
	bpf_probe_read_kernel(&f, sizeof(f), fds + fd);
	return f;
}

/* 0: it is none. */
static __always_inline struct sock *hs_file_sock(struct file *f, __u32 *ino)
{
	struct inode *in = f ? HS_PROBE(f, f_inode) : 0;
	struct socket *so;

	if (!in || (HS_PROBE(in, i_mode) & 0170000) != 0140000) /* S_IFSOCK */
		return 0;
	*ino = HS_PROBE(in, i_ino);
	so = HS_PROBE(f, private_data);
	return so ? HS_PROBE(so, sk) : 0;
}

#endif
