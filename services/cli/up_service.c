#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "services/cli/up_internal.h"

#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS   10000
#define BACKOFF_RESET_MS 5000
#define LINE_MAX         (16 * 1024)
#define EXIT_REFUSED     2
#define ARGS_MAX         128

/* ---- output ---- */

static void print_lines(struct up_service *service)
{
    struct buf *line = &service->line;

    for (;;) {
        const char *end = line->len > 0 ? memchr(line->data, '\n', line->len) : NULL;
        size_t len = end ? (size_t)(end - line->data) : line->len;
        if (!end && len < LINE_MAX)
            return;
        if (len > LINE_MAX) {
            len = LINE_MAX;
            end = NULL;
        }
        up_print(service->up, service->kind->name, service->color, line->data, len);
        buf_consume(line, end ? len + 1 : len);
    }
}

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct up_service *service = arg;

    (void)child;
    while (len > 0) {
        const size_t n = len < LINE_MAX ? len : LINE_MAX;
        buf_add(&service->line, data, n);
        print_lines(service);
        data += n;
        len -= n;
    }
    fflush(stdout);
}

static void print_rest(struct up_service *service)
{
    if (service->line.len > 0)
        up_print(service->up, service->kind->name, service->color, service->line.data,
                 service->line.len);
    buf_reset(&service->line);
    fflush(stdout);
}

/* ---- its end ---- */

static void describe(const struct loop_child_exit *result, char out[96])
{
    if (result->signo)
        snprintf(out, 96, "was ended by signal %d (%s)", result->signo, strsignal(result->signo));
    else
        snprintf(out, 96, "ended with exit code %d", result->code);
}

static void start_again(struct up_service *service, const char *why)
{
    if (clock_mono_ms() - service->started_ms >= BACKOFF_RESET_MS)
        service->backoff_ms = 0;
    service->backoff_ms = service->backoff_ms == 0                   ? BACKOFF_FIRST_MS
                          : service->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
                                                                     : service->backoff_ms * 2;
    up_say(service->up, "%s %s; starting it again in %.1f s", service->kind->name, why,
           (double)service->backoff_ms / 1000);
    service->state = UP_WAITING;
    loop_timer_arm(service->again, service->backoff_ms);
}

static void on_exit_of(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct up_service *service = arg;
    struct up *up = service->up;
    char why[96];

    (void)child;
    service->child = NULL;
    service->ready = false;
    print_rest(service);
    describe(result, why);
    if (up->stopping) {
        if (result->code != 0)
            up_say(up, "%s %s", service->kind->name, why);
        service->state = UP_STOPPED;
        up_stopped(service);
        return;
    }
    if (result->code != EXIT_REFUSED) {
        start_again(service, why);
        return;
    }
    up_say(up, "%s refuses its settings (above it says which); stopping", service->kind->name);
    service->state = UP_STOPPED;
    up->exit_code = EXIT_REFUSED;
    up_stop(up);
}

/* ---- its beginning ---- */

/* Between fork and exec, in memory shared with the supervisor: system calls only. */
static int tie_to_supervisor(void *arg)
{
    const struct up_service *service = arg;
    const int join_fd = service->up->cgroup.join_fd;

    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        return -1;
    /* It may have died before that was asked for. */
    if (getppid() != service->up->pid)
        return -1;
    if (join_fd < 0 || strcmp(service->kind->name, "builder") != 0)
        return 0;
    return write(join_fd, "0", 1) == 1 ? 0 : -1;
}

static size_t make_args(const struct up_service *service, const char *argv[ARGS_MAX])
{
    const struct up_settings *settings = &service->up->settings;
    size_t count = 0;

    argv[count++] = service->program;
    if (settings->config) {
        argv[count++] = "--config";
        argv[count++] = settings->config;
    }
    for (size_t i = 0; i < settings->sets.count && count + 3 < ARGS_MAX; i++) {
        argv[count++] = "--set";
        argv[count++] = settings->sets.items[i];
    }
    argv[count] = NULL;
    return count;
}

int up_service_start(struct up_service *service, struct err *err)
{
    const char *argv[ARGS_MAX];

    make_args(service, argv);
    const struct loop_child_opts opts = {.argv = argv,
                                         .env = (const char *const *)service->up->env.items,
                                         .cwd = service->up->cwd,
                                         .grace_ms = service->up->grace_ms,
                                         .merge_stderr = true,
                                         .on_output = on_output,
                                         .on_exit = on_exit_of,
                                         .arg = service,
                                         .pre_exec = tie_to_supervisor,
                                         .pre_exec_arg = service,
                                         .pre_exec_shares = true};
    if (loop_child_start(&service->child, service->up->loop, &opts, err) != 0)
        return -1;
    service->state = UP_RUNNING;
    service->started_ms = clock_mono_ms();
    return 0;
}

static void on_again(void *arg)
{
    struct up_service *service = arg;
    struct err err;

    if (up_service_start(service, &err) != 0)
        start_again(service, err.msg);
}

void up_service_stop(struct up_service *service)
{
    if (service->state == UP_RUNNING) {
        loop_child_stop(service->child);
        return;
    }
    loop_timer_cancel(service->again);
    service->state = UP_STOPPED;
    up_stopped(service);
}

void up_service_kill(struct up_service *service)
{
    if (service->child)
        kill(-loop_child_pid(service->child), SIGKILL);
}

void up_service_init(struct up_service *service, struct up *up, const struct up_kind *kind,
                     const char *programs)
{
    static const char *const colors[UP_SERVICES] = {"\033[36m", "\033[32m", "\033[33m", "\033[35m",
                                                    "\033[34m", "\033[31m", "\033[96m"};

    *service = (struct up_service){.up = up, .kind = kind, .state = UP_STOPPED};
    service->program = mem_printf("%s/gantry-%s", programs, kind->name);
    service->address = up_address(&up->settings, kind);
    service->color = colors[kind - up_kinds];
    service->again = loop_timer_new(up->loop, on_again, service);
    buf_init(&service->line, (size_t)2 * LINE_MAX);
}

void up_service_release(struct up_service *service)
{
    loop_timer_free(service->again);
    buf_release(&service->line);
    free(service->reason);
    free(service->address);
    free(service->program);
}
