/* The builder's logins to registries (builder.registry-login), as the engine is told them. */
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"
#include "build/docker_place.h"
#include "oci/oci.h"

#define DOCKER_IO "docker.io"
#define INDEX     "https://index.docker.io/v1/" /* its name to the engine */

static void wipe(char *text, size_t len)
{
    if (text)
        mem_wipe(text, len);
    free(text);
}

int docker_login_of(const struct docker_driver *driver, const char *host, struct docker_login *out,
                    struct err *err)
{
    struct err why = {0};
    char *encoded = oci_login(driver->secrets_dir, driver->login, host, &why);
    uint8_t *plain = NULL;
    size_t len = 0;
    *out = (struct docker_login){0};
    if (encoded && base64_decode(encoded, strlen(encoded), &plain, &len) == 0) {
        char *user = mem_strndup((const char *)plain, len);
        char *colon = strchr(user, ':');
        if (colon) {
            *colon = '\0';
            *out = (struct docker_login){.user = user,
                                         .password = colon + 1,
                                         .registry =
                                             mem_strdup(str_eq(host, DOCKER_IO) ? INDEX : host)};
        } else {
            wipe(user, len);
        }
    }
    wipe((char *)plain, len);
    wipe(encoded, encoded ? strlen(encoded) : 0);
    if (why.code != ERR_NONE)
        *err = why;
    return why.code == ERR_NONE ? 0 : -1;
}

void docker_login_release(struct docker_login *login)
{
    if (login->password)
        mem_wipe((char *)login->password, strlen(login->password));
    free((char *)login->user);
    free((char *)login->registry);
    *login = (struct docker_login){0};
}

int docker_logins_all(const struct docker_driver *driver, struct docker_login **out, size_t *count,
                      struct err *err)
{
    struct strv hosts = {0};
    int rc = oci_login_hosts(driver->secrets_dir, driver->login, &hosts, err);
    *count = 0;
    *out = mem_alloc((hosts.count + 1) * sizeof(**out));
    for (size_t i = 0; i < hosts.count && rc == 0; i++) {
        rc = docker_login_of(driver, hosts.items[i], &(*out)[*count], err);
        *count += rc == 0 && (*out)[*count].user;
    }
    strv_release(&hosts);
    return rc;
}

void docker_logins_release(struct docker_login *logins, size_t count)
{
    for (size_t i = 0; i < count; i++)
        docker_login_release(&logins[i]);
    free(logins);
}
