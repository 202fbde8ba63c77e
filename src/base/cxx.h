/* SPDX-License-Identifier: MIT */
/*
 * cxx - what a C++ runtime keeps of each thread about exceptions: which are being handled, and how many are in flight.
 *
 * The layout is that of the C++ ABI for Itanium, section 2.2.2, and the one of libstdc++ and libc++abi alike; for ARM
 * it is that of the exception handling ABI.
 */
#ifndef CP_BASE_CXX_H
#define CP_BASE_CXX_H

struct cxx_globals {
	void *caught;
	unsigned uncaught;
#if defined(__ARM_EABI__)
	void *propagating;
#endif
};

/* A runtime's __cxa_get_globals(): the calling thread's, never NULL. */
typedef struct cxx_globals *cxx_globals_fn(void);
#define CXX_GLOBALS_SYMBOL "__cxa_get_globals"

#endif
