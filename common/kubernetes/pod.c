/* A pod (core/v1), as far as it is looked at, and what its state means in words. */
#include <stdio.h>
#include <string.h>

#include "kubernetes/internal.h"

static void copy(char *out, size_t size, const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));

    snprintf(out, size, "%s", text ? text : "");
}

static void read_phase(struct pod *out, const json_t *status)
{
    static const char *const names[] = {"Pending", "Running", "Succeeded", "Failed"};
    const char *phase = json_string_value(json_object_get(status, "phase"));

    out->phase = phase ? POD_UNKNOWN : POD_PENDING;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (str_eq(phase, names[i]))
            out->phase = (enum pod_phase)i;
    }
    copy(out->reason, sizeof(out->reason), status, "reason");
    copy(out->message, sizeof(out->message), status, "message");
}

static void read_conditions(struct pod *out, const json_t *status)
{
    size_t i;
    json_t *condition;

    json_array_foreach(json_object_get(status, "conditions"), i, condition)
    {
        const char *type = json_string_value(json_object_get(condition, "type"));
        const char *value = json_string_value(json_object_get(condition, "status"));
        const char *reason = json_string_value(json_object_get(condition, "reason"));
        if (str_eq(type, "PodScheduled") && str_eq(value, "False") &&
            str_eq(reason, "Unschedulable"))
            copy(out->unschedulable, sizeof(out->unschedulable), condition, "message");
        if (str_eq(type, "DisruptionTarget") && str_eq(value, "True"))
            out->disrupted = true;
    }
}

static void read_container(struct pod *out, const json_t *status)
{
    const json_t *container = json_array_get(json_object_get(status, "containerStatuses"), 0);
    const json_t *state = json_object_get(container, "state");
    const json_t *waiting = json_object_get(state, "waiting");
    const json_t *terminated = json_object_get(state, "terminated");

    if (terminated) {
        out->container = POD_TERMINATED;
        out->exit_code = (int)json_integer_value(json_object_get(terminated, "exitCode"));
    } else if (json_object_get(state, "running")) {
        out->container = POD_STARTED;
    } else if (waiting) {
        out->container = POD_WAITING;
    }
    copy(out->container_reason, sizeof(out->container_reason), terminated ? terminated : waiting,
         "reason");
    copy(out->container_message, sizeof(out->container_message), terminated ? terminated : waiting,
         "message");
}

int pod_read(struct pod *out, const json_t *json, struct err *err)
{
    const json_t *meta = json_object_get(json, "metadata");
    const json_t *labels = json_object_get(meta, "labels");
    const json_t *status = json_object_get(json, "status");

    *out = (struct pod){0};
    copy(out->name, sizeof(out->name), meta, "name");
    copy(out->uid, sizeof(out->uid), meta, "uid");
    if (!out->name[0] || !out->uid[0])
        return err_set(err, ERR_INVALID, "a pod has no name or no uid");
    copy(out->job, sizeof(out->job), labels, "batch.kubernetes.io/job-name");
    if (!out->job[0])
        copy(out->job, sizeof(out->job), labels, "job-name"); /* before 1.27 */
    out->deleting = json_is_string(json_object_get(meta, "deletionTimestamp"));
    read_phase(out, status);
    read_conditions(out, status);
    read_container(out, status);
    return 0;
}

/* ---- what it means ---- */

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (str_eq(word, *words))
            return true;
    }
    return false;
}

static enum pod_fate say(enum pod_fate fate, char *why, size_t size, const char *what,
                         const char *reason, const char *message)
{
    snprintf(why, size, "%s%s%s%s%s%s", what, reason[0] ? " (" : "", reason, reason[0] ? ")" : "",
             message[0] ? ": " : "", message);
    return fate;
}

static enum pod_fate fate_of_waiting(const struct pod *pod, char *why, size_t size)
{
    static const char *const pulls[] = {"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                                        NULL};
    static const char *const starts[] = {"CreateContainerError", "RunContainerError",
                                         "CrashLoopBackOff", NULL};
    const char *reason = pod->container_reason, *message = pod->container_message;

    if (is_one_of(reason, pulls))
        return say(POD_SPOILT, why, size, "the image of the build cannot be pulled", reason,
                   message);
    if (is_one_of(reason, starts))
        return say(POD_SPOILT, why, size, "the container cannot be started", reason, message);
    if (pod->unschedulable[0])
        return say(POD_STUCK, why, size, "no node takes the pod", "Unschedulable",
                   pod->unschedulable);
    return say(POD_STUCK, why, size, "the container has not started yet", reason, message);
}

enum pod_fate pod_fate(const struct pod *pod, char *why, size_t size)
{
    *why = '\0';
    if (str_eq(pod->reason, "DeadlineExceeded"))
        return say(POD_SPOILT, why, size, "its time is up", pod->reason, "");
    if (pod->container == POD_TERMINATED && str_eq(pod->container_reason, "OOMKilled"))
        return say(POD_SPOILT, why, size, "it took more memory than its limit",
                   pod->container_reason, "");
    /* A node that is short of something evicts whom it likes: that is no fault of the pod's. */
    if (str_eq(pod->reason, "Evicted") && strstr(pod->message, "exceed"))
        return say(POD_SPOILT, why, size, "it took more disk than its limit", pod->reason,
                   pod->message);
    if (pod->disrupted || (pod->phase == POD_FAILED && pod->reason[0]))
        return say(POD_LOST, why, size, "the cluster ended the pod", pod->reason, pod->message);
    if (pod->deleting)
        return say(POD_LOST, why, size, "somebody deletes the pod", "", "");
    if (pod->container == POD_TERMINATED || pod->container == POD_STARTED)
        return POD_GOES_ON;
    if (pod->phase == POD_FAILED)
        return say(POD_LOST, why, size, "the pod failed", pod->reason, pod->message);
    return fate_of_waiting(pod, why, size);
}
