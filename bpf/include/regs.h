/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The interrupted system call: its number and arguments, from the registers
 * that user space entered the kernel with.
 */
#ifndef HS_REGS_H
#define HS_REGS_H

/* Hooks at a call's end come when it is over; its arguments are still there. */
#ifndef HS_AFTER_CALL
#define HS_AFTER_CALL 0
#endif

#if defined(__TARGET_ARCH_x86)
enum {
	HS_NR_READ = 0, HS_NR_WRITE = 1, HS_NR_READV = 19, HS_NR_WRITEV = 20,
	HS_NR_SENDTO = 44, HS_NR_RECVFROM = 45, HS_NR_SENDMSG = 46, HS_NR_RECVMSG = 47,
	HS_NR_RECVMMSG = 299, HS_NR_SENDMMSG = 307, HS_NR_PREADV2 = 327, HS_NR_PWRITEV2 = 328,
	HS_NR_SENDFILE = 40, HS_NR_SPLICE = 275, HS_NR_IO_URING_ENTER = 426,
};
#define HS_NR(r) ((__s32)HS_GET(r, orig_ax))
#define HS_ARG0(r) HS_GET(r, di)
#define HS_ARG1(r) HS_GET(r, si)
#define HS_ARG2(r) HS_GET(r, dx)
#define HS_ARG3(r) HS_GET(r, r10)
#define HS_ARG4(r) HS_GET(r, r8)
/* The entry code sets ax to -ENOSYS; once the call is over, as when io_uring
 * runs its work on the way out, ax is the result. A 32-bit call (TS_COMPAT)
 * has other numbers and other pointers. */
#define HS_IN_CALL(r, t) ((HS_AFTER_CALL || (__s64)HS_GET(r, ax) == -38) && !(HS_GET(t, thread_info.status) & 2))
#elif defined(__TARGET_ARCH_arm64)
enum {
	HS_NR_READ = 63, HS_NR_WRITE = 64, HS_NR_READV = 65, HS_NR_WRITEV = 66,
	HS_NR_SENDTO = 206, HS_NR_RECVFROM = 207, HS_NR_SENDMSG = 211, HS_NR_RECVMSG = 212,
	HS_NR_RECVMMSG = 243, HS_NR_SENDMMSG = 269, HS_NR_PREADV2 = 286, HS_NR_PWRITEV2 = 287,
	HS_NR_SENDFILE = 71, HS_NR_SPLICE = 76, HS_NR_IO_URING_ENTER = 426,
};
#define HS_NR(r) HS_GET(r, syscallno)
#define HS_ARG0(r) HS_GET(r, orig_x0)
#define HS_ARG1(r) HS_GET(r, user_regs.regs[1])
#define HS_ARG2(r) HS_GET(r, user_regs.regs[2])
#define HS_ARG3(r) HS_GET(r, user_regs.regs[3])
#define HS_ARG4(r) HS_GET(r, user_regs.regs[4])
/* regs[0] is the first argument until the result takes its place. Work that
 * io_uring does on the way out is told by that; a result equal to the first
 * argument would hide it (arm64 has no other sign). */
#define HS_IN_CALL(r, t) (HS_AFTER_CALL || HS_GET(r, user_regs.regs[0]) == HS_GET(r, orig_x0))
#endif

#endif
