#include <string.h>

#include "base/mem.h"
#include "buildah/docker.h"

const char *docker_name(const char *name)
{
    static const char *const prefixes[] = {"localhost/", "docker.io/library/", "docker.io/"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        if (str_starts(name, prefixes[i]))
            return name + strlen(prefixes[i]);
    }
    return name;
}

/* Where ":TAG" or "@DIGEST" begins; the end where neither is. */
static size_t name_end(const char *name)
{
    size_t at = strcspn(name, "@");
    size_t slash = at;
    while (slash > 0 && name[slash - 1] != '/')
        slash--;
    size_t colon = slash + strcspn(name + slash, ":@");
    return colon < at ? colon : at;
}

char *docker_repository(const char *name)
{
    return mem_strndup(name, name_end(name));
}

const char *docker_tag(const char *name)
{
    const char *rest = name + name_end(name);
    return *rest == ':' ? rest + 1 : "latest";
}

char *docker_registry(const char *server)
{
    if (str_empty(server))
        return mem_strdup("docker.io");
    const char *scheme = strstr(server, "://");
    const char *host = scheme ? scheme + 3 : server;
    char *out = mem_strndup(host, strcspn(host, "/"));
    if (str_eq(out, "index.docker.io") || str_eq(out, "registry-1.docker.io")) {
        free(out);
        return mem_strdup("docker.io");
    }
    return out;
}
