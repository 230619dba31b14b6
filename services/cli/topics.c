#include <stdio.h>
#include <stdlib.h>

#include "log/log.h"
#include "services/cli/topics.h"

void topics_close(struct topics *topics)
{
    if (topics->loop)
        loop_drain(topics->loop); /* what was asked of Kafka beside a reading, and is not awaited */
    bus_free(topics->bus);
    loop_free(topics->loop);
    conf_release(topics->sections);
    strv_release(&topics->problems);
}

int topics_open(struct topics *topics, const char *config)
{
    struct bus_conf bus = {.service = "cli", .instance = "cli"};
    struct err err;

    log_init("gantry", LOG_WARN, LOG_TEXT); /* what the commands say is said to people */
    topics->sections[0] = (struct conf_section){"common", svc_common_items, &topics->conf};
    if (conf_load(topics->sections, config, NULL, &err) < 0)
        return cli_fail(EXIT_USAGE, "%s", err.msg);
    bus.kafka = &topics->conf.kafka;
    bus.prefix = topics->conf.topic_prefix;
    topics->loop = loop_new(1);
    if (bus_new(&topics->bus, topics->loop, &bus, &err) < 0)
        return cli_fail(EXIT_UNREACHABLE, "%s", err.msg);
    return 0;
}

static void report(enum topic topic, const char *name, bool created, const struct err *err,
                   void *arg)
{
    struct topics *topics = arg;

    (void)topic;
    if (err)
        cli_fail(0, "%s: %s", name, err->msg);
    else if (created)
        printf("made %s\n", name);
    topics->made += created;
}

int cmd_topics_create(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("topics create");
    const char *config = getenv("GANTRY_CONFIG");
    int64_t replication = 0;
    const struct cli_flag flags[] = {
        {"config", 'c', FLAG_STR, &config, "FILE", "the services' settings (GANTRY_CONFIG)"},
        {"replication", 0, FLAG_NUM, &replication, "N",
         "copies of each partition (3; 1 with durability: single)"},
        {0},
    };
    struct topics topics = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 0);

    strv_release(&words);
    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    rc = topics_open(&topics, config);
    if (rc == 0) {
        if (!replication)
            replication = str_eq(topics.conf.durability, "single") ? 1 : 3;
        if (bus_topics_create(topics.bus, (int32_t)topics.conf.partitions, (int32_t)replication,
                              TOPICS_TIMEOUT_MS, report, &topics, &topics.err) < 0)
            rc = cli_fail(EXIT_UNREACHABLE, "%s", topics.err.msg);
        else
            printf("%zu made, %d in all\n", topics.made, (int)TOPIC_COUNT);
    }
    topics_close(&topics);
    return rc;
}

static void described(const struct bus_topic_state *states, size_t count, const struct err *err,
                      void *arg)
{
    struct topics *topics = arg;

    topics->done = true;
    if (err && err->code) {
        topics->err = *err;
        return;
    }
    bus_topics_check(states, count, topics->conf.durability, &topics->problems);
    for (size_t i = 0; i < count; i++)
        if (states[i].topic == TOPIC_LEDGER && states[i].exists)
            topics->partitions = states[i].partitions;
}

int topics_look(struct topics *topics, struct err *err)
{
    topics->done = false;
    bus_topics_describe(topics->bus, TOPICS_TIMEOUT_MS, described, topics);
    while (!topics->done)
        loop_run_for(topics->loop, 1000, &topics->done);
    if (topics->err.code)
        *err = topics->err;
    return topics->err.code ? -1 : 0;
}

int cmd_topics_check(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("topics check");
    const char *config = getenv("GANTRY_CONFIG");
    const struct cli_flag flags[] = {
        {"config", 'c', FLAG_STR, &config, "FILE", "the services' settings (GANTRY_CONFIG)"},
        {0},
    };
    struct topics topics = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 0, 0);

    strv_release(&words);
    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    rc = topics_open(&topics, config);
    if (rc == 0) {
        if (topics_look(&topics, &topics.err) < 0)
            rc = cli_fail(EXIT_UNREACHABLE, "%s", topics.err.msg);
        for (size_t i = 0; i < topics.problems.count; i++)
            printf("%s\n", topics.problems.items[i]);
        if (rc == 0 && topics.problems.count)
            rc = EXIT_BAD_END;
        else if (rc == 0)
            printf("the topics are as Gantry needs them (durability: %s)\n",
                   topics.conf.durability);
    }
    topics_close(&topics);
    return rc;
}
