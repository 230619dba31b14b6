#include "shrink.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define NOTES_BYTES (4 * 1024 * 1024)
#define TRIES_MAX   1500

/* Shared with the process that may die. */
static struct notes {
    uint64_t seed;
    bool thorough; /* what the broken promise takes to be seen */
    size_t len;
    char text[NOTES_BYTES];
} * notes;

void shrink_begin(uint64_t seed)
{
    if (!notes)
        return;
    notes->seed = seed;
    notes->len = 0;
}

void shrink_note(const char *line)
{
    size_t len = strlen(line);
    if (!notes || notes->len + len + 2 > NOTES_BYTES)
        return;
    memcpy(notes->text + notes->len, line, len);
    notes->text[notes->len + len] = '\n';
    notes->len += len + 1;
}

static bool ended_well(pid_t pid)
{
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Whether lines still break a promise. */
static bool breaks(char *const *lines, size_t count, shrink_replay_fn *replay, bool quiet)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = quiet ? open("/dev/null", O_WRONLY) : -1;
        if (quiet) {
            dup2(nowhere, STDOUT_FILENO);
            dup2(nowhere, STDERR_FILENO);
        }
        replay(lines, count, notes->thorough);
        _exit(0);
    }
    return !ended_well(pid);
}

/* Leaves out a run of `size` lines after the other where they are not needed. */
static bool leave_out(struct strv *lines, size_t size, size_t *tries, shrink_replay_fn *replay)
{
    bool any = false;
    char **some = mem_alloc((lines->count + 1) * sizeof(*some));
    for (size_t at = 0; at < lines->count && *tries < TRIES_MAX;) {
        size_t n = size < lines->count - at ? size : lines->count - at;
        memcpy(some, lines->items, at * sizeof(*some));
        memcpy(some + at, lines->items + at + n, (lines->count - at - n) * sizeof(*some));
        ++*tries;
        if (!breaks(some, lines->count - n, replay, true)) {
            at += n;
            continue;
        }
        for (size_t i = at; i < at + n; i++)
            free(lines->items[i]);
        lines->count -= n;
        memcpy(lines->items, some, lines->count * sizeof(*some));
        any = true;
    }
    free(some);
    return any;
}

static void shrink(shrink_replay_fn *replay)
{
    struct strv lines = {0};
    size_t tries = 0;
    char *text = mem_strndup(notes->text, notes->len);
    strv_split(&lines, text, '\n');
    free(text);
    printf("history of seed %" PRIu64 " broke a promise with its %zu. input\n", notes->seed,
           lines.count);
    notes->thorough = !breaks(lines.items, lines.count, replay, true);
    if (!notes->thorough || breaks(lines.items, lines.count, replay, true)) {
        for (size_t size = lines.count / 2; size > 0 && tries < TRIES_MAX;)
            if (!leave_out(&lines, size, &tries, replay) || size > 1)
                size /= 2;
        printf("these %zu inputs are enough (after %zu tries):\n", lines.count, tries);
        breaks(lines.items, lines.count, replay, false);
    } else {
        printf("its inputs alone do not break it: GANTRY_SEED=%" PRIu64 " repeats it\n",
               notes->seed);
    }
    strv_release(&lines);
}

bool shrink_run(void (*histories)(void *arg), void *arg, shrink_replay_fn *replay)
{
    bool well;
    notes = mmap(NULL, sizeof(*notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (notes == MAP_FAILED)
        return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        histories(arg);
        fflush(NULL);
        _exit(0);
    }
    well = ended_well(pid);
    if (!well && notes->len && !str_eq(getenv("GANTRY_SHRINK"), "0"))
        shrink(replay);
    munmap(notes, sizeof(*notes));
    notes = NULL;
    return well;
}
