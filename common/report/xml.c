#include "report/xml.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "xml/xml.h"

#define TEXT_MAX  (4 * TEXT_KEEP_MAX)
#define SHOWN(of) text_shown(xml->in->report, of).text

struct xml {
    struct xml_parser *parser; /* while it calls */
    struct reading *in;
    const struct xml_reader *reader;
    void *state;
    struct buf text;
    size_t collecting; /* the depth of the element whose text is kept; 0: none's */
};

void *xml_state(const struct xml *xml)
{
    return xml->state;
}

struct reading *xml_in(const struct xml *xml)
{
    return xml->in;
}

size_t xml_depth(const struct xml *xml)
{
    return xml_parser_depth(xml->parser);
}

const char *xml_parent(const struct xml *xml)
{
    return xml_parser_element(xml->parser, xml_depth(xml) - 1);
}

bool xml_is(const char *name, const char *other)
{
    return strcmp(name, other) == 0;
}

void xml_collect(struct xml *xml)
{
    buf_reset(&xml->text);
    xml->collecting = xml_depth(xml);
}

const char *xml_text(const struct xml *xml)
{
    return xml->collecting == xml_depth(xml) ? buf_cstr(&xml->text) : "";
}

/* ---- failing ---- */

void xml_fail(struct xml *xml, enum err_code code, const char *fmt, ...)
{
    struct xml_refusal why;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why.reason, sizeof(why.reason), fmt, ap);
    va_end(ap);
    xml_refuse(xml->parser, code, "%s", why.reason);
}

void xml_fail_err(struct xml *xml)
{
    xml_refuse(xml->parser, xml->in->err->code, "%s", xml->in->err->msg);
}

/* ---- attributes ---- */

const char *xml_attribute(const char *const *attributes, const char *name)
{
    for (; attributes[0]; attributes += 2) {
        if (strcmp(attributes[0], name) == 0)
            return attributes[1];
    }
    return NULL;
}

bool xml_number_or_0(struct xml *xml, const char *const *attributes, const char *name,
                     uint64_t *out)
{
    const char *text = xml_attribute(attributes, name);

    *out = 0;
    if (!text || str_to_u64(text, out) == 0)
        return true;
    xml_fail(xml, ERR_INVALID, "<%s> has %s=\"%s\", which is no count",
             xml_parser_element(xml->parser, xml_depth(xml)), name, SHOWN(text));
    return false;
}

bool xml_number(struct xml *xml, const char *const *attributes, const char *name, uint64_t *out)
{
    if (xml_attribute(attributes, name))
        return xml_number_or_0(xml, attributes, name, out);
    xml_fail(xml, ERR_INVALID, "<%s> has no %s", xml_parser_element(xml->parser, xml_depth(xml)),
             name);
    return false;
}

/* ---- what the parser calls ---- */

/* Of another format whose root this is, as a hint. */
static const char *format_with_root(const char *root)
{
    static const char *const roots[][2] = {
        {"testsuites", "JUNITXML"},      {"testsuite", "JUNITXML"},
        {"test-results", "NUNITXML"},    {"test-run", "NUNIT3XML"},
        {"testng-results", "TESTNGXML"}, {"TestRun", "VISUALSTUDIOTRX"},
        {"report", "JACOCOXML"},         {"coverage", "CLOVERXML or COBERTURAXML"},
    };

    for (size_t i = 0; i < sizeof(roots) / sizeof(*roots); i++) {
        if (strcmp(roots[i][0], root) == 0)
            return roots[i][1];
    }
    return NULL;
}

static bool root_fits(struct xml *xml, const char *name)
{
    char wanted[128] = "";
    const char *other = format_with_root(name);

    for (const char *const *root = xml->reader->roots; *root; root++) {
        if (strcmp(*root, name) == 0)
            return true;
        snprintf(wanted + strlen(wanted), sizeof(wanted) - strlen(wanted), "%s<%s>",
                 root == xml->reader->roots ? "" : " or ", *root);
    }
    xml_fail(xml, ERR_INVALID, "begins with <%s>, where %s expects %s%s%s", SHOWN(name),
             report_format_name(xml->in->report->format), wanted,
             other ? "; file-format for it is " : "", other ? other : "");
    return false;
}

static void on_open(struct xml_parser *parser, const char *name, const char *const *attributes,
                    void *arg)
{
    struct xml *xml = arg;

    xml->parser = parser;
    if (xml_depth(xml) > 1 || root_fits(xml, name))
        xml->reader->open(xml, name, attributes);
}

static void on_close(struct xml_parser *parser, const char *name, void *arg)
{
    struct xml *xml = arg;

    xml->parser = parser;
    xml->reader->close(xml, name);
    if (xml->collecting == xml_depth(xml)) {
        xml->collecting = 0;
        buf_reset(&xml->text);
    }
}

static void on_text(struct xml_parser *parser, const char *text, size_t len, void *arg)
{
    struct xml *xml = arg;
    size_t room = TEXT_MAX - xml->text.len;

    (void)parser;
    if (!xml->collecting)
        return;
    if (len > room) {
        for (len = room; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
            ;
    }
    buf_add(&xml->text, text, len);
}

static struct xml_shown shown(const char *text, void *arg)
{
    const struct xml *xml = arg;
    struct xml_shown out;

    snprintf(out.text, sizeof(out.text), "%s", SHOWN(text));
    return out;
}

int xml_read(struct reading *in, const struct xml_reader *reader, void *state)
{
    struct xml xml = {.in = in, .reader = reader, .state = state};
    struct xml_refusal why;
    const struct xml_conf conf = {.depth = in->limits.depth,
                                  .attribute = in->limits.attribute,
                                  .open = on_open,
                                  .close = on_close,
                                  .text = on_text,
                                  .shown = shown,
                                  .arg = &xml};

    buf_init(&xml.text, TEXT_MAX);
    int rc = xml_parse(&conf, in->bytes, in->len, &why);
    if (rc != 0)
        err_set(in->err, why.code, "%s:%lu: %s", in->name, why.line, why.reason);
    buf_release(&xml.text);
    return rc;
}
