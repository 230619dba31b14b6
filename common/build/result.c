/* What a build's end tells its host. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/hex.h"
#include "base/mem.h"
#include "build/internal.h"
#include "report/tell.h"

#define COMMAND_MAX 2000

/* What the result carries beside the outcome; freed after it was told. */
struct result {
    Gantry__V1__Finished finished;
    Gantry__V1__Artifact artifact;
    char name[64]; /* of the action that the image is of */
    Gantry__V1__PhaseContext phases[PHASE_COUNT];
    Gantry__V1__PhaseContext *phase_list[PHASE_COUNT];
    Gantry__V1__KeyValue *pairs;
    Gantry__V1__KeyValue **pair_list;
    Gantry__V1__StoredFile *files;
    Gantry__V1__StoredFile **file_list;
    uint8_t *hashes;
    Gantry__V1__Usage usage;
};

static void add_phases(const struct build *build, struct result *r)
{
    for (size_t i = 0; i < PHASE_COUNT; i++) {
        const struct phase_record *record = &build->phases[i];
        if (!record->begun)
            continue;
        Gantry__V1__PhaseContext *p = &r->phases[r->finished.n_phases];
        gantry__v1__phase_context__init(p);
        p->name = (char *)phase_name((enum phase)i);
        p->status = (char *)record->status;
        p->start_ms = record->start_ms;
        p->end_ms = record->end_ms;
        p->context = record->context ? record->context : "";
        r->phase_list[r->finished.n_phases++] = p;
    }
    r->finished.phases = r->phase_list;
}

static void add_exported(const struct build *build, struct result *r)
{
    size_t count = build->exported.count;
    if (!count)
        return;
    r->pairs = mem_alloc(count * sizeof(*r->pairs));
    r->pair_list = mem_alloc(count * sizeof(Gantry__V1__KeyValue *));
    for (size_t i = 0; i < count; i++) {
        const char *item = build->exported.items[i];
        size_t name = strcspn(item, "=");
        gantry__v1__key_value__init(&r->pairs[i]);
        r->pairs[i].key = mem_strndup(item, name);
        r->pairs[i].value = (char *)item + name + 1;
        r->pair_list[i] = &r->pairs[i];
    }
    r->finished.exported = r->pair_list;
    r->finished.n_exported = count;
}

static void add_artifact(struct build *build, struct result *r)
{
    if (!build->image_known)
        return;
    gantry__v1__artifact__init(&r->artifact);
    snprintf(r->name, sizeof(r->name), "%.*s", (int)strcspn(build->request->action, "/"),
             build->request->action);
    r->artifact.name = r->name;
    r->artifact.repository = build->request->build->image;
    r->artifact.digest = build->digest;
    r->artifact.media_type = build->image.media_type;
    r->artifact.size_bytes = build->image.size_bytes;
    r->artifact.tag = build->check_tag;
    r->artifact.platforms = build->image.platforms.items;
    r->artifact.n_platforms = build->image.platforms.count;
    r->artifact.signature = (char *)build->signature;
    r->artifact.provenance = (char *)build->provenance;
    r->finished.image_case = GANTRY__V1__FINISHED__IMAGE_ARTIFACT;
    r->finished.artifact = &r->artifact;
}

static void add_files(const struct build *build, struct result *r)
{
    size_t count = build->kept_count;
    if (!count)
        return;
    r->files = mem_alloc(count * sizeof(*r->files));
    r->file_list = mem_alloc(count * sizeof(Gantry__V1__StoredFile *));
    r->hashes = mem_alloc(count * SHA256_SIZE);
    for (size_t i = 0; i < count; i++) {
        const struct kept *kept = &build->kept[i];
        Gantry__V1__StoredFile *file = r->file_list[i] = &r->files[i];
        uint8_t *hash = r->hashes + i * SHA256_SIZE;
        gantry__v1__stored_file__init(file);
        file->name = kept->name;
        file->key = kept->key;
        file->size_bytes = kept->size;
        file->entries = kept->entries;
        file->kind = kept->kind;
        (void)hex_decode(kept->sha256, hash, SHA256_SIZE);
        file->sha256 = (ProtobufCBinaryData){.data = hash, .len = SHA256_SIZE};
    }
    r->finished.files = r->file_list;
    r->finished.n_files = count;
}

static void add_usage(const struct build *build, struct result *r)
{
    gantry__v1__usage__init(&r->usage);
    r->usage.build_ms = clock_mono_ms() - build->begun_ms;
    r->usage.cpu_ms = build->usage.cpu_ms;
    r->usage.memory_peak_bytes = build->usage.memory_peak_bytes;
    r->usage.bytes_in = build->bytes_in;
    r->usage.bytes_out = build->bytes_out;
    r->finished.usage = &r->usage;
}

static void add_reports(const struct build *build, struct result *r)
{
    struct report_group *groups = mem_alloc((build->report_count + 1) * sizeof(*groups));
    for (size_t i = 0; i < build->report_count; i++)
        groups[i] = (struct report_group){.name = build->reports[i].name,
                                          .report = &build->reports[i].report};
    report_tell(&r->finished, groups, build->report_count);
    free(groups);
}

void result_tell(struct build *build)
{
    struct result r = {.finished = GANTRY__V1__FINISHED__INIT};
    if (build->ended)
        return;
    r.finished.outcome = build->outcome;
    r.finished.reason = build->reason;
    if (build->failed_phase)
        r.finished.phase = (char *)build->failed_phase;
    if (build->command) {
        r.finished.command = build->command;
        r.finished.exit_code = build->code;
    }
    if (build->outcome == GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED) {
        add_exported(build, &r);
        add_artifact(build, &r);
        r.finished.batch = build->batch;
    }
    phase_completed(build);
    add_phases(build, &r);
    add_files(build, &r);
    add_usage(build, &r);
    add_reports(build, &r);
    build->host.ops->finished(build->host.data, &r.finished);
    report_untell(&r.finished);
    for (size_t i = 0; i < r.finished.n_exported; i++)
        free(r.pairs[i].key);
    free(r.pairs);
    free(r.pair_list);
    free(r.files);
    free(r.file_list);
    free(r.hashes);
    build_detach(build);
}

/* The place is of no use any more; what is left is to keep the log. */
static void leave(struct build *build)
{
    if (!build->working && !build->fetching && build->place) {
        build->place->ops->free(build->place);
        build->place = NULL;
    }
    build->opened = false;
    log_file_store(build, result_tell);
}

static void on_usage(const struct build_usage *usage, void *arg)
{
    struct build *build = arg;
    build->usage = *usage;
    leave(build);
}

static void decide(struct build *build, Gantry__V1__Outcome outcome, const char *reason)
{
    build->decided = true;
    build->outcome = outcome;
    build->reason = mem_strdup(reason);
    if (build->opened && build->place->ops->usage)
        build->place->ops->usage(build->place, on_usage, build);
    else
        leave(build);
}

void build_fail(struct build *build, enum phase phase, const char *reason, const char *command,
                int code)
{
    char *why = build_masked(build, reason);
    char *text = build_masked(build, command);
    phase_end(build, "FAILED", reason);
    build->failed_phase = phase_name(phase);
    if (command) {
        /* Cut between characters. */
        size_t len = strnlen(text, COMMAND_MAX);
        while (text[len] && len && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--;
        build->command = mem_strndup(text, len);
        build->code = code;
    }
    free(text);
    decide(build, GANTRY__V1__OUTCOME__OUTCOME_FAILED, why);
    free(why);
}

void build_succeed(struct build *build)
{
    phase_end(build, "SUCCEEDED", "");
    if (build->image_known)
        build_mark(build, "Image %s@%s", build->request->build->image, build->digest);
    decide(build, GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED,
           build->batch ? "The batch is planned" : "The build succeeded");
}

void build_stopped(struct build *build)
{
    phase_end(build, "STOPPED", build->stop_reason);
    build->failed_phase = phase_name(build->phase);
    decide(build, GANTRY__V1__OUTCOME__OUTCOME_STOPPED, build->stop_reason);
}
