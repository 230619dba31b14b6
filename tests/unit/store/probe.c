/* probe: the artifact store for tests that speak to a server of S3 (tests/e2e/test_store.py). One
 * call a run; AWS's settings come by its own variables. Exit 0 and the result on standard output,
 * or 1 and the error on standard error.
 *
 *   probe WHERE KMS-KEY put KEY FILE     probe WHERE KMS-KEY get KEY FILE LIMIT
 *   probe WHERE KMS-KEY head|delete KEY  probe WHERE KMS-KEY list PREFIX */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/aws.h"
#include "base/str.h"
#include "store/artifact_store.h"

#define WAIT_MS 300000

struct probe {
    bool done;
    int code;
};

static void on_done(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct probe *probe = arg;
    if (err->code != ERR_NONE)
        fprintf(stderr, "%s: %s\n", err_code_name(err->code), err->msg);
    for (size_t i = 0; i < answer->count; i++)
        printf("%s %llu\n", answer->objects[i].key, (unsigned long long)answer->objects[i].size);
    if (err->code == ERR_NONE && answer->size)
        printf("%llu\n", (unsigned long long)answer->size);
    probe->code = err->code == ERR_NONE ? 0 : 1;
    probe->done = true;
}

static int ask(struct artifact_store *store, char **words, struct probe *probe)
{
    const char *verb = words[0], *key = words[1];
    struct stat st;
    uint64_t limit = 0;
    if (str_eq(verb, "head"))
        artifact_head(store, key, on_done, probe);
    else if (str_eq(verb, "delete"))
        artifact_delete(store, key, on_done, probe);
    else if (str_eq(verb, "list"))
        artifact_list(store, key, on_done, probe);
    else {
        bool put = str_eq(verb, "put");
        int fd = open(words[2], put ? O_RDONLY : O_RDWR | O_CREAT | O_TRUNC, 0600);
        if (fd < 0 || fstat(fd, &st) != 0 || (!put && str_to_u64(words[3], &limit) < 0))
            return -1;
        if (put)
            artifact_put(store, key, fd, (uint64_t)st.st_size, on_done, probe);
        else
            artifact_get(store, key, fd, limit, on_done, probe);
        close(fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct probe probe = {.code = 1};
    struct artifact_store *store = NULL;
    struct aws *aws = NULL;
    struct err err = {0};
    if (argc < 5)
        return 2;
    struct loop *loop = loop_new(0);
    const struct aws_conf conf = {.tries = 2};
    if (aws_new(&aws, loop, &conf, &err) < 0 ||
        artifact_store_new(&store,
                           &(struct artifact_store_conf){
                               .loop = loop, .where = argv[1], .aws = aws, .kms_key = argv[2]},
                           &err) < 0)
        fprintf(stderr, "%s: %s\n", err_code_name(err.code), err.msg);
    else if (ask(store, argv + 3, &probe) == 0)
        loop_run_for(loop, WAIT_MS, &probe.done);
    artifact_store_free(store);
    aws_free(aws);
    loop_free(loop);
    return probe.code;
}
