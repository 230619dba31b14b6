#include "first_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "events/event.h"
#include "heads.h"
#include "log/log.h"
#include "refresh.h"

#define RECORD_MAX 1000 /* refs in one: 300 bytes each, at most */

struct note {
    struct watcher *watcher;
    char *pipeline, *source, *git, *glob;
    const char *refs;
    char last_id[64];
    struct strv present;
    size_t at; /* the next that no record has */
    Gantry__V1__SourceChanged message;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

static void note_free(struct note *note)
{
    strv_release(&note->present);
    free(note->pipeline);
    free(note->source);
    free(note->git);
    free(note->glob);
    free(note);
}

static void fill(struct note *note)
{
    Gantry__V1__SourceChanged *m = &note->message;
    const size_t left = note->present.count - note->at;

    gantry__v1__source_changed__init(m);
    m->pipeline = note->pipeline;
    m->source = note->source;
    m->git = note->git;
    m->ref = (char *)note->refs;
    m->message = note->glob;
    m->reported_by = "poll";
    m->skip = true;
    m->n_present = left < RECORD_MAX ? left : RECORD_MAX;
    m->present = note->present.items ? note->present.items + note->at : NULL;
    m->look = (uint32_t)(left > 0 ? (left + RECORD_MAX - 1) / RECORD_MAX : 1);
}

static int say(struct note *note, struct err *err);

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct note *note = arg;
    struct err err = {.code = ERR_NONE};
    bool ended = !ack->ok || note->message.look == 1;

    if (ack->ok) {
        looks_take(heads_looks(note->watcher->heads), &note->message, note->last_id,
                   ack->timestamp_ms);
        note->at += note->message.n_present;
        if (!ended && say(note, &err) != 0)
            ended = true;
    } else {
        err = ack->err;
    }
    if (!ended)
        return;
    if (err.code == ERR_NONE)
        log_info("first look noted: what is there starts nothing",
                 LOG_S("pipeline", note->pipeline), LOG_S("source", note->source),
                 LOG_S("refs", note->refs), LOG_S("glob", note->glob),
                 LOG_I("present", note->present.count));
    if (note->done)
        note->done(err.code == ERR_NONE ? NULL : &err, note->arg);
    note_free(note);
}

static int say(struct note *note, struct err *err)
{
    struct event_meta meta = {0};
    char *ref = mem_printf("%s %s", note->refs, note->glob);

    fill(note);
    event_id_source(meta.id, note->pipeline, note->source, ref, "", "", note->last_id);
    free(ref);
    snprintf(note->last_id, sizeof(note->last_id), "%s", meta.id);
    snprintf(meta.subject, sizeof(meta.subject), "%s", note->pipeline);
    event_trace_of(meta.traceparent, "", meta.id);
    return bus_produce(note->watcher->producer, TOPIC_SOURCE, &meta, &note->message, on_ack, note,
                       err);
}

int first_look_note(struct watcher *watcher, const struct watched *watched,
                    const struct look_at *at, struct strv *present,
                    void (*done)(const struct err *err, void *arg), void *arg, struct err *err)
{
    struct note *note = mem_alloc(sizeof(*note));

    note->watcher = watcher;
    note->pipeline = mem_strdup(watched->pipeline);
    note->source = mem_strdup(watched->source->name);
    note->git = mem_strdup(watched->source->git);
    note->glob = mem_strdup(at->glob);
    note->refs = at->refs;
    note->present = *present;
    *present = (struct strv){0};
    note->done = done;
    note->arg = arg;
    snprintf(note->last_id, sizeof(note->last_id), "%s",
             looks_id(heads_looks(watcher->heads), note->pipeline, note->source, at));
    if (say(note, err) == 0)
        return 0;
    note_free(note);
    return -1;
}

void first_look_refresh(struct watcher *watcher, const struct watched *watched)
{
    const struct looks *looks = heads_looks(watcher->heads);
    const char *pipeline = watched->pipeline, *source = watched->source->name;
    struct look_at at;
    struct err err;

    for (size_t i = 0; look_at(watched->source, i, &at); i++) {
        struct strv present = {0};
        if (!refresh_due(looks_noted_ms(looks, pipeline, source, &at), clock_now_ms()))
            continue;
        looks_list(looks, pipeline, source, &at, &present);
        if (first_look_note(watcher, watched, &at, &present, NULL, NULL, &err) != 0)
            log_warn("a first look could not be said again", LOG_S("pipeline", pipeline),
                     LOG_E(&err));
        strv_release(&present);
    }
}
