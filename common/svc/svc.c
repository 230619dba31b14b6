#include "svc/svc.h"

#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "log/log.h"
#include "svc/frame.h"

/* DESIGN: what ends a service is one order, whatever asked for it: readiness off, the service's own
 * stop(), the answers under way, the workers, then everything is freed in the reverse of its
 * making. A real-time alarm and a second signal cut it short from a signal handler, so that neither
 * depends on a loop that may be stuck. */

#define WORKERS      4
#define ANSWERS_MS   1000
#define EXIT_REFUSED 2
#define HELP_MAX     (256 * 1024)

struct options {
    const char *config;
    struct strv sets;
    bool check;
};

/* ---- options ---- */

static void print_help(const struct svc_def *def)
{
    struct buf settings;

    buf_init(&settings, HELP_MAX);
    settings_help(def, &settings);
    printf(
        "gantry-%s %s: %s\n\n"
        "Usage: gantry-%s [--config FILE] [--set SECTION.KEY=VALUE]... [--check]\n\n"
        "  --config FILE              settings of all services, YAML: a section `common` and one\n"
        "                             a service; this one reads `common` and `%s`\n"
        "  --set SECTION.KEY=VALUE    one setting, over the file and the environment\n"
        "  --check                    check the settings and exit\n"
        "  --version                  print the version and exit\n"
        "  --help                     this\n\n"
        "Settings, with the variables that set them too (VARIABLE_FILE names a file with the\n"
        "value). The command line wins over the environment, that over the file.\n\n"
        "%s\n"
        "Answers on its address: /healthz (the process lives), /readyz (what it waits for),\n"
        "/metrics (Prometheus). SIGTERM ends it in order, a second one at once. Exit code 2:\n"
        "options or settings are refused.\n\n"
        "Example:\n"
        "  GANTRY_KAFKA=127.0.0.1:9092 gantry-%s --set common.durability=single\n",
        def->name, GANTRY_VERSION, def->summary, def->name, def->name, buf_cstr(&settings),
        def->name);
    buf_release(&settings);
}

/* -1: go on; else the exit code. */
static int parse_options(int argc, char **argv, const struct svc_def *def, struct options *options)
{
    static const struct option longs[] = {
        {"config", required_argument, NULL, 'c'}, {"set", required_argument, NULL, 's'},
        {"check", no_argument, NULL, 'k'},        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},         {0}};
    int c;

    optind = 0;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            options->config = optarg;
            break;
        case 's':
            strv_add(&options->sets, optarg);
            break;
        case 'k':
            options->check = true;
            break;
        case 'v':
            printf("gantry-%s %s\n", def->name, GANTRY_VERSION);
            return 0;
        case 'h':
            print_help(def);
            return 0;
        default:
            fprintf(stderr, "gantry-%s --help tells the options\n", def->name);
            return EXIT_REFUSED;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "gantry-%s: '%s' is not an option; gantry-%s --help tells them\n", def->name,
            argv[optind], def->name);
    return EXIT_REFUSED;
}

/* ---- stopping ---- */

static void end_now(int signo)
{
    static const char late[] = "the shutdown took longer than its grace; ending at once\n";
    static const char again[] = "a second signal; ending at once\n";
    const ssize_t n =
        signo == SIGALRM ? write(2, late, sizeof(late) - 1) : write(2, again, sizeof(again) - 1);

    (void)n;
    _exit(1);
}

static void cut_short_by_signals(int64_t grace_ms)
{
    const struct sigaction action = {.sa_handler = end_now};
    const struct itimerval alarm = {
        .it_value = {.tv_sec = grace_ms / 1000, .tv_usec = grace_ms % 1000 * 1000 + 1}};

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &alarm, NULL);
}

void svc_stopped(struct svc *svc)
{
    struct frame *frame = (struct frame *)svc;

    frame->stopped = true;
    loop_stop(svc->loop);
}

static void begin_stop(void *arg)
{
    struct frame *frame = arg;

    if (frame->stopping)
        return;
    frame->stopping = true;
    loop_signal_free(frame->sigterm);
    loop_signal_free(frame->sigint);
    frame->sigterm = frame->sigint = NULL;
    cut_short_by_signals(frame->svc.conf.shutdown_grace_ms);
    log_info("stopping");
    if (frame->def->stop)
        frame->def->stop(&frame->svc);
    else
        svc_stopped(&frame->svc);
}

static void on_signal(int signo, void *arg)
{
    (void)signo;
    begin_stop(arg);
}

void svc_fail(struct svc *svc, const struct err *err)
{
    struct frame *frame = (struct frame *)svc;

    if (frame->exit_code == 0)
        log_error("the service must end", LOG_E(err));
    frame->exit_code = err->code == ERR_INVALID || err->code == ERR_FATAL ? EXIT_REFUSED : 1;
    loop_post(svc->loop, begin_stop, frame);
}

/* ---- the frame ---- */

/* "https://console.test:8443" of an address with a path behind it. */
static char *origin_of(const char *url)
{
    const char *scheme = url ? strstr(url, "://") : NULL;

    return scheme ? mem_strndup(url, (size_t)(scheme - url) + 3 + strcspn(scheme + 3, "/")) : NULL;
}

static int start_http(struct frame *frame, struct err *err)
{
    struct svc *svc = &frame->svc;
    char *origin = str_eq(frame->def->cors_origin_conf, "console-url")
                       ? origin_of(svc->conf.console_url)
                       : NULL;
    const struct http_server_conf conf = {.listen = svc->conf.listen,
                                          .tls_cert = svc->conf.tls_cert,
                                          .tls_key = svc->conf.tls_key,
                                          .cors_origin = origin,
                                          .metrics = svc->metrics};
    const int rc = http_server_new(&svc->http, svc->loop, &conf, err);

    free(origin);
    return rc;
}

static int start(struct frame *frame, struct err *err)
{
    struct svc *svc = &frame->svc;

    svc->loop = loop_new(frame->def->workers ? frame->def->workers : WORKERS);
    svc->metrics = metrics_new();
    frame->sigterm = loop_signal_new(svc->loop, SIGTERM, on_signal, frame);
    frame->sigint = loop_signal_new(svc->loop, SIGINT, on_signal, frame);
    if (start_http(frame, err) != 0)
        return -1;
    const struct bus_conf bus = {.kafka = &svc->conf.kafka,
                                 .prefix = svc->conf.topic_prefix,
                                 .service = frame->def->name,
                                 .instance = svc->conf.instance_id,
                                 .metrics = svc->metrics};
    if (bus_new(&svc->bus, svc->loop, &bus, err) != 0)
        return -1;
    health_start(frame);
    svc->app = frame->def->app;
    return frame->def->start ? frame->def->start(svc, err) : 0;
}

/* Under `gantry up` a service ends with its supervisor, however that ends. The kernel forgets what
 * the supervisor asked for when a process changes its user (prctl(2)), so it is asked for again. */
static void follow_supervisor(struct frame *frame)
{
    const char *text = getenv("GANTRY_SUPERVISOR_PID");
    int64_t pid;

    if (!text || str_to_i64(text, &pid) != 0 || pid <= 1)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (kill((pid_t)pid, 0) == 0 || errno != ESRCH)
        return;
    log_warn("the supervisor is gone", LOG_I("pid", pid));
    loop_post(frame->svc.loop, begin_stop, frame);
}

static void run(struct frame *frame)
{
    const char *scheme = str_empty(frame->svc.conf.tls_cert) ? "http" : "https";

    log_info("started", LOG_S("version", GANTRY_VERSION), LOG_S("listen", frame->svc.conf.listen),
             LOG_I("port", http_server_port(frame->svc.http)), LOG_S("scheme", scheme),
             LOG_S("instance", frame->svc.conf.instance_id));
    follow_supervisor(frame);
    while (!frame->stopped)
        loop_run(frame->svc.loop);
}

static void answer_what_is_under_way(struct frame *frame)
{
    http_server_stop(frame->svc.http);
    for (int waited_ms = 0; http_server_busy(frame->svc.http) > 0 && waited_ms < ANSWERS_MS;
         waited_ms += 10)
        loop_run_for(frame->svc.loop, 10, NULL);
}

static void release(struct frame *frame)
{
    struct svc *svc = &frame->svc;

    loop_drain(svc->loop);
    http_server_free(svc->http);
    if (frame->def->release)
        frame->def->release(svc);
    health_release(frame);
    bus_free(svc->bus);
    loop_free(svc->loop);
    metrics_free(svc->metrics);
    settings_release(frame);
}

static int refused(const struct svc_def *def, const struct err *err)
{
    fprintf(stderr, "gantry-%s: %s\n", def->name, err->msg);
    return EXIT_REFUSED;
}

static int run_service(const struct svc_def *def, const struct options *options)
{
    struct frame *frame = mem_alloc(sizeof(*frame));
    struct svc_conf *conf = &frame->svc.conf;
    struct err err = {0};
    int code;

    frame->def = def;
    frame->svc.config_file = options->config;
    if (settings_load(frame, options->config, &options->sets, &err) != 0) {
        code = refused(def, &err);
        settings_release(frame);
        goto out;
    }
    code = 0;
    if (options->check) {
        printf("the settings are good\n");
        settings_release(frame);
        goto out;
    }
    log_init(def->name, settings_log_level(conf),
             str_eq(conf->log_format, "json") ? LOG_JSON : LOG_TEXT);
    if (start(frame, &err) != 0) {
        /* What start() made so far only it knows: nothing is freed, the process just ends. */
        log_error("cannot start", LOG_E(&err));
        fflush(NULL);
        _exit(err.code == ERR_INVALID || err.code == ERR_FATAL ? EXIT_REFUSED : 1);
    }
    run(frame);
    answer_what_is_under_way(frame);
    code = frame->exit_code;
    release(frame);
    log_info("stopped");
out:
    free(frame);
    return code;
}

int svc_run(int argc, char **argv, const struct svc_def *def)
{
    struct options options = {0};
    int code = parse_options(argc, argv, def, &options);

    if (code < 0) {
        /* An arena a thread would cost more memory than it saves time. */
        mallopt(M_ARENA_MAX, 2);
        signal(SIGHUP, SIG_IGN);
        code = run_service(def, &options);
    }
    strv_release(&options.sets);
    return code;
}
