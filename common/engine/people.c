#include "engine/people.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void entry_destroy(struct shared *part)
{
    struct people_entry *entry = (struct people_entry *)part;
    free(entry->source);
    free(entry->ref);
    strv_release(&entry->emails);
    free(entry);
}

static void people_destroy(struct shared *part)
{
    struct people *people = (struct people *)part;
    for (size_t i = 0; i < people->count; i++)
        shared_unref(people->items[i]);
    free(people->items);
    free(people);
}

struct people *people_new(void)
{
    struct people *people = mem_alloc(sizeof(*people));
    shared_init(&people->shared, people_destroy);
    return people;
}

static struct people_entry *entry_new(const char *source, const char *ref, uint64_t seen,
                                      bool complete)
{
    struct people_entry *entry = mem_alloc(sizeof(*entry));
    shared_init(&entry->shared, entry_destroy);
    entry->source = mem_strdup(source);
    entry->ref = mem_strdup(ref);
    entry->seen = seen;
    entry->complete = complete;
    return entry;
}

void people_unique(struct strv *emails)
{
    if (!emails->count)
        return;
    strv_sort(emails);
    size_t kept = 1;
    for (size_t i = 1; i < emails->count; i++) {
        if (strcmp(emails->items[i], emails->items[kept - 1]) == 0)
            free(emails->items[i]);
        else
            emails->items[kept++] = emails->items[i];
    }
    emails->count = kept;
    emails->items[kept] = NULL;
}

static void add_lower(struct strv *out, const char *email)
{
    char *lower = mem_strdup(email);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (*lower)
        strv_add(out, lower);
    free(lower);
}

static size_t entry_bytes(const struct people_entry *entry)
{
    size_t bytes = 0;
    for (size_t i = 0; i < entry->emails.count; i++)
        bytes += strlen(entry->emails.items[i]) + 1;
    return bytes;
}

/* A list that is too long is no list: who is missing from it could approve his own work. */
static void entry_bound(struct people_entry *entry)
{
    people_unique(&entry->emails);
    if (entry->emails.count > PEOPLE_MAX || entry_bytes(entry) > PEOPLE_ENTRY_BYTES) {
        strv_release(&entry->emails);
        entry->complete = false;
    }
}

static struct people *own(struct people **at)
{
    struct people *people = *at;
    if (shared_is_own(people))
        return people;
    struct people *copy = people_new();
    copy->count = people->count;
    copy->items = mem_realloc(NULL, people->count + 1, sizeof(*copy->items));
    for (size_t i = 0; i < people->count; i++)
        copy->items[i] = shared_ref(people->items[i]);
    shared_unref(people);
    return *at = copy;
}

static int order(const struct people_entry *entry, const char *source, const char *ref)
{
    int diff = strcmp(entry->source, source);
    return diff ? diff : strcmp(entry->ref, ref);
}

static void bound(struct people *people)
{
    size_t bytes = 0;
    for (size_t i = 0; i < people->count; i++)
        bytes += entry_bytes(people->items[i]);
    while (bytes > PEOPLE_BYTES) {
        size_t oldest = SIZE_MAX;
        for (size_t i = 0; i < people->count; i++) {
            if (people->items[i]->emails.count &&
                (oldest == SIZE_MAX || people->items[i]->seen < people->items[oldest]->seen))
                oldest = i;
        }
        struct people_entry *old = people->items[oldest];
        bytes -= entry_bytes(old);
        people->items[oldest] = entry_new(old->source, old->ref, old->seen, false);
        shared_unref(old);
    }
}

void people_add(struct people **at, const char *source, const char *ref, uint64_t seen,
                char *const *emails, size_t count, bool complete)
{
    struct people *people = own(at);
    struct people_entry *entry = entry_new(source, ref, seen, complete);
    for (size_t i = 0; i < count; i++)
        add_lower(&entry->emails, emails[i]);
    entry_bound(entry);
    size_t place = 0; /* seen only grows: behind all of the same ref */
    while (place < people->count && order(people->items[place], source, ref) <= 0)
        place++;
    people->items = mem_realloc(people->items, people->count + 1, sizeof(*people->items));
    memmove(people->items + place + 1, people->items + place,
            (people->count - place) * sizeof(*people->items));
    people->items[place] = entry;
    people->count++;
    bound(people);
}

static struct people_entry *joined(const struct people_entry *a, const struct people_entry *b)
{
    struct people_entry *entry = entry_new(b->source, b->ref, b->seen, a->complete && b->complete);
    for (size_t i = 0; i < a->emails.count; i++)
        strv_add(&entry->emails, a->emails.items[i]);
    for (size_t i = 0; i < b->emails.count; i++)
        strv_add(&entry->emails, b->emails.items[i]);
    entry_bound(entry);
    return entry;
}

void people_join(struct people **at, bool (*keep)(uint64_t seen, void *arg), void *arg)
{
    for (size_t i = 0; i + 1 < (*at)->count;) {
        const struct people_entry *a = (*at)->items[i], *b = (*at)->items[i + 1];
        if (order(a, b->source, b->ref) != 0 || keep(a->seen, arg)) {
            i++;
            continue;
        }
        struct people *people = own(at);
        struct people_entry *entry = joined(a, b);
        shared_unref(people->items[i]);
        shared_unref(people->items[i + 1]);
        people->items[i] = entry;
        memmove(people->items + i + 1, people->items + i + 2,
                (people->count - i - 2) * sizeof(*people->items));
        people->count--;
    }
}

bool people_between(const struct people *people, const char *source, const char *ref, uint64_t from,
                    uint64_t to, struct strv *out)
{
    bool complete = true, ends = from == to, begins = from == 0 || from == to;
    for (size_t i = 0; i < people->count; i++) {
        const struct people_entry *entry = people->items[i];
        if (order(entry, source, ref) != 0)
            continue;
        begins = begins || entry->seen == from;
        ends = ends || entry->seen == to;
        if (entry->seen <= from || entry->seen > to)
            continue;
        complete = complete && entry->complete;
        for (size_t j = 0; j < entry->emails.count; j++)
            strv_add(out, entry->emails.items[j]);
    }
    return complete && begins && ends;
}

const struct people_entry *people_at(const struct people *people, uint64_t seen)
{
    for (size_t i = 0; i < people->count; i++) {
        if (people->items[i]->seen == seen)
            return people->items[i];
    }
    return NULL;
}
