/* SPDX-License-Identifier: MIT */
/*
 * spawner.pml - the agreement of daemon, keeper and spawner (src/program/spawner.h), verified by spin (check-models).
 *
 * PAN: -a -f -m100000
 * MUTANT: -DCLOSES_AT_RELOAD a spawner that has a new table hears no requests on the channels of before
 * MUTANT: -DFORGETS_AT_DEATH a spawner that dies while a config is loaded is not started again
 * MUTANT: -DNEWEST_TABLE_ALONE the next spawner knows the config loaded last, and none that is still in use
 * MUTANT: -DTRUSTS_LATE_ANSWERS an answer to another question than the last one is taken for the last one's
 *
 * MUTANT: -DDROPS_WHAT_A_LOAD_HOLDS a daemon that drops what it was not told of has a load's table forgotten
 *
 * One thread of the daemon, with at most one program at a time, which ends when it is told to, and never else. The
 * spawner dies up to twice, at any moment; the daemon reloads up to three times, and gives up waiting for the keeper
 * once, at any moment; once it drops a table that it was not told of. Load n makes table n.
 *
 *   the asserts  a program that is named is known to whichever spawner is asked; each start has one outcome
 *   the ltl      each start has an outcome: a running program can be signalled, or is told to be lost; each reload ends
 */
#define LOADS 3
#define TABLES 4 /* from 1 */

mtype = {LOAD, DROP, TABLE, FORGET, START, SIGNAL, HELLO, ENDED};

chan to_keeper = [6] of {mtype, byte};
chan to_daemon = [4] of {byte};
chan control = [6] of {mtype, byte};
chan control_answers = [4] of {byte};
/* It outlives every spawner: the keeper has its end, too. */
chan main_socket = [1] of {bit};
chan requests = [2] of {mtype, byte};
chan answers = [2] of {mtype};

/* ---- the spawner ---- */
bool alive;
bool knows[TABLES];
bool has_channel; /* its end of the channel */
bool deaf;        /* CLOSES_AT_RELOAD */
bool is_running;

/* ---- the keeper ---- */
byte told[TABLES]; /* the daemon was, and may drop it */
bool sent[TABLES];
bool known[TABLES];
byte loading;    /* the number; 0: none */
bool is_handing; /* it was read */
bool forgotten;

/* ---- the daemon ---- */
bool asking;
bool pending;   /* a program */
bool was_sent;
byte table_of;  /* its table */
bool is_closed; /* the channel: its end is to be read */

inline clear_spawner()
{
	byte i;

	alive = false;
	is_running = false;
	deaf = false;
	do
	:: control?_, _
	:: empty(control) -> break
	od;
	do
	:: control_answers?_
	:: empty(control_answers) -> break
	od;
	i = 1;
	do
	:: i < TABLES -> knows[i] = false; sent[i] = false; known[i] = false; i++
	:: else -> break
	od;
	i = 0;
	if
	:: has_channel ->
		do
		:: requests?_, _
		:: empty(requests) -> break
		od;
		has_channel = false;
		is_closed = true
	:: else
	fi
}

active proctype death()
{
	byte left = 2;

end:	do
	:: atomic {
		alive && left > 0 ->
		left--;
#ifdef FORGETS_AT_DEATH
		forgotten = loading != 0;
#endif
		clear_spawner()
	}
	:: left == 0 -> break
	od
}

active proctype spawner()
{
	byte t;

end:	do
	:: atomic { alive && nempty(main_socket) -> main_socket?_; has_channel = true; deaf = false; answers!HELLO }
	:: atomic {
		alive && has_channel && !deaf && nempty(requests) ->
		if
		:: requests?START, t -> assert(knows[t]); assert(!is_running); is_running = true
		:: requests?SIGNAL, t ->
			if
			:: is_running -> is_running = false; answers!ENDED
			:: else
			fi
		fi
	}
	:: atomic {
		alive && nempty(control) && nfull(control_answers) ->
		if
		:: control?TABLE, t ->
			knows[t] = true;
			control_answers!t;
#ifdef CLOSES_AT_RELOAD
			deaf = has_channel
#endif
		:: control?FORGET, t -> knows[t] = false
		fi
	}
	od
}

/* Its own reference is that of the load under way. */
#define NEEDS(t) (told[t] > 0 || (is_handing && loading == t))

inline forget_unless_needed(t)
{
	if
	:: !NEEDS(t) && alive && (sent[t] || known[t]) -> control!FORGET, t
	:: else
	fi
}

inline drop(t)
{
	if
	:: told[t] > 0 -> told[t]--; forget_unless_needed(t)
	:: else ->
#ifdef DROPS_WHAT_A_LOAD_HOLDS
		known[t] = false;
		control!FORGET, t
#else
		skip
#endif
	fi
}

active proctype keeper()
{
	bool was_lied_to;
	byte t;
	byte i;

end:	do
	:: atomic {
		nempty(to_keeper) ->
		if
		:: to_keeper?LOAD, t ->
			if
			:: loading != 0 && is_handing -> is_handing = false; forget_unless_needed(loading)
			:: else
			fi;
			loading = t;
			is_handing = false
		:: to_keeper?DROP, t -> drop(t)
		fi
	}
	:: atomic { loading != 0 && !is_handing -> is_handing = true }
	/* A DROP that the daemon has no right to: of what it is about to be told. */
	:: atomic { loading != 0 && is_handing && alive && sent[loading] && !was_lied_to -> was_lied_to = true; drop(loading) }
	:: atomic {
		loading != 0 && is_handing && alive && !sent[loading] && !known[loading] ->
		control!TABLE, loading;
		sent[loading] = true
	}
	:: atomic { nempty(control_answers) -> control_answers?t; known[t] = true }
	:: atomic { loading != 0 && is_handing && known[loading] ->
		to_daemon!loading; told[loading]++; loading = 0; is_handing = false }
	:: atomic {
		!alive && !forgotten && (NEEDS(1) || NEEDS(2) || NEEDS(3)) ->
		alive = true;
		i = 1;
		do
		:: i < TABLES ->
#ifdef NEWEST_TABLE_ALONE
			knows[i] = NEEDS(i) && (i == TABLES - 1 || !NEEDS(i + 1));
#else
			knows[i] = NEEDS(i);
#endif
			known[i] = NEEDS(i);
			i++
		:: else -> break
		od;
		i = 0
	}
	od
}

inline release(t)
{
	if
	:: t != in_force && !(pending && table_of == t) -> to_keeper!DROP, t
	:: else
	fi
}

inline end_program()
{
	assert(pending && was_sent);
	pending = false;
	was_sent = false;
	is_told = false;
	if
	:: table_of != in_force -> to_keeper!DROP, table_of
	:: else
	fi;
	table_of = 0
}

active proctype daemon()
{
	byte number;
	byte before;
	byte n;
	byte in_force;
	byte starts;
	bool is_told;
	bool has_given_up;
	bool is_opening;
	bool is_open;

end:	do
	/* Reloads. */
	:: atomic { !asking && number < LOADS -> number++; asking = true; to_keeper!LOAD, number }
	:: atomic { asking && !has_given_up -> has_given_up = true; asking = false }
	:: atomic {
		nempty(to_daemon) ->
		to_daemon?n;
		if
#ifdef TRUSTS_LATE_ANSWERS
		:: asking ->
			before = in_force;
			in_force = number;
#else
		:: asking && n == number ->
			before = in_force;
			in_force = n;
#endif
			asking = false;
			if
			:: before != 0 -> release(before)
			:: else
			fi
		:: else -> to_keeper!DROP, n
		fi;
		before = 0;
		n = 0
	}
	/* A program. */
	:: atomic { !pending && in_force != 0 && starts < 2 -> starts++; pending = true; table_of = in_force }
	:: atomic { pending && !was_sent && !is_opening && !is_open && !is_closed -> main_socket!1; is_opening = true }
	:: atomic { pending && !was_sent && is_open && !is_closed && nfull(requests) ->
		requests!START, table_of; was_sent = true }
	:: atomic { pending && was_sent && !is_told && !is_closed && nfull(requests) ->
		requests!SIGNAL, table_of; is_told = true }
	:: atomic {
		nempty(answers) ->
		if
		:: answers?HELLO -> is_opening = false; is_open = true
		:: answers?ENDED -> end_program()
		fi
	}
	/* After everything that came before it: what was sent is lost, what was not is for the next spawner. */
	:: atomic {
		is_closed && empty(answers) ->
		is_closed = false;
		is_opening = false;
		is_open = false;
		if
		:: was_sent -> end_program()
		:: else
		fi
	}
	od
}

ltl properties { [] (pending -> <> !pending) && [] (asking -> <> !asking) }
