#include "aws/xml.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "xml/xml.h"

#define DEPTH_MAX  16
#define PATH_LIMIT 1024
#define TEXT_LIMIT (64 * 1024)

struct walk {
    struct buf path, text;
    xml_element_fn *element;
    void *arg;
};

static void on_open(struct xml_parser *parser, const char *name, const char *const *attributes,
                    void *arg)
{
    struct walk *walk = arg;

    (void)attributes;
    if ((walk->path.len > 0 && buf_addc(&walk->path, '/') < 0) || buf_adds(&walk->path, name) < 0)
        xml_refuse(parser, ERR_INVALID, "its elements are too deep");
    buf_reset(&walk->text);
}

static void on_close(struct xml_parser *parser, const char *name, void *arg)
{
    struct walk *walk = arg;
    const size_t len = strlen(name);

    if (walk->element(buf_cstr(&walk->path), buf_cstr(&walk->text), walk->arg) != 0) {
        xml_refuse(parser, ERR_LIMIT, "it holds too much");
        return;
    }
    walk->path.len -= walk->path.len > len ? len + 1 : len;
    walk->path.data[walk->path.len] = '\0';
    buf_reset(&walk->text);
}

static void on_text(struct xml_parser *parser, const char *text, size_t len, void *arg)
{
    struct walk *walk = arg;

    if (buf_add(&walk->text, text, len) < 0)
        xml_refuse(parser, ERR_INVALID, "one of its texts is too long");
}

int xml_walk(const char *data, size_t len, xml_element_fn *element, void *arg, struct err *err)
{
    struct walk walk = {.element = element, .arg = arg};
    struct xml_refusal why;
    const struct xml_conf conf = {.depth = DEPTH_MAX,
                                  .attribute = TEXT_LIMIT,
                                  .no_doctype = true,
                                  .open = on_open,
                                  .close = on_close,
                                  .text = on_text,
                                  .arg = &walk};

    buf_init(&walk.path, PATH_LIMIT);
    buf_init(&walk.text, TEXT_LIMIT);
    int rc = xml_parse(&conf, data, len, &why);
    if (rc != 0)
        err_set(err, why.code, "the XML is refused: line %lu: %s", why.line, why.reason);
    buf_release(&walk.path);
    if (walk.text.data)
        mem_wipe(walk.text.data, walk.text.cap); /* keys come as XML too */
    buf_release(&walk.text);
    return rc;
}
