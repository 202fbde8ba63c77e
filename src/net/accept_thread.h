/* SPDX-License-Identifier: MIT */
/*
 * accept_thread - takes connections off the backlog of one listening socket that others hold too.
 *
 * O_NONBLOCK belongs to the open file description. A program that had the socket (exec with wait = true) and lives on,
 * or another user of a systemd socket, can clear it at any time and take the client away for which the socket was
 * ready: then accept4(2) waits. Looking for a client and setting the flag again before each call makes that rare, but
 * not impossible. So the main thread never calls accept4(2) on such a socket; it asks this thread, which may wait.
 *
 *   IDLE --accept_thread_ask [main]--> asked: poll, accept4, up to so many --loop_post--> on_taken [main] --> IDLE
 *     \--accept_thread_recall [main], in any state: it takes no more, what it has can still be had
 *     \--accept_thread_stop [main], in any state: the thread frees everything when it comes back; nobody waits for it
 *
 * It never waits for a client to come: a batch ends when the backlog is empty. Only a holder who clears the flag and
 * takes the client away, both between poll(2) and accept4(2), makes it wait. If it was recalled meanwhile, the client
 * that ends this wait is closed, and it ends.
 *
 * What was taken stays here until accept_thread_next() hands it out, and is accounted from then on. So no more is to be
 * asked for than there is room for. Everything but the thread's own function is for the main thread.
 */
#ifndef CP_NET_ACCEPT_THREAD_H
#define CP_NET_ACCEPT_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/defs.h"

struct accept_thread;
struct loop;

#define ACCEPT_THREAD_MAX 64u

/*
 * Starts one for the listening socket fd, of which it makes a descriptor of its own; number is for its name. on_taken
 * is called on the loop's thread, once or more for each accept_thread_ask(). 0 or -errno.
 */
CP_MUST_CHECK int accept_thread_start(int fd, unsigned number, struct loop *loop, void (*on_taken)(void *arg),
	void *arg, struct accept_thread **ret_thread);
/* From now on it takes no more, and on_taken is called no more; accept_thread_next() has what it took before. */
void accept_thread_recall(struct accept_thread *thread);
/* Recalls it, and leaves it to end by itself; what it still holds is closed. Accepts NULL, nulls the holder. */
void accept_thread_stop(struct accept_thread **thread);

/* Has it take up to so many, ACCEPT_THREAD_MAX at most. It must hold none, and not have been asked already. */
void accept_thread_ask(struct accept_thread *thread, unsigned wanted);
/* It was asked, and has not come to an end with it. */
bool accept_thread_is_asked(const struct accept_thread *thread);
/* It holds connections, or an error, for accept_thread_next(). */
bool accept_thread_has_more(const struct accept_thread *thread);
/*
 * The next connection, owned by the caller: non-blocking, close-on-exec, and without the options by which another
 * holder of the listening socket could make us wait; and when it was accepted (loop.h's clock). Or what ended the last
 * batch, once: -EAGAIN, the backlog was empty; another -errno. -EINPROGRESS: there is nothing more here, and the
 * backlog may have some.
 */
CP_MUST_CHECK int accept_thread_next(struct accept_thread *thread, struct sockaddr_storage *ret_sa,
	socklen_t *ret_length, uint64_t *ret_accepted_ns);

#endif
