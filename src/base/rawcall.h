/* SPDX-License-Identifier: MIT */
/*
 * rawcall - system calls without the C library: the result is that of the kernel, 0 or more, or -errno.
 *
 * For code that runs in a child that shares this process's memory, and with it errno and the rest of its thread's
 * storage (spawner_launch.c). Nothing here reads or writes memory of its own. The machines are those that Debian 12 is
 * released for; a port to another one adds its registers below, as its syscall(2) page names them.
 */
#ifndef CP_BASE_RAWCALL_H
#define CP_BASE_RAWCALL_H

#include <sys/syscall.h>

#include "base/defs.h"

/* Where the first one is for 16 bits, and the plain name is the old call. */
#ifdef SYS_setresuid32
#define RAWCALL_SETRESUID SYS_setresuid32
#define RAWCALL_SETRESGID SYS_setresgid32
#define RAWCALL_SETGROUPS SYS_setgroups32
#else
#define RAWCALL_SETRESUID SYS_setresuid
#define RAWCALL_SETRESGID SYS_setresgid
#define RAWCALL_SETGROUPS SYS_setgroups
#endif
/* The same number everywhere; headers before 5.9 do not have it. */
#ifdef SYS_close_range
#define RAWCALL_CLOSE_RANGE SYS_close_range
#else
#define RAWCALL_CLOSE_RANGE 436
#endif

#if defined(__x86_64__) && !defined(__ILP32__)

CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return result;
}

#elif defined(__i386__)

CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	long result;

	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return result;
}

#elif defined(__aarch64__)

CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory", "cc");
	return x0;
}

#elif defined(__arm__)

/* r7 is the frame pointer of Thumb code, and can't be named: it is saved around the call. */
CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long r0 __asm__("r0") = a;
	register long r1 __asm__("r1") = b;
	register long r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d;
	register long r4 __asm__("r4") = e;
	long saved;

	__asm__ volatile("mov %1, r7\n\tmov r7, %2\n\tsvc 0\n\tmov r7, %1"
			 : "+r"(r0), "=&r"(saved)
			 : "r"(number), "r"(r1), "r"(r2), "r"(r3), "r"(r4)
			 : "memory");
	return r0;
}

#elif defined(__riscv) && __riscv_xlen == 64

CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long a7 __asm__("a7") = number;
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;

	__asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
	return a0;
}

#elif defined(__powerpc64__)

/* An error is a bit of the condition register, and the number positive. */
CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long r0 __asm__("r0") = number;
	register long r3 __asm__("r3") = a;
	register long r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c;
	register long r6 __asm__("r6") = d;
	register long r7 __asm__("r7") = e;

	__asm__ volatile("sc\n\tbns+ 1f\n\tneg %1, %1\n1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7)
			 :
			 : "memory", "cr0", "r8", "r9", "r10", "r11", "r12");
	return r3;
}

#elif defined(__s390x__)

CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long r1 __asm__("r1") = number;
	register long r2 __asm__("r2") = a;
	register long r3 __asm__("r3") = b;
	register long r4 __asm__("r4") = c;
	register long r5 __asm__("r5") = d;
	register long r6 __asm__("r6") = e;

	__asm__ volatile("svc 0" : "+d"(r2) : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6) : "memory");
	return r2;
}

#elif defined(__mips64)

/* An error is told in a register of its own, and the number positive. */
CP_NO_SANITIZE static inline long
rawcall(long number, long a, long b, long c, long d, long e)
{
	register long r2 __asm__("$2") = number;
	register long r4 __asm__("$4") = a;
	register long r5 __asm__("$5") = b;
	register long r6 __asm__("$6") = c;
	register long r7 __asm__("$7") = d;
	register long r8 __asm__("$8") = e;

	__asm__ volatile("syscall"
			 : "+r"(r2), "+r"(r7)
			 : "r"(r4), "r"(r5), "r"(r6), "r"(r8)
			 : "$1", "$3", "$10", "$11", "$12", "$13", "$14", "$15", "$24", "$25", "hi", "lo", "memory");
	return r7 != 0 ? -r2 : r2;
}

#else
#error "rawcall.h: the registers of this machine's system calls are not known"
#endif

#endif
