#include "aws/xml.h"

#include <expat.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

#define DEPTH_MAX  16
#define PATH_LIMIT 1024
#define TEXT_LIMIT (64 * 1024)

struct walk {
    XML_Parser parser;
    struct buf path, text;
    unsigned depth;
    const char *refusal; /* NULL: none */
    bool ended;          /* by the callback */
    xml_element_fn *element;
    void *arg;
};

static void refuse(struct walk *walk, const char *why)
{
    walk->refusal = why;
    XML_StopParser(walk->parser, XML_FALSE);
}

static void on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct walk *walk = arg;

    (void)attributes;
    if (++walk->depth > DEPTH_MAX || (walk->path.len > 0 && buf_addc(&walk->path, '/') < 0) ||
        buf_adds(&walk->path, name) < 0)
        refuse(walk, "its elements are too deep");
    buf_reset(&walk->text);
}

static void on_end(void *arg, const XML_Char *name)
{
    struct walk *walk = arg;
    const size_t len = strlen(name);

    if (walk->refusal || walk->ended)
        return;
    if (walk->element(buf_cstr(&walk->path), buf_cstr(&walk->text), walk->arg) != 0) {
        walk->ended = true;
        XML_StopParser(walk->parser, XML_FALSE);
        return;
    }
    walk->depth--;
    walk->path.len -= walk->path.len > len ? len + 1 : len;
    walk->path.data[walk->path.len] = '\0';
    buf_reset(&walk->text);
}

static void on_text(void *arg, const XML_Char *text, int len)
{
    struct walk *walk = arg;

    if (buf_add(&walk->text, text, (size_t)len) < 0 && !walk->refusal)
        refuse(walk, "one of its texts is too long");
}

static void on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                       const XML_Char *public, int has_subset)
{
    (void)name;
    (void)system;
    (void)public;
    (void)has_subset;
    refuse(arg, "it has a DOCTYPE");
}

int xml_walk(const char *data, size_t len, xml_element_fn *element, void *arg, struct err *err)
{
    struct walk walk = {.parser = XML_ParserCreate(NULL), .element = element, .arg = arg};
    int rc = 0;

    if (!walk.parser)
        return err_set(err, ERR_INTERNAL, "no memory to read XML");
    buf_init(&walk.path, PATH_LIMIT);
    buf_init(&walk.text, TEXT_LIMIT);
    XML_SetUserData(walk.parser, &walk);
    XML_SetElementHandler(walk.parser, on_start, on_end);
    XML_SetCharacterDataHandler(walk.parser, on_text);
    XML_SetStartDoctypeDeclHandler(walk.parser, on_doctype);
    if (len > INT32_MAX)
        rc = err_set(err, ERR_INVALID, "the XML is too long");
    else if (XML_Parse(walk.parser, data, (int)len, 1) != XML_STATUS_OK)
        rc = walk.ended     ? err_set(err, ERR_LIMIT, "the XML holds too much")
             : walk.refusal ? err_set(err, ERR_INVALID, "the XML is refused: %s", walk.refusal)
                            : err_set(err, ERR_INVALID, "not well-formed XML: line %lu: %s",
                                      XML_GetCurrentLineNumber(walk.parser),
                                      XML_ErrorString(XML_GetErrorCode(walk.parser)));
    XML_ParserFree(walk.parser);
    buf_release(&walk.path);
    if (walk.text.data)
        mem_wipe(walk.text.data, walk.text.cap); /* keys come as XML too */
    buf_release(&walk.text);
    return rc;
}
