#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "log/log.h"
#include "svc/frame.h"

#define AT(member) offsetof(struct svc_conf, member)

const struct conf_item svc_common_items[] = {
    {"kafka", CONF_MAP, AT(kafka), NULL,
     "Kafka: bootstrap.servers, and any other setting of librdkafka, verbatim.", 0},
    {"topic-prefix", CONF_STR, AT(topic_prefix), "gantry", "What every topic's name begins with.",
     0},
    {"partitions", CONF_INT, AT(partitions), "12",
     "Partitions of each topic; fixed for the life of a ledger.", 0},
    {"durability", CONF_STR, AT(durability), "replicated",
     "replicated: topics need two in-sync replicas; single: one broker's disk is enough.", 0},
    {"instance-id", CONF_STR, AT(instance_id), NULL,
     "Name of this instance, the same after a restart; by default the host's name.", 0},
    {"log.level", CONF_STR, AT(log_level), "info", "debug, info, warn or error.", 0},
    {"log.format", CONF_STR, AT(log_format), "text", "text or json.", 0},
    {"secrets-dir", CONF_STR, AT(secrets_dir), "/etc/gantry/secrets",
     "Folder with one file a secret, readable by this service alone.", 0},
    {"state-dir", CONF_STR, AT(state_dir), "/var/lib/gantry",
     "Folder for what services keep on disk, each in a folder of its own name.", 0},
    {"git-ca", CONF_STR, AT(git_ca), NULL,
     "PEM file of certificate authorities that https remotes may have, beside the system's.", 0},
    {"shutdown-grace", CONF_DURATION, AT(shutdown_grace_ms), "30s",
     "How long an ordered shutdown may take.", 0},
    {"console-url", CONF_STR, AT(console_url), "http://127.0.0.1:8080",
     "Where people reach the console.", 0},
    {"approver-url", CONF_STR, AT(approver_url), "http://127.0.0.1:8085",
     "Where people's browsers reach the approver.", 0},
    {0},
};

/* Part of each service's own section. The default of `listen` is the service's. */
static const struct conf_item frame_items[] = {
    {"listen", CONF_STR, AT(listen), NULL, "Address and port of health, metrics and routes.", 0},
    {"tls.cert", CONF_STR, AT(tls_cert), NULL,
     "Certificate chain (PEM file): with it only HTTPS is spoken.", 0},
    {"tls.key", CONF_STR, AT(tls_key), NULL, "The certificate's key (PEM file).", 0},
    {0},
};

static size_t size_of(enum conf_type type)
{
    switch (type) {
    case CONF_STR:
    case CONF_YAML:
        return sizeof(char *);
    case CONF_INT:
    case CONF_DURATION:
        return sizeof(int64_t);
    case CONF_BOOL:
        return sizeof(bool);
    case CONF_SIZE:
        return sizeof(uint64_t);
    case CONF_LIST:
        return sizeof(struct strv);
    case CONF_MAP:
        return sizeof(struct conf_map);
    }
    return 0;
}

static size_t count_items(const struct conf_item *items)
{
    size_t count = 0;

    while (items && items[count].key)
        count++;
    return count;
}

/* A section has one target, but here two parties fill one section: the service's struct and a
 * svc_conf stand behind each other in one block. */
static void merge_items(struct frame *frame, const struct svc_def *def, const char *listen)
{
    const size_t own = count_items(def->items);
    const size_t added = count_items(frame_items);

    frame->own_items = mem_alloc((own + added + 1) * sizeof(*frame->own_items));
    frame->own_size = 0;
    for (size_t i = 0; i < own; i++) {
        const size_t end = def->items[i].offset + size_of(def->items[i].type);
        frame->own_items[i] = def->items[i];
        frame->own_size = end > frame->own_size ? end : frame->own_size;
    }
    frame->own_size = (frame->own_size + 15) / 16 * 16;
    for (size_t i = 0; i < added; i++) {
        frame->own_items[own + i] = frame_items[i];
        frame->own_items[own + i].offset += frame->own_size;
    }
    frame->own_items[own].def = listen;
    frame->own_target = mem_alloc(frame->own_size + sizeof(struct svc_conf));
}

static void hand_over(struct frame *frame)
{
    const struct svc_def *def = frame->def;
    const struct svc_conf *conf = (const void *)(frame->own_target + frame->own_size);

    for (size_t i = 0; i < count_items(def->items); i++)
        memcpy((char *)def->conf + def->items[i].offset, frame->own_target + def->items[i].offset,
               size_of(def->items[i].type));
    frame->svc.conf.listen = conf->listen;
    frame->svc.conf.tls_cert = conf->tls_cert;
    frame->svc.conf.tls_key = conf->tls_key;
}

static int one_of(const char *value, const char *key, const char *a, const char *b, const char *c,
                  const char *d, struct err *err)
{
    if (str_eq(value, a) || str_eq(value, b) || (c && str_eq(value, c)) || (d && str_eq(value, d)))
        return 0;
    return err_set(err, ERR_INVALID, "common.%s is '%s': it must be %s%s%s%s%s or %s", key, value,
                   a, c ? ", " : "", c ? b : "", d ? ", " : "", d ? c : "",
                   d   ? d
                   : c ? c
                       : b);
}

static int check(struct svc_conf *conf, struct err *err)
{
    char host[256] = "";

    if (str_empty(conf_map_get(&conf->kafka, "bootstrap.servers")))
        return err_set(err, ERR_INVALID,
                       "where is Kafka? Set common.kafka.bootstrap.servers in the file, or "
                       "GANTRY_KAFKA=host:port in the environment");
    if (conf->partitions < 1 || conf->partitions > 10000)
        return err_set(err, ERR_INVALID, "common.partitions is %lld: it must be 1 to 10000",
                       (long long)conf->partitions);
    if (one_of(conf->durability, "durability", "replicated", "single", NULL, NULL, err) != 0 ||
        one_of(conf->log_level, "log.level", "debug", "info", "warn", "error", err) != 0 ||
        one_of(conf->log_format, "log.format", "text", "json", NULL, NULL, err) != 0)
        return -1;
    if (!str_empty(conf->instance_id))
        return 0;
    if (gethostname(host, sizeof(host) - 1) != 0 || !*host)
        return err_set(err, ERR_INVALID,
                       "common.instance-id is not set and this host has no name to use instead");
    free(conf->instance_id);
    conf->instance_id = mem_strdup(host);
    return 0;
}

int settings_load(struct frame *frame, const char *path, const struct strv *sets, struct err *err)
{
    const struct svc_def *def = frame->def;
    char *listen = mem_printf("127.0.0.1:%d", def->port);

    merge_items(frame, def, listen);
    frame->sections[0] = (struct conf_section){"common", svc_common_items, &frame->svc.conf};
    frame->sections[1] = (struct conf_section){def->name, frame->own_items, frame->own_target};
    int rc = conf_load(frame->sections, path, sets, err);
    free(listen);
    if (rc != 0)
        return -1;
    hand_over(frame);
    return check(&frame->svc.conf, err);
}

void settings_release(struct frame *frame)
{
    if (frame->own_target)
        conf_release(frame->sections);
    free(frame->own_target);
    free(frame->own_items);
    frame->own_target = NULL;
    frame->own_items = NULL;
}

void settings_help(const struct svc_def *def, struct buf *out)
{
    struct frame frame = {.def = def};
    char *listen = mem_printf("127.0.0.1:%d", def->port);

    merge_items(&frame, def, listen);
    const struct conf_section sections[] = {{"common", svc_common_items, &frame.svc.conf},
                                            {def->name, frame.own_items, frame.own_target},
                                            {0}};
    conf_help(sections, out);
    free(frame.own_items);
    free(frame.own_target);
    free(listen);
}

enum log_level settings_log_level(const struct svc_conf *conf)
{
    return str_eq(conf->log_level, "debug")   ? LOG_DEBUG
           : str_eq(conf->log_level, "warn")  ? LOG_WARN
           : str_eq(conf->log_level, "error") ? LOG_ERROR
                                              : LOG_INFO;
}
