#include "services/cli/up.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "services/cli/up_internal.h"

#define EXIT_REFUSED      2
#define GRACE_DEFAULT_MS  30000
#define GRACE_MORE_MS     5000 /* a service ends itself at the end of its own grace */
#define BUILDER_USER      "gantry-builder"
#define PROGRAM_NAME_SIZE 4096

const struct up_kind up_kinds[UP_SERVICES] = {
    {"source-watcher", 8081}, {"console", 8080}, {"approver", 8085}, {"notifier", 8086},
    {"deployer", 8084},       {"builder", 8083}, {"promoter", 8082},
};

extern char **environ;

/* ---- output ---- */

void up_print(struct up *up, const char *name, const char *color, const char *text, size_t len)
{
    if (up->color)
        printf("%s%-*s |\033[0m ", color, up->width, name);
    else
        printf("%-*s | ", up->width, name);
    fwrite(text, 1, len, stdout);
    putchar('\n');
}

void up_say(struct up *up, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    up_print(up, "up", "\033[1m", text, strlen(text));
    fflush(stdout);
}

static int complain(const char *fmt, ...)
{
    va_list args;

    fputs("gantry up: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return EXIT_REFUSED;
}

/* ---- options ---- */

struct options {
    struct strv only, except;
    char *programs; /* the folder they are in */
};

static void print_help(void)
{
    printf(
        "Usage: gantry up [--config FILE] [--set SECTION.KEY=VALUE]... [--only LIST | --except "
        "LIST]\n"
        "\n"
        "Runs all services on this machine with one configuration: shows their output, starts one\n"
        "again that ends, and on SIGTERM or Ctrl-C stops them in order (a second time: at once).\n"
        "\n"
        "  --config FILE              settings of all services (gantry-promoter --help tells "
        "them)\n"
        "  --set SECTION.KEY=VALUE    one setting, over the file and the environment\n"
        "  --only LIST                these services alone, separated by commas\n"
        "  --except LIST              all but these\n"
        "  --programs FOLDER          where gantry-<service> are; by default beside gantry\n"
        "\n"
        "Services:");
    for (size_t i = UP_SERVICES; i > 0; i--)
        printf(" %s", up_kinds[i - 1].name);
    printf("\n\n"
           "Exit code 2: options, or a service's settings, are refused.\n\n"
           "Example:\n"
           "  GANTRY_KAFKA=127.0.0.1:9092 gantry up --config gantry.yaml --except builder\n");
}

static bool is_service(const char *name)
{
    for (size_t i = 0; i < UP_SERVICES; i++) {
        if (str_eq(up_kinds[i].name, name))
            return true;
    }
    return false;
}

static int check_names(const struct options *options)
{
    const struct strv *lists[] = {&options->only, &options->except};

    if (options->only.count > 0 && options->except.count > 0)
        return complain("--only and --except exclude each other");
    for (size_t i = 0; i < 2; i++) {
        for (size_t j = 0; j < lists[i]->count; j++) {
            if (!is_service(lists[i]->items[j]))
                return complain("'%s' is not a service; gantry up --help lists them",
                                lists[i]->items[j]);
        }
    }
    return -1;
}

/* -1: go on; else the exit code. */
static int parse_options(int argc, char **argv, struct up *up, struct options *options)
{
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                          {"set", required_argument, NULL, 's'},
                                          {"only", required_argument, NULL, 'o'},
                                          {"except", required_argument, NULL, 'x'},
                                          {"programs", required_argument, NULL, 'p'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int c;

    optind = 0;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            up->settings.config = optarg;
            break;
        case 's':
            strv_add(&up->settings.sets, optarg);
            break;
        case 'o':
            strv_split(&options->only, optarg, ',');
            break;
        case 'x':
            strv_split(&options->except, optarg, ',');
            break;
        case 'p':
            free(options->programs);
            options->programs = mem_strdup(optarg);
            break;
        case 'h':
            print_help();
            return 0;
        default:
            return complain("gantry up --help tells the options");
        }
    }
    if (optind < argc)
        return complain("'%s' is not an option; gantry up --help tells them", argv[optind]);
    return check_names(options);
}

static int find_programs(struct options *options)
{
    char path[PROGRAM_NAME_SIZE];

    if (options->programs) {
        char *whole = realpath(options->programs, NULL);
        if (!whole)
            return complain("--programs %s: %s", options->programs, strerror(errno));
        free(options->programs);
        options->programs = whole;
        return -1;
    }
    const ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0)
        return complain("where gantry itself is cannot be told: %s", strerror(errno));
    path[n] = '\0';
    options->programs = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    return -1;
}

/* ---- stopping ---- */

static void stop_next(struct up *up)
{
    for (size_t i = 0; i < up->count; i++) {
        if (up->services[i].state != UP_STOPPED) {
            up_service_stop(&up->services[i]);
            return;
        }
    }
    loop_stop(up->loop);
}

void up_stopped(struct up_service *service)
{
    if (service->up->stopping)
        stop_next(service->up);
}

void up_stop(struct up *up)
{
    if (up->stopping)
        return;
    up->stopping = true;
    loop_timer_cancel(up->readiness.timer);
    stop_next(up);
}

static void on_signal(int signo, void *arg)
{
    struct up *up = arg;

    (void)signo;
    if (!up->stopping) {
        up_say(up, "stopping; once more ends it at once");
        up_stop(up);
        return;
    }
    up_say(up, "ending at once");
    up->exit_code = 1;
    for (size_t i = 0; i < up->count; i++)
        up_service_kill(&up->services[i]);
}

/* ---- starting ---- */

static int choose_services(struct up *up, const struct options *options)
{
    for (size_t i = 0; i < UP_SERVICES; i++) {
        const struct up_kind *kind = &up_kinds[i];
        if (strv_has(&options->except, kind->name) ||
            (options->only.count > 0 && !strv_has(&options->only, kind->name)))
            continue;
        struct up_service *service = &up->services[up->count++];
        up_service_init(service, up, kind, options->programs);
        up->width = (int)strlen(kind->name) > up->width ? (int)strlen(kind->name) : up->width;
        if (access(service->program, X_OK) != 0)
            return complain("%s: %s; build it, or leave it out with --except %s", service->program,
                            strerror(errno), kind->name);
    }
    return up->count > 0 ? -1 : complain("no service is left to run");
}

static bool runs(const struct up *up, const char *name)
{
    for (size_t i = 0; i < up->count; i++) {
        if (str_eq(up->services[i].kind->name, name))
            return true;
    }
    return false;
}

/* A builder that may not limit its builds by control groups watches them instead. */
static void make_cgroup(struct up *up)
{
    char *given = up_setting(&up->settings, "builder", "cgroup");
    char *user = up_setting(&up->settings, "builder", "user");
    struct err err;

    if (!runs(up, "builder") || given)
        goto out;
    if (up_cgroup_make(&up->cgroup, user ? user : BUILDER_USER, &err) == 0)
        strv_addf(&up->env, "GANTRY_BUILDER_CGROUP=%s", up->cgroup.place);
    else
        up_say(up, "builds run without control groups: %s", err.msg);
out:
    free(given);
    free(user);
}

static void make_environment(struct up *up)
{
    char *instance = up_setting(&up->settings, "common", "instance-id");
    char host[256] = "";

    for (char **each = environ; *each; each++) {
        if (!str_starts(*each, "GANTRY_SUPERVISOR_PID="))
            strv_add(&up->env, *each);
    }
    if (str_empty(instance) && gethostname(host, sizeof(host) - 1) == 0 && *host)
        strv_addf(&up->env, "GANTRY_INSTANCE_ID=%s", host);
    strv_addf(&up->env, "GANTRY_SUPERVISOR_PID=%d", (int)up->pid);
    free(instance);
}

static void read_grace(struct up *up)
{
    char *text = up_setting(&up->settings, "common", "shutdown-grace");
    int64_t ms;

    if (!text || str_to_duration(text, &ms) != 0)
        ms = GRACE_DEFAULT_MS;
    up->grace_ms = ms + GRACE_MORE_MS;
    free(text);
}

static void run(struct up *up)
{
    struct loop_signal *signals[3] = {loop_signal_new(up->loop, SIGTERM, on_signal, up),
                                      loop_signal_new(up->loop, SIGINT, on_signal, up), NULL};
    struct sigaction hangup;
    struct err err;

    /* nohup(1) means it. */
    if (sigaction(SIGHUP, NULL, &hangup) == 0 && hangup.sa_handler != SIG_IGN)
        signals[2] = loop_signal_new(up->loop, SIGHUP, on_signal, up);
    make_cgroup(up);
    up_ready_start(up);
    for (size_t i = up->count; i > 0; i--) {
        if (up_service_start(&up->services[i - 1], &err) != 0) {
            up_say(up, "%s", err.msg);
            up->exit_code = 1;
            up_stop(up);
            break;
        }
    }
    loop_run(up->loop);
    for (size_t i = 0; i < 3; i++)
        loop_signal_free(signals[i]);
    up_ready_release(up);
    up_cgroup_remove(&up->cgroup);
}

static int start(struct up *up, struct options *options)
{
    struct err err;
    int code = find_programs(options);

    if (code >= 0)
        return code;
    if (up_settings_load(&up->settings, &err) != 0)
        return complain("%s", err.msg);
    code = choose_services(up, options);
    if (code >= 0)
        return code;
    make_environment(up);
    read_grace(up);
    run(up);
    return up->exit_code;
}

int cmd_up(int argc, char **argv)
{
    struct options options = {0};
    struct up up = {.pid = getpid(), .cgroup = {.join_fd = -1}, .width = 2};
    int code = parse_options(argc, argv, &up, &options);

    if (code < 0) {
        up.color = isatty(STDOUT_FILENO) && str_empty(getenv("NO_COLOR"));
        up.cwd = getcwd(NULL, 0);
        up.loop = loop_new(1);
        code = start(&up, &options);
        for (size_t i = 0; i < up.count; i++)
            up_service_release(&up.services[i]);
        loop_free(up.loop);
    }
    up_settings_release(&up.settings);
    strv_release(&up.env);
    strv_release(&options.only);
    strv_release(&options.except);
    free(options.programs);
    free(up.cwd);
    return code;
}
