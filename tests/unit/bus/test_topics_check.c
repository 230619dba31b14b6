#include "../unit.h"

#include "base/str.h"
#include "bus/bus.h"

static void good_states(struct bus_topic_state states[TOPIC_COUNT], int32_t replicas)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        const struct topic_info *info = topic_info((enum topic)i);
        states[i] = (struct bus_topic_state){
            .topic = info->topic,
            .exists = true,
            .partitions = 12,
            .replicas = replicas,
            .min_isr = replicas - 1 > 0 ? replicas - 1 : 1,
            .compacted = info->compacted,
            .retention_ms = info->retention_ms,
            .retention_bytes = -1,
            .append_time = info->append_time,
        };
    }
}

static void expect(const struct bus_topic_state *states, const char *durability, const char *words)
{
    struct strv problems = {0};
    bus_topics_check(states, TOPIC_COUNT, durability, &problems);
    if (!words && problems.count > 0)
        fail_msg("unexpected: %s", problems.items[0]);
    if (words && (problems.count != 1 || !strstr(problems.items[0], words)))
        fail_msg("%zu problems; '%s' does not say '%s'", problems.count,
                 problems.count ? problems.items[0] : "", words);
    strv_release(&problems);
}

static void topics_as_they_should_be_have_no_problems(void **state)
{
    (void)state;
    struct bus_topic_state s[TOPIC_COUNT];
    good_states(s, 3);
    expect(s, "replicated", NULL);
    good_states(s, 1);
    expect(s, "single", NULL);
}

static void each_wrong_setting_is_one_sentence(void **state)
{
    (void)state;
    struct bus_topic_state s[TOPIC_COUNT];
    good_states(s, 3);
    s[TOPIC_LEDGER].retention_ms = 1000;
    expect(s, "replicated", "'ledger' keeps records for 1000 ms");
    good_states(s, 3);
    s[TOPIC_LEDGER].retention_bytes = 1 << 30;
    expect(s, "replicated", "retention.bytes=1073741824");
    good_states(s, 3);
    s[TOPIC_LEDGER].compacted = true;
    expect(s, "replicated", "cleanup.policy=compact; delete is needed");
    good_states(s, 3);
    s[TOPIC_SOURCE].append_time = false;
    expect(s, "replicated", "LogAppendTime is needed");
    good_states(s, 3);
    s[TOPIC_RESULT_BUILD].unclean_election = true;
    expect(s, "replicated", "unclean.leader.election");
    good_states(s, 3);
    s[TOPIC_EVENT].partitions = 6;
    expect(s, "replicated", "'event' has 6 partitions, the ledger 12");
    good_states(s, 3);
    s[TOPIC_LOG].partitions = 6; /* its own affair */
    expect(s, "replicated", NULL);
    good_states(s, 3);
    s[TOPIC_COMMAND].exists = false;
    expect(s, "replicated", "'command' is missing");
    good_states(s, 3);
    s[TOPIC_COMMAND].replicas = 2;
    expect(s, "replicated", "has 2 replicas");
    expect(s, "single", NULL);
    good_states(s, 3);
    s[TOPIC_COMMAND].min_isr = 1;
    expect(s, "replicated", "min.insync.replicas=1");
    expect(s, "single", NULL);
}

static void longer_retention_is_no_problem(void **state)
{
    (void)state;
    struct bus_topic_state s[TOPIC_COUNT];
    good_states(s, 3);
    s[TOPIC_EVENT].retention_ms = -1;
    s[TOPIC_SOURCE].retention_ms *= 2;
    s[TOPIC_DEFINITION].retention_ms = 1; /* of no meaning when compacted */
    expect(s, "replicated", NULL);
}

static void settings_that_cannot_be_read_are_not_judged(void **state)
{
    (void)state;
    struct bus_topic_state s[TOPIC_COUNT];
    good_states(s, 1);
    for (int i = 0; i < TOPIC_COUNT; i++) {
        s[i].min_isr = -1;
        s[i].append_time = s[i].compacted = false;
    }
    expect(s, "single", NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_as_they_should_be_have_no_problems),
        cmocka_unit_test(each_wrong_setting_is_one_sentence),
        cmocka_unit_test(longer_retention_is_no_problem),
        cmocka_unit_test(settings_that_cannot_be_read_are_not_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
