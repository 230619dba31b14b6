#include "secrets.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "gantry/v1/access.pb-c.h"
#include "log/log.h"
#include "secret/secret.h"

#define KMS_PREFIX "kms:"

/* ---- who may manage them ---- */

int secrets_operator(struct secrets *secrets, struct http_request *req, struct auth_person *out)
{
    struct err err;

    if (!secrets->tokens_known) {
        http_reply_header(req, "Retry-After", "1");
        http_reply_problem(req, 503, NULL, "tokens are being read; try again soon");
        return -1;
    }
    if (auth_check(secrets->auth, http_req_header(req, "Authorization"), clock_now_ms(), out,
                   &err) < 0) {
        http_reply_header(req, "WWW-Authenticate", "Bearer");
        http_reply_problem(req, 401, NULL, err.msg);
        return -1;
    }
    if (auth_may(out, AUTH_OPERATOR))
        return 0;
    http_reply_problem(req, 403, NULL, "this needs the role operator or admin");
    auth_person_release(out);
    return -1;
}

/* The approver owns reading `access`: what is bad is put aside by it, and only counted here. */
static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct secrets *secrets = arg;
    struct err err;
    void *message;

    (void)follower;
    if (!record->value)
        return;
    if (event_unpack(&message, record->topic, record->value, record->value_len, &err) < 0) {
        metric_add(secrets->malformed, 1);
        return;
    }
    auth_apply(secrets->auth, message);
    event_free(message);
}

static void on_end(struct bus_follower *follower, enum topic topic, int32_t partition,
                   int64_t end_offset, void *arg)
{
    struct secrets *secrets = arg;

    (void)topic;
    (void)partition;
    (void)end_offset;
    if (bus_follower_caught_up(follower))
        secrets->tokens_known = true;
}

static int follow_access(struct secrets *secrets, struct err *err)
{
    const struct bus_follower_handler handler = {
        .on_record = on_record, .on_end = on_end, .arg = secrets};

    secrets->malformed =
        metrics_counter(secrets->svc->metrics, "gantry_builder_malformed_records_total", NULL,
                        "Records of followed topics that could not be decoded");
    if (bus_follower_new(&secrets->follower, secrets->svc->bus, &handler, err) < 0)
        return -1;
    return bus_follower_add_all(secrets->follower, TOPIC_ACCESS,
                                (int32_t)secrets->svc->conf.partitions, NULL, NULL, err);
}

static int add_bootstrap(struct secrets *secrets, struct err *err)
{
    struct buf value;

    if (str_empty(secrets->conf->bootstrap_token))
        return 0;
    if (secret_read(&value, secrets->svc->conf.secrets_dir, secrets->conf->bootstrap_token, err) <
        0)
        return err_wrap(err, "builder.bootstrap-token");
    auth_add_bootstrap(secrets->auth, buf_cstr(&value), "bootstrap");
    secret_release(&value);
    return 0;
}

/* ---- settings ---- */

static int read_grants(struct secrets *secrets, struct err *err)
{
    const struct conf_map *map = &secrets->conf->grants;
    size_t count = 0;

    for (size_t i = 0; i < map->count; i++)
        count += map->pairs[i].values.count;
    secrets->grants = mem_alloc((count + 1) * sizeof(*secrets->grants));
    for (size_t i = 0; i < map->count; i++) {
        for (size_t j = 0; j < map->pairs[i].values.count; j++) {
            const struct secret_grant grant = {map->pairs[i].key, map->pairs[i].values.items[j]};
            if (secret_grant_check(grant.pipeline, grant.path, err) < 0)
                return err_wrap(err, "builder.grants");
            secrets->grants[secrets->granted.count++] = grant;
        }
    }
    secrets->granted.items = secrets->grants;
    return 0;
}

static bool needs_aws(const struct secrets_conf *conf)
{
    return str_eq(conf->parameters, "aws") || str_starts(conf->master_key, KMS_PREFIX) ||
           (conf->old_master_key && str_starts(conf->old_master_key, KMS_PREFIX));
}

static int start_aws(struct secrets *secrets, struct err *err)
{
    const struct secrets_conf *conf = secrets->conf;
    const struct aws_conf aws = {.region = conf->aws_region,
                                 .endpoint_url = conf->aws_endpoint_url,
                                 .profile = conf->aws_profile};

    if (aws_new(&secrets->aws, secrets->svc->loop, &aws, err) == 0)
        return 0;
    secrets->aws = NULL;
    /* Without a region nobody means AWS; with a wrong one somebody does. */
    if (needs_aws(conf) || !str_empty(conf->aws_region))
        return err_wrap(err, "builder.aws-region");
    return 0;
}

static int start_vault(struct secrets *secrets, struct err *err)
{
    const struct secrets_conf *conf = secrets->conf;
    const struct vault_conf vault = {.loop = secrets->svc->loop,
                                     .dir = secrets->dir,
                                     .master = conf->master_key,
                                     .old_master = conf->old_master_key,
                                     .secrets_dir = secrets->svc->conf.secrets_dir,
                                     .aws = secrets->aws};

    if (vault_new(&secrets->vault, &vault, err) < 0)
        return err_wrap(err, "builder.master-key");
    return 0;
}

/* ---- what a crash left ---- */

static int sweep(const struct secret_store *store, void *arg, struct err *err)
{
    (void)arg;
    return secret_store_sweep(store, err);
}

static void swept(const struct err *err, void *arg)
{
    (void)arg;
    if (err->code)
        log_warn("the secret store cannot be opened", LOG_E(err));
}

static void nothing(void *arg)
{
    (void)arg;
}

/* Opens a store that is there, so that what is wrong with it is told at the start. */
static void open_store(struct secrets *secrets)
{
    struct secret_seal seal;
    struct err err;

    if (secret_seal_read(&seal, secrets->dir, &err) == 0)
        vault_run(secrets->vault, sweep, swept, nothing, NULL);
    else if (err.code != ERR_NOT_FOUND)
        swept(&err, NULL);
    secret_seal_release(&seal);
}

/* ---- all of it ---- */

int secrets_new(struct secrets **out, struct svc *svc, const struct secrets_conf *conf,
                const char *builder_dir, struct err *err)
{
    struct secrets *secrets = mem_alloc(sizeof(*secrets));
    const bool from_aws = str_eq(conf->parameters, "aws");

    *out = secrets;
    secrets->svc = svc;
    secrets->conf = conf;
    secrets->auth = auth_new();
    secrets->dir = str_empty(conf->store_dir) ? mem_printf("%s/secrets", builder_dir)
                                              : mem_strdup(conf->store_dir);
    if (!from_aws && !str_eq(conf->parameters, "gantry"))
        return err_set(err, ERR_INVALID, "builder.parameters is '%s', but must be gantry or aws",
                       conf->parameters);
    if (file_mkdirs(secrets->dir, 0700, err) < 0 || read_grants(secrets, err) < 0 ||
        add_bootstrap(secrets, err) < 0 || start_aws(secrets, err) < 0 ||
        start_vault(secrets, err) < 0 || follow_access(secrets, err) < 0)
        return -1;
    secrets->parameters = parameters_new(&(struct parameters_conf){.loop = svc->loop,
                                                                   .from_aws = from_aws,
                                                                   .vault = secrets->vault,
                                                                   .aws = secrets->aws,
                                                                   .grants = &secrets->granted});
    open_store(secrets);
    rest_secret_routes(secrets);
    return 0;
}

void secrets_free(struct secrets *secrets)
{
    if (!secrets)
        return;
    parameters_free(secrets->parameters);
    vault_free(secrets->vault);
    aws_free(secrets->aws);
    bus_follower_free(secrets->follower);
    auth_free(secrets->auth);
    free(secrets->grants);
    free(secrets->dir);
    free(secrets);
}
