/* A commit's .gitmodules as git prints it, the addresses in it, and a Git LFS pointer. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "git/checkout.h"
#include "git/git.h"
#include "git/modules.h"
#include "git/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const parents[] = {"https://h/acme/shop.git", "git@h:acme/shop.git",
                                          "file:///srv/git/shop"};
    struct git_modules modules = {0};
    struct git_pointer pointer;
    struct err err;

    git_pointer_parse(&pointer, (const char *)data, size);
    git_modules_parse(&modules, (const char *)data, size, &err);
    for (size_t i = 0; i < modules.count; i++) {
        const struct git_module *module = &modules.items[i];
        if (module->path && (module->path[0] == '/' || module->path[0] == '-' ||
                             strcmp(module->path, "..") == 0 || strstr(module->path, "/../")))
            abort();
        for (size_t p = 0; p < 3 && module->url; p++) {
            char *url = git_url_resolve(parents[p], module->url, &err);
            if (url && git_url_check(url, &err) != 0)
                abort();
            char *like = url ? git_url_like(parents[0], url) : NULL;
            if (like && git_url_check(like, &err) != 0)
                abort();
            free(like);
            free(url);
        }
    }
    git_modules_release(&modules);
    return 0;
}
