/* Git LFS pointers: docs/spec.md of git-lfs, "The Pointer". */
#include <string.h>

#include "base/str.h"
#include "git/checkout.h"

#define VERSION "version https://git-lfs.github.com/spec/v1\n"
#define OID     "oid sha256:"
#define SIZE    "size "
#define OID_LEN 64

/* One with extensions (`ext-...` lines) is none for us: its content is another program's to make.
 */
bool git_pointer_parse(struct git_pointer *out, const char *data, size_t len)
{
    char text[GIT_POINTER_MAX + 1];

    if (len > GIT_POINTER_MAX || memchr(data, '\0', len))
        return false;
    memcpy(text, data, len);
    text[len] = '\0';
    if (!str_starts(text, VERSION OID))
        return false;
    memset(out, 0, sizeof(*out));
    const char *oid = text + strlen(VERSION OID);
    if (strspn(oid, "0123456789abcdef") != OID_LEN || oid[OID_LEN] != '\n' ||
        !str_starts(oid + OID_LEN + 1, SIZE))
        return false;
    memcpy(out->oid, oid, OID_LEN);
    char *size = text + (oid - text) + OID_LEN + 1 + strlen(SIZE);
    const size_t digits = strspn(size, "0123456789");
    if (digits == 0 || size[digits] != '\n' || size[digits + 1] != '\0')
        return false;
    size[digits] = '\0';
    return str_to_u64(size, &out->size) == 0;
}
