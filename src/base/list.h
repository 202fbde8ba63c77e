/* SPDX-License-Identifier: MIT */
/*
 * list - a doubly linked, circular, intrusive list. The head is a link of its own. Not thread-safe.
 */
#ifndef CP_BASE_LIST_H
#define CP_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

/* Makes a head empty, or a link linked to nothing but itself. */
static inline void
list_init(struct list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool
list_is_empty(const struct list *head)
{
	return head->next == head;
}

/* A zeroed or an initialised link is in no list. */
static inline bool
list_is_linked(const struct list *link)
{
	return link->next != NULL && link->next != link;
}

static inline void
list_push_back(struct list *head, struct list *link)
{
	link->prev = head->prev;
	link->next = head;
	head->prev->next = link;
	head->prev = link;
}

/* The link is left initialised; removing it again does nothing. */
static inline void
list_remove(struct list *link)
{
	if (link->next == NULL)
		return;
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* The first link, taken out; NULL when the list is empty. */
static inline struct list *
list_pop_front(struct list *head)
{
	struct list *link = head->next;

	if (link == head)
		return NULL;
	list_remove(link);
	return link;
}

/* Moves everything from one head to the end of another; from is left empty. */
static inline void
list_splice_back(struct list *head, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	list_init(from);
}

/* The body may remove the current link. */
#define LIST_FOREACH(head, link, following) \
	for ((link) = (head)->next, (following) = (link)->next; (link) != (head); \
	     (link) = (following), (following) = (link)->next)

#endif
