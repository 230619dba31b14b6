/* The settings of the driver kubernetes, and its start. */
#include "kubernetes/kubernetes.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "builder.h"

#define START_MIN_MS 1000

/* A label's name may have a prefix, its value may be empty (Kubernetes, "Labels and selectors"). */
static bool is_label_value(const char *s)
{
    const size_t len = strlen(s);
    return len <= 63 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

static bool is_label_name(const char *s)
{
    const char *slash = strchr(s, '/');
    if (slash && (slash == s || slash - s > 253))
        return false;
    const char *name = slash ? slash + 1 : s;
    return *name && is_label_value(name);
}

int kubernetes_check(const struct builder_conf *conf, struct err *err)
{
    const struct kubernetes_settings *settings = &conf->kubernetes;
    if (str_eq(conf->network, "none"))
        return err_set(err, ERR_INVALID,
                       "builder.network is 'none', which the driver kubernetes cannot see to: use "
                       "host, and a NetworkPolicy in the cluster");
    if (settings->start_ms < START_MIN_MS)
        return err_set(err, ERR_INVALID, "builder.kubernetes.start-timeout must be 1s or more");
    for (size_t i = 0; i < settings->node_selector.count; i++) {
        const struct conf_pair *pair = &settings->node_selector.pairs[i];
        if (pair->values.count != 1 || !is_label_name(pair->key) ||
            !is_label_value(pair->values.items[0]))
            return err_set(err, ERR_INVALID,
                           "builder.kubernetes.node-selector: '%s' is no label and its value",
                           pair->key);
    }
    return 0;
}

int kubernetes_start(struct builder *b, struct err *err)
{
    const struct kubernetes_settings *settings = &b->conf->kubernetes;
    const struct kubernetes_conf cluster = {.loop = b->svc->loop,
                                            .server = settings->server,
                                            .ca_file = settings->ca_file,
                                            .token_file = settings->token_file,
                                            .namespace = settings->namespace};
    struct strv selector = {0};
    svc_ready(b->svc, "kubernetes", false, "the API server has not answered yet");
    if (kubernetes_new(&b->kubernetes, &cluster, err) < 0)
        return err_wrap(err, "builder.kubernetes");
    for (size_t i = 0; i < settings->node_selector.count; i++)
        strv_addf(&selector, "%s=%s", settings->node_selector.pairs[i].key,
                  settings->node_selector.pairs[i].values.items[0]);
    char *dir = mem_printf("%s/kubernetes", b->dir);
    const struct build_kubernetes conf = {.loop = b->svc->loop,
                                          .kubernetes = b->kubernetes,
                                          .server = b->svc->http,
                                          .url = settings->url,
                                          .ca_file = settings->url_ca,
                                          .dir = dir,
                                          .builder = b->svc->conf.instance_id,
                                          .image = settings->image,
                                          .service_account = settings->service_account,
                                          .node_selector = &selector,
                                          .user = settings->user,
                                          .start_ms = settings->start_ms,
                                          .on_state = driver_state,
                                          .arg = b};
    int rc = build_driver_kubernetes(&b->driver, &conf, err);
    b->means = "Kubernetes' limits of a container";
    strv_release(&selector);
    free(dir);
    return rc;
}
