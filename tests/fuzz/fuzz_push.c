/* A webhook's body from anybody who can sign: its payload as each forge's, its form, its URLs. The
 * first byte chooses the forge and the event. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "git/git.h"
#include "push.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct push push = {0};
    struct err err;
    size_t len = 0;

    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    const enum push_kind kind = data[0] & 0x80 ? PUSH_PULL_REQUEST : PUSH_REF;
    if (push_parse(&push, (enum forge)(1 + data[0] % 3), kind, text, size - 1, &err) == 0) {
        for (size_t i = 0; i < push.identities.count; i++) {
            if (!str_is_utf8(push.identities.items[i], strlen(push.identities.items[i])))
                abort();
        }
        if ((push.after[0] && !git_commit_is_name(push.after)) ||
            !str_is_utf8(push.subject, strlen(push.subject)) || !push.after[0] != !!push.nothing)
            abort();
        size_t bytes = 0;
        for (size_t i = 0; i < push.paths.count; i++) {
            bytes += strlen(push.paths.items[i]) + 1;
            if (!str_is_utf8(push.paths.items[i], strlen(push.paths.items[i])))
                abort();
        }
        if (push.paths.count > 1000 || bytes > 64 * 1024 ||
            (push.paths_complete && !push.people_complete))
            abort();
    }
    push_release(&push);
    free(push_form_payload(text, size - 1, &len));
    char *url = malloc(size);
    memcpy(url, text, size - 1);
    url[size - 1] = '\0';
    free(git_url_identity(url));
    free(url);
    return 0;
}
