#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "build/kubernetes.h"
#include "log/log.h"

#define GRACE_S    10  /* between SIGTERM and SIGKILL */
#define KEPT_S     600 /* what a builder that is gone has left */
#define LATER_S    120 /* than the action's own time, which the promoter keeps */
#define LOOK_MS    500
#define GONE_MS    90000 /* an end that cannot be seen is not waited for */
#define PATH_TYPED "/apis/batch/v1/namespaces/%s/jobs"

struct kubernetes_job {
    LIST_ENTRY(kubernetes_job) link;
    struct kubernetes_driver *driver;
    char *name, *token;
    struct kubernetes_call *call;
    void (*made)(const struct err *err, void *arg); /* NULL: nobody waits */
    void *made_arg;
    void (*judged)(bool time_is_up, void *arg);
    bool making; /* a question is under way that may make it */
    bool removing;
    void (*gone)(void *arg);
    void *gone_arg;
    int64_t since_ms; /* it was deleted */
    struct loop_timer *look;
};

/* ---- as JSON ---- */

static json_t *text(const char *s)
{
    return json_string(s);
}

static json_t *labels_of(const struct kubernetes_driver *driver,
                         const struct kubernetes_job_wish *wish)
{
    char attempt[16];
    snprintf(attempt, sizeof(attempt), "%u", wish->attempt);
    return json_pack("{s:s, s:s, s:s, s:s}", "app.kubernetes.io/managed-by", "gantry",
                     "gantry/builder", driver->conf.builder, "gantry/run", wish->run_id,
                     "gantry/attempt", attempt);
}

static void set_quantity(json_t *map, const char *name, const char *fmt, uint64_t value)
{
    char quantity[32];
    if (value == 0)
        return;
    snprintf(quantity, sizeof(quantity), fmt, (unsigned long long)value);
    json_object_set_new(map, name, text(quantity));
}

/* What is asked for is what it may take, but for disk: few nodes have as much to give away. */
static json_t *resources_of(const struct build_limits *limits)
{
    json_t *limited = json_object(), *asked = json_object();
    const uint64_t millicores = (uint64_t)(limits->cpu * 1000 + 0.5);
    set_quantity(limited, "memory", "%llu", limits->memory_bytes);
    set_quantity(limited, "cpu", "%llum", millicores);
    json_object_update(asked, limited);
    set_quantity(limited, "ephemeral-storage", "%llu", limits->disk_bytes);
    if (limits->disk_bytes)
        json_object_set_new(asked, "ephemeral-storage", text("0"));
    return json_pack("{s:o, s:o}", "limits", limited, "requests", asked);
}

/* Fetches the folder, then is the runner that was in it. */
static char *first_command(const struct kubernetes_driver *driver)
{
    return mem_printf(
        "exec 2>&1 </dev/null\n"
        "command -v curl >/dev/null && command -v tar >/dev/null || {\n"
        "    echo 'the image of the build has no curl or no tar, which builds in Kubernetes need'\n"
        "    exit %d\n"
        "}\n"
        "cd " POD_DIR " && curl -fsS --noproxy '*' --connect-timeout 10 --retry 30 --retry-delay 1"
        " --retry-connrefused --retry-max-time 120 %s-H @" POD_TOKEN "/authorization"
        " -o start.tar \"$GANTRY_URL/start\" || exit %d\n"
        "tar -xf start.tar && rm start.tar && exec /bin/sh run/runner\n"
        "exit %d\n",
        POD_NO_TOOLS, driver->ca ? "--cacert " POD_TOKEN "/ca.crt " : "", POD_NO_ANSWER,
        POD_NO_TOOLS);
}

static json_t *container_of(const struct kubernetes_driver *driver,
                            const struct kubernetes_job_wish *wish)
{
    char *command = first_command(driver);
    char *url = mem_printf("%s/api/v1/builds/%s", driver->conf.url, wish->name);
    json_t *container = json_pack(
        "{s:s, s:s, s:[s, s, s], s:[{s:s, s:s}], s:o, s:{s:b, s:{s:[s]}}, s:[{s:s, s:s}, {s:s, "
        "s:s, s:b}]}",
        "name", POD_CONTAINER, "image", wish->image, "command", "/bin/sh", "-c", command, "env",
        "name", "GANTRY_URL", "value", url, "resources", resources_of(&wish->limits),
        "securityContext", "allowPrivilegeEscalation", 0, "capabilities", "drop", "ALL",
        "volumeMounts", "name", "place", "mountPath", POD_DIR, "name", "token", "mountPath",
        POD_TOKEN, "readOnly", 1);
    free(url);
    free(command);
    return container;
}

static json_t *selector_of(const struct strv *pairs)
{
    json_t *selector = json_object();
    for (size_t i = 0; i < pairs->count; i++) {
        const char *value = strchr(pairs->items[i], '=');
        char *name = mem_strndup(pairs->items[i], (size_t)(value - pairs->items[i]));
        json_object_set_new(selector, name, text(value + 1));
        free(name);
    }
    return selector;
}

static json_t *pod_of(const struct kubernetes_driver *driver,
                      const struct kubernetes_job_wish *wish)
{
    const json_int_t user = driver->conf.user;
    json_t *pod = json_pack(
        "{s:s, s:b, s:b, s:i, s:{s:b, s:I, s:I, s:I, s:{s:s}}, s:[o], s:[{s:s, s:{}}, {s:s, "
        "s:{s:s, s:i}}]}",
        "restartPolicy", "Never", "automountServiceAccountToken", wish->service_account != NULL,
        "enableServiceLinks", 0, "terminationGracePeriodSeconds", GRACE_S, "securityContext",
        "runAsNonRoot", 1, "runAsUser", user, "runAsGroup", user, "fsGroup", user, "seccompProfile",
        "type", "RuntimeDefault", "containers", container_of(driver, wish), "volumes", "name",
        "place", "emptyDir", "name", "token", "secret", "secretName", wish->name, "defaultMode",
        0440);
    if (wish->service_account)
        json_object_set_new(pod, "serviceAccountName", text(wish->service_account));
    if (wish->node_selector->count)
        json_object_set_new(pod, "nodeSelector", selector_of(wish->node_selector));
    return pod;
}

static json_t *job_of(const struct kubernetes_driver *driver,
                      const struct kubernetes_job_wish *wish)
{
    json_t *spec = json_pack("{s:i, s:i, s:{s:{s:o}, s:o}}", "backoffLimit", 0,
                             "ttlSecondsAfterFinished", KEPT_S, "template", "metadata", "labels",
                             labels_of(driver, wish), "spec", pod_of(driver, wish));
    if (wish->timeout_ms)
        json_object_set_new(spec, "activeDeadlineSeconds",
                            json_integer(wish->timeout_ms / 1000 + LATER_S));
    return json_pack("{s:s, s:s, s:{s:s, s:o}, s:o}", "apiVersion", "batch/v1", "kind", "Job",
                     "metadata", "name", wish->name, "labels", labels_of(driver, wish), "spec",
                     spec);
}

/* Goes with its Job. */
static json_t *secret_of(const struct kubernetes_job *job, const json_t *made)
{
    const json_t *uid = json_object_get(json_object_get(made, "metadata"), "uid");
    char *header = mem_printf("Authorization: Bearer %s\n", job->token);
    json_t *data = json_pack("{s:s}", "authorization", header);
    if (job->driver->ca)
        json_object_set_new(data, "ca.crt", text(job->driver->ca));
    json_t *secret = json_pack(
        "{s:s, s:s, s:{s:s, s:{s:s, s:s}, s:[{s:s, s:s, s:s, s:O}]}, s:o}", "apiVersion", "v1",
        "kind", "Secret", "metadata", "name", job->name, "labels", "app.kubernetes.io/managed-by",
        "gantry", "gantry/builder", job->driver->conf.builder, "ownerReferences", "apiVersion",
        "batch/v1", "kind", "Job", "name", job->name, "uid", uid, "stringData", data);
    mem_wipe(header, strlen(header));
    free(header);
    return secret;
}

/* ---- its end ---- */

static void delete_job(struct kubernetes_job *job);

void kubernetes_job_free(struct kubernetes_job *job)
{
    if (!job)
        return;
    LIST_REMOVE(job, link);
    kubernetes_cancel(job->call);
    loop_timer_free(job->look);
    mem_wipe(job->token, strlen(job->token));
    free(job->token);
    free(job->name);
    free(job);
}

static void is_gone(struct kubernetes_job *job)
{
    void (*gone)(void *) = job->gone;
    void *arg = job->gone_arg;
    kubernetes_job_free(job);
    if (gone)
        gone(arg);
}

static void on_looked(const json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_job *job = arg;
    job->call = NULL;
    if (!json && err->code == ERR_NOT_FOUND) {
        is_gone(job);
    } else if (clock_mono_ms() - job->since_ms > GONE_MS) {
        log_warn("a build's Job is deleted and still there", LOG_S("job", job->name));
        is_gone(job);
    } else {
        loop_timer_arm(job->look, LOOK_MS);
    }
}

static void look(void *arg)
{
    struct kubernetes_job *job = arg;
    char *path =
        mem_printf(PATH_TYPED "/%s", kubernetes_namespace(job->driver->conf.kubernetes), job->name);
    const struct kubernetes_ask ask = {.path = path, .what = "look for a build's Job"};
    job->call = kubernetes_ask(job->driver->conf.kubernetes, &ask, on_looked, job);
    free(path);
}

static void on_deleted(const json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_job *job = arg;
    job->call = NULL;
    if (!json && err->code != ERR_NOT_FOUND)
        log_warn("a build's Job stays until its time is up", LOG_S("job", job->name), LOG_E(err));
    if (!json || !job->gone)
        is_gone(job);
    else
        look(job);
}

static void delete_job(struct kubernetes_job *job)
{
    char *path =
        mem_printf(PATH_TYPED "/%s", kubernetes_namespace(job->driver->conf.kubernetes), job->name);
    json_t *body = json_pack("{s:s}", "propagationPolicy", "Foreground");
    const struct kubernetes_ask ask = {
        .method = "DELETE", .path = path, .body = body, .what = "delete a build's Job"};
    job->since_ms = clock_mono_ms();
    job->call = kubernetes_ask(job->driver->conf.kubernetes, &ask, on_deleted, job);
    json_decref(body);
    free(path);
}

/* ---- what became of it ---- */

static void on_judged(const json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_job *job = arg;
    void (*judged)(bool, void *) = job->judged;
    const json_t *conditions = json_object_get(json_object_get(json, "status"), "conditions");
    bool time_is_up = false;
    size_t i;
    json_t *condition;
    (void)err;
    job->call = NULL;
    job->judged = NULL;
    json_array_foreach(conditions, i, condition)
    {
        const char *reason = json_string_value(json_object_get(condition, "reason"));
        time_is_up = time_is_up || str_eq(reason, "DeadlineExceeded");
    }
    judged(time_is_up, job->made_arg);
}

void kubernetes_job_judge(struct kubernetes_job *job, void (*judged)(bool time_is_up, void *arg),
                          void *arg)
{
    if (job->call || job->removing)
        return;
    char *path =
        mem_printf(PATH_TYPED "/%s", kubernetes_namespace(job->driver->conf.kubernetes), job->name);
    const struct kubernetes_ask ask = {.path = path, .what = "look what became of a build's Job"};
    job->judged = judged;
    job->made_arg = arg;
    job->call = kubernetes_ask(job->driver->conf.kubernetes, &ask, on_judged, job);
    free(path);
}

void kubernetes_job_remove(struct kubernetes_job *job, void (*gone)(void *arg), void *arg)
{
    job->made = NULL;
    job->gone = gone;
    job->gone_arg = arg;
    if (job->removing)
        return;
    job->removing = true;
    if (!job->making) {
        kubernetes_cancel(job->call); /* a question of what became of it */
        delete_job(job);
    }
}

void kubernetes_job_forget(struct kubernetes_job *job)
{
    job->made = NULL;
    job->gone = NULL;
}

/* ---- its beginning ---- */

static void tell(struct kubernetes_job *job, const struct err *err)
{
    job->making = false;
    if (job->removing)
        delete_job(job);
    else if (job->made)
        job->made(err, job->made_arg);
}

static void on_secret(const json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_job *job = arg;
    job->call = NULL;
    tell(job, json ? NULL : err);
}

static void on_made(const json_t *json, const struct err *err, void *arg)
{
    struct kubernetes_job *job = arg;
    job->call = NULL;
    if (!json || job->removing) {
        tell(job, err);
        return;
    }
    char *path = mem_printf("/api/v1/namespaces/%s/secrets",
                            kubernetes_namespace(job->driver->conf.kubernetes));
    json_t *secret = secret_of(job, json);
    const struct kubernetes_ask ask = {
        .method = "POST", .path = path, .body = secret, .what = "make the Secret of a build's Job"};
    job->call = kubernetes_ask(job->driver->conf.kubernetes, &ask, on_secret, job);
    json_decref(secret);
    free(path);
}

struct kubernetes_job *kubernetes_job_new(struct kubernetes_driver *driver,
                                          const struct kubernetes_job_wish *wish,
                                          void (*made)(const struct err *err, void *arg), void *arg)
{
    struct kubernetes_job *job = mem_alloc(sizeof(*job));
    char *path = mem_printf(PATH_TYPED, kubernetes_namespace(driver->conf.kubernetes));
    json_t *body = job_of(driver, wish);
    const struct kubernetes_ask ask = {
        .method = "POST", .path = path, .body = body, .what = "make a Job for the build"};
    job->driver = driver;
    job->name = mem_strdup(wish->name);
    job->token = mem_strdup(wish->token);
    job->made = made;
    job->made_arg = arg;
    job->making = true;
    job->look = loop_timer_new(driver->conf.loop, look, job);
    LIST_INSERT_HEAD(&driver->jobs, job, link);
    job->call = kubernetes_ask(driver->conf.kubernetes, &ask, on_made, job);
    json_decref(body);
    free(path);
    return job;
}
