#include "scene.h"

struct service service;
unsigned number; /* of the test: names its pipeline and repository */

/* ---- repositories and pipelines ---- */

const char *sh(const char *fmt, ...)
{
    static char lines[8][256];
    static unsigned next;
    char *line = lines[next++ % 8];
    char *script;
    va_list ap;

    va_start(ap, fmt);
    if (vasprintf(&script, fmt, ap) < 0)
        abort();
    va_end(ap);
    char *command =
        mem_printf("set -e; mkdir -p %s/repo%u; cd %s/repo%u; unset GIT_DIR; exec "
                   "2>>%s/git.log; export HOME=%s GIT_AUTHOR_NAME=Ann "
                   "GIT_AUTHOR_EMAIL=Ann@example.com GIT_COMMITTER_NAME=Ann "
                   "GIT_COMMITTER_EMAIL=ann@example.com; %s",
                   service.dir, number, service.dir, number, service.dir, service.dir, script);
    FILE *out = popen(command, "r");
    line[0] = '\0';
    if (fgets(line, sizeof(lines[0]), out))
        line[strcspn(line, "\n")] = '\0';
    if (pclose(out) != 0)
        fail_msg("'%s' failed", script);
    free(command);
    free(script);
    return line;
}

const char *commit(const char *message)
{
    return sh("git commit -q --allow-empty -m '%s'; git rev-parse HEAD", message);
}

const char *url(void)
{
    static char text[128];

    snprintf(text, sizeof(text), "file://%s/repo%u", service.dir, number);
    return text;
}

const char *pipeline(void)
{
    static char text[32];

    snprintf(text, sizeof(text), "shop-%u", number);
    return text;
}

static void put(const char *name, const char *git, const char *refs, const char *poll)
{
    char *yaml = mem_printf("apiVersion: gantry/v1\n"
                            "kind: Pipeline\n"
                            "metadata: {name: %s}\n"
                            "spec:\n"
                            "  sources: [{name: app, git: '%s', %s, poll: %s}]\n"
                            "  stages:\n"
                            "    - name: test\n"
                            "      steps: [{build: {name: unit, source: app, buildspec: b.yml}}]\n",
                            name, git, refs, poll);

    service_put_definition(&service, "Pipeline", name, yaml);
    free(yaml);
}

void apply(const char *name, const char *git, const char *branches, const char *poll)
{
    char *refs = mem_printf("branches: [%s]", branches);

    put(name, git, refs, poll);
    free(refs);
}

void apply_refs(const char *refs, const char *poll)
{
    put(pipeline(), url(), refs, poll);
}

/* ---- what was reported ---- */

const Gantry__V1__SourceChanged *report(const char *name, size_t n, struct event_meta *meta)
{
    for (size_t i = 0; i < service.count; i++) {
        const Gantry__V1__SourceChanged *message = service.items[i].message;
        if (!str_eq(message->pipeline, name) || message->look || n-- > 0)
            continue;
        if (meta)
            *meta = service.items[i].meta;
        return message;
    }
    return NULL;
}

size_t reports(const char *name)
{
    size_t n = 0;

    while (report(name, n, NULL))
        n++;
    return n;
}

bool has_reports(struct service *s, void *arg)
{
    (void)s;
    return reports(pipeline()) >= *(size_t *)arg;
}

const Gantry__V1__SourceChanged *wait_report(size_t n)
{
    service_wait(&service, has_reports, &n, "a revision");
    return report(pipeline(), n - 1, NULL);
}

void assert_reports_stay(size_t n)
{
    service_run_for(&service, QUIET_MS);
    assert_int_equal(reports(pipeline()), n);
}

bool has_person(const Gantry__V1__SourceChanged *change, const char *email)
{
    for (size_t i = 0; i < change->n_people; i++) {
        if (str_eq(change->people[i], email))
            return true;
    }
    return false;
}

struct look_wanted {
    const char *glob;
    size_t present;
};

static bool has_look(struct service *s, void *arg)
{
    struct look_wanted *wanted = arg;

    wanted->present = 0;
    for (size_t i = 0; i < s->count; i++) {
        const Gantry__V1__SourceChanged *message = s->items[i].message;
        if (!message->look || !str_eq(message->pipeline, pipeline()) ||
            !str_eq(message->message, wanted->glob))
            continue;
        wanted->present += message->n_present;
        if (message->look == 1)
            return true;
    }
    return false;
}

size_t wait_look(const char *glob)
{
    struct look_wanted wanted = {.glob = glob};

    service_wait(&service, has_look, &wanted, "a first look");
    return wanted.present;
}

/* ---- webhooks ---- */

const char *signature(const char *secret, const char *body, size_t len)
{
    static char text[80];
    uint8_t mac[SHA256_SIZE];

    hmac_sha256(secret, strlen(secret), body, len, mac);
    hex_encode(mac, sizeof(mac), text);
    return text;
}

char *payload_commit(const char *id, const char *author, const char *committer)
{
    return mem_printf(
        "{\"id\":\"%s\",\"message\":\"Pushed: ü\\n\\nMore.\",\"author\":{\"email\":\"%s\"},"
        "\"committer\":{\"email\":\"%s\"}}",
        id, author, committer);
}

char *payload(const char *git, const char *ref, const char *before, const char *after,
              const char *commits)
{
    return mem_printf("{\"ref\":\"%s\",\"before\":\"%s\",\"after\":\"%s\",\"forced\":false,"
                      "\"repository\":{\"clone_url\":\"%s\",\"full_name\":\"acme/shop\"},"
                      "\"pusher\":{\"name\":\"kim\"},\"commits\":[%s],\"head_commit\":%s}",
                      ref, before, after, git, commits, commits[0] ? commits : "null");
}

struct answer post(const char *path, const char *headers, const char *body)
{
    return service_http(&service, "POST", path, headers, body, strlen(body));
}

struct answer github(const char *body)
{
    return hook("github", "push", body);
}

struct answer hook(const char *forge, const char *event, const char *body)
{
    const char *mac = signature(SECRET, body, strlen(body));
    char path[32], headers[512];

    snprintf(path, sizeof(path), "/hooks/%s", forge);
    if (str_eq(forge, "github"))
        snprintf(headers, sizeof(headers),
                 "Content-Type: application/json\r\nX-GitHub-Event: %s\r\n"
                 "X-Hub-Signature-256: sha256=%s\r\n",
                 event, mac);
    else if (str_eq(forge, "gitea"))
        snprintf(headers, sizeof(headers),
                 "Content-Type: application/json\r\nX-Gitea-Event: %s\r\nX-Gitea-Signature: %s\r\n",
                 event, mac);
    else
        snprintf(headers, sizeof(headers),
                 "Content-Type: application/json\r\nX-Gitlab-Event: %s\r\nX-Gitlab-Token: %s\r\n",
                 event, SECRET);
    return post(path, headers, body);
}

/* ---- the service ---- */

int scene_setup(void **state)
{
    (void)state;
    number++;
    sh("git init -q -b main");
    return 0;
}

int scene_teardown(void **state)
{
    (void)state;
    service_put_definition(&service, "Pipeline", pipeline(), NULL);
    return 0;
}

bool scene_begin(void)
{
    static const enum topic followed[] = {TOPIC_SOURCE};

    if (!service_setup(&service, PROGRAM, "source-watcher", followed, 1))
        return false;
    service_secret(&service, "hook", SECRET);
    service_secret(&service, "others", "secret-of-others");
    service.config = mem_strdup("  webhook-secret: hook\n"
                                "  webhook-secrets: {'git.example/others/**': others}");
    service_start(&service, true);
    cmocka_set_test_filter(getenv("GANTRY_TEST"));
    return true;
}

void scene_end(void)
{
    service_teardown(&service);
}
