/* probe: common/aws for tests that speak to a server of AWS's interfaces (tests/e2e/test_aws.py).
 * One call a run; settings come by AWS's own variables. Exit 0 and the result on standard output,
 * or 1 and the error on standard error.
 *
 *   probe put BUCKET KEY TEXT [KMS-KEY]      probe upload BUCKET KEY FILE [KMS-KEY]
 *   probe get BUCKET KEY [FIRST COUNT]       probe download BUCKET KEY FILE
 *   probe head|delete BUCKET KEY             probe list BUCKET PREFIX
 *   probe parameters NAME...                 probe secret ID [STAGE [VERSION]]
 *   probe data-key KEY                       probe encrypt KEY TEXT | decrypt BASE64 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/kms.h"
#include "aws/s3.h"
#include "aws/secrets.h"
#include "base/hex.h"
#include "base/mem.h"
#include "base/str.h"

#define WAIT_MS 300000

struct probe {
    struct loop *loop;
    struct aws *aws;
    char **words;
    int count;
    struct http_file file;
    struct s3_list_opts list; /* goes on page by page */
    bool done;
    int code;
};

static const char *word(const struct probe *probe, int i)
{
    return i < probe->count ? probe->words[i] : NULL;
}

static void end(struct probe *probe, const struct err *err)
{
    if (err->code)
        fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->msg);
    probe->code = err->code ? 1 : 0;
    probe->done = true;
}

static void on_object(const struct s3_answer *answer, const struct err *err, void *arg)
{
    if (answer->data)
        fwrite(answer->data, 1, answer->len, stdout);
    else if (!err->code)
        printf("%llu %s\n", (unsigned long long)answer->size, answer->etag ? answer->etag : "");
    end(arg, err);
}

static void on_list(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct probe *probe = arg;

    for (size_t i = 0; i < answer->item_count; i++)
        printf("%s %llu\n", answer->items[i].key, (unsigned long long)answer->items[i].size);
    probe->list.next = answer->next;
    if (answer->next)
        s3_list(probe->aws, &probe->list, on_list, probe);
    else
        end(probe, err);
}

static void on_parameters(const struct ssm_parameter *parameters, size_t count,
                          const struct err *err, void *arg)
{
    for (size_t i = 0; i < count; i++)
        printf("%s=%s\n", parameters[i].name, parameters[i].value ? parameters[i].value : "(none)");
    end(arg, err);
}

static void on_secret(const struct secret_value *value, const struct err *err, void *arg)
{
    if (!err->code)
        printf("%s\n", (const char *)value->data);
    end(arg, err);
}

static void on_kms(const struct kms_answer *answer, const struct err *err, void *arg)
{
    char *sealed = base64_encode(answer->sealed, answer->sealed_len);
    char *plain = base64_encode(answer->plain, answer->plain_len);

    if (!err->code)
        printf("%s %s\n", plain, sealed);
    free(plain);
    free(sealed);
    end(arg, err);
}

static void open_file(struct probe *probe, const char *path, int flags)
{
    struct stat st;

    probe->file.fd = open(path, flags | O_CLOEXEC, 0600);
    if (probe->file.fd < 0 || fstat(probe->file.fd, &st) < 0) {
        perror(path);
        exit(2);
    }
    probe->file.size = flags & O_CREAT ? UINT64_MAX / 2 : (uint64_t)st.st_size;
}

static bool of_s3(struct probe *probe, const char *verb)
{
    const struct s3_object object = {word(probe, 0), word(probe, 1)};
    const struct s3_kind kind = {NULL, word(probe, 3)};
    struct s3_get_opts get = {.object = object};

    if (str_eq(verb, "put")) {
        s3_put(probe->aws,
               &(struct s3_put_opts){.object = object,
                                     .kind = kind,
                                     .data = word(probe, 2),
                                     .len = strlen(word(probe, 2))},
               on_object, probe);
    } else if (str_eq(verb, "upload")) {
        open_file(probe, word(probe, 2), O_RDONLY);
        s3_upload(
            probe->aws,
            &(struct s3_upload_opts){
                .object = object, .kind = kind, .file = probe->file, .part_size = S3_PART_MIN},
            on_object, probe);
    } else if (str_eq(verb, "get")) {
        if (probe->count > 3) {
            str_to_u64(word(probe, 2), &get.first);
            str_to_u64(word(probe, 3), &get.count);
        }
        s3_get(probe->aws, &get, on_object, probe);
    } else if (str_eq(verb, "download")) {
        open_file(probe, word(probe, 2), O_RDWR | O_CREAT | O_TRUNC);
        get.file = &probe->file;
        s3_get(probe->aws, &get, on_object, probe);
    } else if (str_eq(verb, "head")) {
        s3_head(probe->aws, &object, on_object, probe);
    } else if (str_eq(verb, "delete")) {
        s3_delete(probe->aws, &object, on_object, probe);
    } else if (str_eq(verb, "list")) {
        probe->list =
            (struct s3_list_opts){.bucket = object.bucket, .prefix = object.key, .count = 2};
        s3_list(probe->aws, &probe->list, on_list, probe);
    } else {
        return false;
    }
    return true;
}

static bool of_others(struct probe *probe, const char *verb)
{
    static const struct kms_context context[] = {{"purpose", "test"}, {NULL, NULL}};
    uint8_t *sealed = NULL;
    size_t len = 0;

    if (str_eq(verb, "parameters")) {
        ssm_get(probe->aws, (const char *const *)probe->words, (size_t)probe->count, on_parameters,
                probe);
    } else if (str_eq(verb, "secret")) {
        secrets_manager_get(probe->aws, word(probe, 0), word(probe, 1), word(probe, 2), on_secret,
                            probe);
    } else if (str_eq(verb, "data-key")) {
        kms_data_key(probe->aws, word(probe, 0), context, on_kms, probe);
    } else if (str_eq(verb, "encrypt")) {
        kms_encrypt(probe->aws, word(probe, 0), word(probe, 1), strlen(word(probe, 1)), context,
                    on_kms, probe);
    } else if (str_eq(verb, "decrypt") &&
               base64_decode(word(probe, 0), strlen(word(probe, 0)), &sealed, &len) == 0) {
        kms_decrypt(probe->aws, NULL, sealed, len, context, on_kms, probe);
        free(sealed);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct probe probe = {.words = argv + 2, .count = argc - 2, .code = 2};
    struct err err;

    if (argc < 3)
        return 2;
    probe.loop = loop_new(0);
    if (aws_new(&probe.aws, probe.loop, &(struct aws_conf){0}, &err) < 0)
        end(&probe, &err);
    else if (of_s3(&probe, argv[1]) || of_others(&probe, argv[1]))
        loop_run_for(probe.loop, WAIT_MS, &probe.done);
    aws_free(probe.aws);
    loop_free(probe.loop);
    return probe.code;
}
