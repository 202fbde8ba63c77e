/* SPDX-License-Identifier: MIT */
/*
 * room.pml - room in a queue, from the thread that takes entries out to the listening sockets that wait for it.
 *
 * The protocol is src/pool/queue.h, ROOM, and src/net/acceptor.h, WAITING. Two listening sockets share one queue; one
 * worker, the expiry of queue_timeout and a reload take entries out or raise the limit. A backlog holds one client,
 * and is filled again at any time. What is one atomic step here is one instruction on an atomic, or under the lock.
 * A socket whose pool changes leaves the line before it looks at the other pool; that is not modelled.
 *
 * Holds: the queue is never longer than its limit; a client in a backlog is accepted in the end, whatever the other
 * listener's clients do, unless the queue stays full for ever.
 *
 * PAN: -a -f -m100000
 * MUTANT: -DEXPIRY_IS_SILENT    entries that expire leave without announcing room
 * MUTANT: -DRELOAD_IS_SILENT    a raised limit is not announced
 * MUTANT: -DRESUME_CANCELS      looking for room for one socket takes back what the other one has asked for
 * MUTANT: -DFIRST_TAKES_ALL     sockets are resumed in the order of the config, the first takes all the room
 * MUTANT: -DNEXT_OVERTAKES      room that comes while a round goes on is for the next in line
 * MUTANT: -DEVENT_OVERTAKES     a socket that is polled takes room although another one waits for it
 * MUTANT: -DLOOKS_BEFORE_ASKING the last look at the queue comes before the request for an announcement
 */
#ifndef LIMIT
#define LIMIT 2
#endif
#define RAISED (LIMIT + 1)
#define QUARTER(n) ((n + 3) / 4)
#define IS_ROOM_WORTH_A_BATCH (length + QUARTER(limit) <= limit)

byte length = 0;
byte limit = LIMIT;
bool is_wanted = false; /* of the queue: somebody waits, announce */
bool signalled = false; /* of the acceptor */

bool has_client[2];
bool waits[2];
byte first = 0; /* of those that wait: whose turn it is */
bool is_served_out; /* the acceptor's own: there was no room for the one looked at */

/* Whoever takes entries out: the last step of queue_pop(), queue_set_limit(). */
inline announce()
{
	if
	:: is_wanted && IS_ROOM_WORTH_A_BATCH ->
		if
		:: atomic { is_wanted -> is_wanted = false; } signalled = true
		:: else
		fi
	:: else
	fi
}

proctype Clients(bit i)
{
end:
	do
	:: atomic { !has_client[i] -> has_client[i] = true }
	od
}

/* It may be busy for ever from any moment on. */
active proctype Worker()
{
end:
	do
	:: atomic { length > 0 -> length--; }
		announce()
	:: break
	od
}

/* The main thread's timer: everything that is queued is too old at once. */
inline expire()
{
	atomic { length > 0 -> length = 0; }
#ifndef EXPIRY_IS_SILENT
	announce()
#endif
}

inline reload()
{
	atomic { limit == LIMIT -> limit = RAISED; }
#ifndef RELOAD_IS_SILENT
	announce()
#endif
}

/* One accept(2) and one push, by the acceptor alone: others only make more room meanwhile. */
inline take(i)
{
	atomic {
		assert(length < limit);
		has_client[i] = false;
		length++;
	}
}

/* queue_await_room(): asks first, then looks once more. */
inline await_room()
{
#ifdef LOOKS_BEFORE_ASKING
	if
	:: IS_ROOM_WORTH_A_BATCH -> is_wanted = true; signalled = true
	:: else -> is_wanted = true
	fi
#else
	is_wanted = true;
	if
	:: IS_ROOM_WORTH_A_BATCH -> signalled = true
	:: else
	fi
#endif
}

inline begin_wait(i)
{
	atomic {
		waits[i] = true;
		if
		:: !waits[1 - i] -> first = i
		:: else
		fi
	}
	await_room()
}

/* acceptor_on_ready() */
inline on_ready(i)
{
	if
	:: !waits[i] && has_client[i] ->
		if
#ifdef EVENT_OVERTAKES
		:: length < limit -> take(i)
#else
		:: length < limit && !waits[1 - i] -> take(i)
#endif
		:: else -> begin_wait(i)
		fi
	:: else
	fi
}

/* A share for one that waits: one entry here. Without a client it is polled again. */
inline serve(i)
{
#ifdef RESUME_CANCELS
	is_wanted = false;
#endif
	if
	:: waits[i] && length < limit ->
		if
		:: has_client[i] -> take(i); first = 1 - i
		:: else -> atomic { waits[i] = false; first = 1 - i }
		fi
	:: else -> is_served_out = true
	fi
}

/*
 * Those of one queue, in order. Where one finds no room the round ends: room that comes at this very moment is for
 * that one, and not for the next.
 */
inline serve_in_turn(i)
{
	is_served_out = false;
	serve(i);
#ifdef NEXT_OVERTAKES
	serve(1 - i)
#else
	if
	:: waits[i] && is_served_out
	:: else -> serve(1 - i)
	fi
#endif
}

/* acceptor_resume() */
inline resume()
{
	signalled = false;
#ifdef FIRST_TAKES_ALL
	serve(0);
	do
	:: waits[0] && has_client[0] && length < limit -> take(0)
	:: else -> break
	od;
	serve(1);
#else
	if
	:: first == 0 -> serve_in_turn(0)
	:: else -> serve_in_turn(1)
	fi;
#endif
	if
#ifdef RESUME_CANCELS
	:: length >= limit && (waits[0] || waits[1]) -> await_room()
#else
	:: waits[0] || waits[1] -> await_room()
#endif
	:: else
	fi
}

/* The turns of the main thread's loop. */
active proctype Acceptor()
{
	do
	:: true ->
		on_ready(0);
		on_ready(1);
		if
		:: expire()
		:: reload()
		:: true
		fi;
		if
		:: signalled -> resume()
		:: else
		fi
	od
}

init
{
	atomic { run Clients(0); run Clients(1); }
}

#define STAYS_FULL ([] (length >= limit))

ltl every_client_is_accepted
{
	([] (has_client[0] -> <> (!has_client[0] || STAYS_FULL))) &&
	([] (has_client[1] -> <> (!has_client[1] || STAYS_FULL)))
}
