#include <jansson.h>

#include "kubernetes/kubernetes.h"
#include "tests/unit/unit.h"

static enum pod_fate fate_of(const char *status, char why[700])
{
    char text[2048];
    struct pod pod;
    struct err err = {0};

    snprintf(text, sizeof(text),
             "{\"metadata\": {\"name\": \"p\", \"uid\": \"u\", \"labels\": {\"job-name\": \"j\"}}, "
             "\"status\": {%s}}",
             status);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal(pod_read(&pod, json, &err), 0);
    assert_string_equal(pod.job, "j");
    json_decref(json);
    return pod_fate(&pod, why, 700);
}

#define WAITS(reason, message)                                                                     \
    "\"phase\": \"Pending\", \"containerStatuses\": [{\"state\": {\"waiting\": {\"reason\": "      \
    "\"" reason "\", \"message\": \"" message "\"}}}]"
#define ENDED(reason, code)                                                                        \
    "\"containerStatuses\": [{\"state\": {\"terminated\": {\"reason\": \"" reason                  \
    "\", \"exitCode\": " #code "}}}]"

static void each_state_has_its_meaning(void **state)
{
    static const struct {
        const char *status;
        enum pod_fate fate;
        const char *why;
    } cases[] = {
        {"", POD_STUCK, "the container has not started yet"},
        {"\"phase\": \"Pending\", \"conditions\": [{\"type\": \"PodScheduled\", \"status\": "
         "\"False\", \"reason\": \"Unschedulable\", \"message\": \"0/3 nodes are available\"}]",
         POD_STUCK, "no node takes the pod (Unschedulable): 0/3 nodes are available"},
        {WAITS("ContainerCreating", ""), POD_STUCK,
         "the container has not started yet (ContainerCreating)"},
        {WAITS("ErrImagePull", "timeout"), POD_STUCK,
         "the container has not started yet (ErrImagePull): timeout"},
        {WAITS("ImagePullBackOff", "Back-off pulling image x"), POD_SPOILT,
         "the image of the build cannot be pulled (ImagePullBackOff): Back-off pulling image x"},
        {WAITS("InvalidImageName", "no"), POD_SPOILT,
         "the image of the build cannot be pulled (InvalidImageName): no"},
        {WAITS("CreateContainerError", "no"), POD_SPOILT,
         "the container cannot be started (CreateContainerError): no"},
        {"\"phase\": \"Running\", \"containerStatuses\": [{\"state\": {\"running\": {}}}]",
         POD_GOES_ON, ""},
        {"\"phase\": \"Failed\", " ENDED("Error", 3), POD_GOES_ON, ""},
        {"\"phase\": \"Failed\", " ENDED("OOMKilled", 137), POD_SPOILT,
         "it took more memory than its limit (OOMKilled)"},
        {"\"phase\": \"Failed\", \"reason\": \"DeadlineExceeded\", \"message\": \"active\"",
         POD_SPOILT, "its time is up (DeadlineExceeded)"},
        {"\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"Pod ephemeral local "
         "storage usage exceeds the total limit of containers 1Gi.\"",
         POD_SPOILT,
         "it took more disk than its limit (Evicted): Pod ephemeral local storage usage exceeds "
         "the total limit of containers 1Gi."},
        {"\"phase\": \"Failed\", \"reason\": \"Evicted\", \"message\": \"The node was low on "
         "resource: memory.\"",
         POD_LOST, "the cluster ended the pod (Evicted): The node was low on resource: memory."},
        {"\"phase\": \"Failed\", \"reason\": \"NodeShutdown\"", POD_LOST,
         "the cluster ended the pod (NodeShutdown)"},
        {"\"phase\": \"Failed\"", POD_LOST, "the pod failed"},
        {"\"conditions\": [{\"type\": \"DisruptionTarget\", \"status\": \"True\"}], "
         "\"phase\": \"Running\"",
         POD_LOST, "the cluster ended the pod"},
    };
    char why[700];
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const enum pod_fate fate = fate_of(cases[i].status, why);
        if (fate != cases[i].fate)
            fail_msg("%s: fate %d instead of %d (%s)", cases[i].status, fate, cases[i].fate, why);
        assert_string_equal(why, cases[i].why);
    }
}

static void what_is_no_pod_is_refused(void **state)
{
    static const char *const texts[] = {"{}", "[]", "{\"metadata\": {\"name\": \"p\"}}",
                                        "{\"metadata\": {\"name\": 7, \"uid\": \"u\"}}"};
    struct pod pod;
    struct err err = {0};
    (void)state;

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        json_t *json = json_loads(texts[i], 0, NULL);
        assert_int_equal(pod_read(&pod, json, &err), -1);
        assert_int_equal(err.code, ERR_INVALID);
        json_decref(json);
    }
}

static void names_are_what_DNS_takes(void **state)
{
    (void)state;
    assert_true(kubernetes_is_name("builds"));
    assert_true(kubernetes_is_name("a.b-c1"));
    assert_false(kubernetes_is_name(NULL));
    assert_false(kubernetes_is_name(""));
    assert_false(kubernetes_is_name("-a"));
    assert_false(kubernetes_is_name("a-"));
    assert_false(kubernetes_is_name("A"));
    assert_false(kubernetes_is_name("a/b"));
    assert_false(
        kubernetes_is_name("a123456789012345678901234567890123456789012345678901234567890123"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_has_its_meaning),
        cmocka_unit_test(what_is_no_pod_is_refused),
        cmocka_unit_test(names_are_what_DNS_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
