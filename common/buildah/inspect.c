#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "buildah/docker.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

/* The entry of `buildah images --json` with this id. */
static const json_t *find(const json_t *images, const char *id)
{
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *image = json_array_get(images, i);
        const char *own = text_of(image, "id");
        if (str_eq(str_starts(own, "sha256:") ? own + strlen("sha256:") : own, id))
            return image;
    }
    return NULL;
}

static void add_once(json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (str_eq(json_string_value(json_array_get(list, i)), text))
            return;
    }
    json_array_append_new(list, json_string(text));
}

/* As it was pushed; else, of an image that came from a registry, as it came. */
static json_t *digests(const json_t *entry, const char *id, const char *digest, const char *pushed)
{
    json_t *list = json_array();
    struct strv lines = {0};
    size_t len = strlen(id);
    strv_split(&lines, pushed, '\n');
    for (size_t i = 0; i < lines.count; i++) {
        if (strncmp(lines.items[i], id, len) == 0 && lines.items[i][len] == ' ')
            add_once(list, docker_name(lines.items[i] + len + 1));
    }
    strv_release(&lines);
    const json_t *names = json_object_get(entry, "names");
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || str_starts(name, "localhost/") || str_empty(digest) || json_array_size(list))
            continue;
        char *repository = docker_repository(name);
        char *text = mem_printf("%s@%s", docker_name(repository), digest);
        add_once(list, text);
        free(text);
        free(repository);
    }
    return list;
}

static json_t *tags(const json_t *entry)
{
    json_t *list = json_array();
    const json_t *names = json_object_get(entry, "names");
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name && !strchr(name, '@'))
            add_once(list, docker_name(name));
    }
    return list;
}

static void copy(json_t *to, const char *name, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    json_object_set(to, name, value ? value : json_null());
}

static json_t *make(const json_t *image, const json_t *images, const char *pushed)
{
    const json_t *docker = json_object_get(image, "Docker");
    const char *id = text_of(image, "FromImageID");
    const json_t *entry = find(images, id);
    const json_t *rootfs = json_object_get(docker, "rootfs");
    json_t *out = json_object();
    char *full = mem_printf("sha256:%s", id);
    json_object_set_new(out, "Id", json_string(full));
    free(full);
    json_object_set_new(out, "RepoTags", tags(entry));
    json_object_set_new(out, "RepoDigests",
                        digests(entry, id, text_of(image, "FromImageDigest"), pushed));
    json_object_set_new(out, "Parent", json_string(""));
    json_object_set_new(out, "Comment", json_string(text_of(docker, "comment")));
    copy(out, "Created", docker, "created");
    json_object_set_new(out, "Author", json_string(text_of(docker, "author")));
    copy(out, "Config", docker, "config");
    copy(out, "Architecture", docker, "architecture");
    if (json_object_get(docker, "variant"))
        copy(out, "Variant", docker, "variant");
    copy(out, "Os", docker, "os");
    json_t *layers = json_object();
    copy(layers, "Type", rootfs, "type");
    copy(layers, "Layers", rootfs, "diff_ids");
    json_object_set_new(out, "RootFS", layers);
    return out;
}

int inspect_make(void **out, const struct buf *image_text, const struct buf *images_text,
                 const char *pushed, struct err *err)
{
    json_t *image = json_loadb(buf_cstr(image_text), image_text->len, 0, NULL);
    json_t *images = json_loadb(buf_cstr(images_text), images_text->len, 0, NULL);
    int rc = 0;
    if (json_is_object(image) && *text_of(image, "FromImageID") &&
        (json_is_array(images) || json_is_null(images)))
        *out = make(image, images, pushed);
    else
        rc = err_set(err, ERR_INVALID, "buildah describes the image in a way that is not known");
    json_decref(image);
    json_decref(images);
    return rc;
}

void inspect_free(void *json)
{
    json_decref(json);
}

void inspect_print(void *const *list, size_t count, struct buf *out)
{
    json_t *all = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append(all, list[i]);
    char *text = json_dumps(all, JSON_INDENT(4));
    buf_adds(out, text ? text : "[]");
    buf_addc(out, '\n');
    free(text);
    json_decref(all);
}
