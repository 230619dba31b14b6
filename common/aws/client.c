#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "base/mem.h"

#define TRIES_DEFAULT 6

static const struct {
    const char *name, *title, *variable;
} services[AWS_SERVICE_COUNT] = {
    [AWS_S3] = {"s3", "S3", "AWS_ENDPOINT_URL_S3"},
    [AWS_SSM] = {"ssm", "SSM", "AWS_ENDPOINT_URL_SSM"},
    [AWS_SECRETS_MANAGER] = {"secretsmanager", "Secrets Manager",
                             "AWS_ENDPOINT_URL_SECRETS_MANAGER"},
    [AWS_KMS] = {"kms", "KMS", "AWS_ENDPOINT_URL_KMS"},
    [AWS_STS] = {"sts", "STS", "AWS_ENDPOINT_URL_STS"},
};

const char *aws_service_name(enum aws_service service)
{
    return services[service].name;
}

const char *aws_service_title(enum aws_service service)
{
    return services[service].title;
}

/* The first that is given: a setting, then variables; NULL: none. */
static char *first_of(const char *setting, const char *variable, const char *other)
{
    const char *value = setting;

    if (str_empty(value))
        value = getenv(variable);
    if (str_empty(value) && other)
        value = getenv(other);
    return str_empty(value) ? NULL : mem_strdup(value);
}

static int check_region(const char *region, struct err *err)
{
    if (!region)
        return err_set(err, ERR_INVALID,
                       "AWS needs a region: give it in the settings or as AWS_REGION");
    for (const char *c = region; *c; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-'))
            return err_set(err, ERR_INVALID, "'%s' is no AWS region (like eu-central-1)", region);
    }
    return 0;
}

static int find_endpoints(struct aws *aws, const struct aws_conf *conf, struct err *err)
{
    char *of_profile = profile_value(aws->profile, false, "endpoint_url");
    int rc = 0;

    for (size_t i = 0; i < AWS_SERVICE_COUNT && rc == 0; i++) {
        char *url = first_of(conf->endpoint_url, services[i].variable, "AWS_ENDPOINT_URL");
        if (!url)
            url = mem_strdup(of_profile);
        aws->endpoints[i] = url;
        if (!url)
            continue;
        if (!str_starts(url, "http://") && !str_starts(url, "https://"))
            rc = err_set(err, ERR_INVALID, "the AWS endpoint '%s' is no http or https URL", url);
        for (size_t len = strlen(url); len > 0 && url[len - 1] == '/'; len--)
            url[len - 1] = '\0';
    }
    free(of_profile);
    return rc;
}

int aws_new(struct aws **out, struct loop *loop, const struct aws_conf *conf, struct err *err)
{
    struct aws *aws = mem_alloc(sizeof(*aws));

    aws->loop = loop;
    aws->http = http_client_new(loop);
    LIST_INIT(&aws->calls);
    aws->tries = conf->tries ? conf->tries : TRIES_DEFAULT;
    aws->profile = first_of(conf->profile, "AWS_PROFILE", NULL);
    if (!aws->profile)
        aws->profile = mem_strdup("default");
    aws->ca_file = first_of(conf->ca_file, "AWS_CA_BUNDLE", NULL);
    aws->region = first_of(conf->region, "AWS_REGION", "AWS_DEFAULT_REGION");
    if (!aws->region)
        aws->region = profile_value(aws->profile, false, "region");
    if (check_region(aws->region, err) < 0 || find_endpoints(aws, conf, err) < 0) {
        aws_free(aws);
        return -1;
    }
    aws->source = keys_find(aws);
    *out = aws;
    return 0;
}

void aws_free(struct aws *aws)
{
    if (!aws)
        return;
    while (!LIST_EMPTY(&aws->calls))
        aws_call_cancel(LIST_FIRST(&aws->calls));
    keys_cancel(aws);
    http_client_free(aws->http);
    keys_release(&aws->keys);
    for (size_t i = 0; i < AWS_SERVICE_COUNT; i++)
        free(aws->endpoints[i]);
    free(aws->region);
    free(aws->profile);
    free(aws->ca_file);
    free(aws);
}

const char *aws_region(const struct aws *aws)
{
    return aws->region;
}

char *aws_base_url(const struct aws *aws, enum aws_service service)
{
    if (aws->endpoints[service])
        return mem_strdup(aws->endpoints[service]);
    return mem_printf("https://%s.%s.amazonaws.com%s", services[service].name, aws->region,
                      str_starts(aws->region, "cn-") ? ".cn" : "");
}
