/* DESIGN: libexpat is bounded where it is not by itself. What makes a small document large is
 * refused where it is declared: an internal subset of a document type may hold entities, an
 * external one is not fetched, and then no entity but XML's own five has a meaning. A tag is
 * scanned from its beginning again for each piece of the document that it reaches into, and held
 * whole: so pieces are large, and a tag that does not end within two of them is refused. Each name
 * stays in memory until the end: no format has more than some dozens, and a document with thousands
 * is refused. */
#include "report/xml.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

#define NAME_SIZE  48 /* of a name that any format knows */
#define TEXT_MAX   (4 * TEXT_KEEP_MAX)
#define REASON_MAX 512
#define PIECE_SIZE ((size_t)1024 * 1024)
#define NAMES_MAX  2000 /* different ones, of elements and attributes */
#define CACHE_SIZE 256
#define SHOWN(of)  text_shown(xml->in->report, of).text

struct xml {
    XML_Parser parser;
    struct reading *in;
    const struct xml_reader *reader;
    void *state;
    size_t depth;
    char (*names)[NAME_SIZE]; /* names[0]: the root's */
    struct buf text;
    size_t collecting; /* the depth of the element whose text is kept; 0: none's */
    bool failed;

    struct map *known;                 /* names seen so far */
    char cache[CACHE_SIZE][NAME_SIZE]; /* some of them */
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
    return xml->depth;
}

const char *xml_parent(const struct xml *xml)
{
    return xml->depth > 1 ? xml->names[xml->depth - 2] : "";
}

bool xml_is(const char *name, const char *other)
{
    return strcmp(name, other) == 0;
}

void xml_collect(struct xml *xml)
{
    buf_reset(&xml->text);
    xml->collecting = xml->depth;
}

const char *xml_text(const struct xml *xml)
{
    return xml->collecting == xml->depth ? buf_cstr(&xml->text) : "";
}

/* ---- failing ---- */

static void stop(struct xml *xml)
{
    xml->failed = true;
    XML_StopParser(xml->parser, XML_FALSE);
}

static void put_reason(struct xml *xml, enum err_code code, const char *reason)
{
    err_set(xml->in->err, code, "%s:%lu: %s", xml->in->name,
            (unsigned long)XML_GetCurrentLineNumber(xml->parser), reason);
}

void xml_fail(struct xml *xml, enum err_code code, const char *fmt, ...)
{
    char reason[REASON_MAX];
    va_list ap;

    if (xml->failed)
        return;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    put_reason(xml, code, reason);
    stop(xml);
}

void xml_fail_err(struct xml *xml)
{
    struct err *err = xml->in->err;

    if (xml->failed)
        return;
    err_wrap(err, "%s:%lu", xml->in->name, (unsigned long)XML_GetCurrentLineNumber(xml->parser));
    stop(xml);
}

/* ---- attributes ---- */

static const char *local(const char *name)
{
    const char *colon = strchr(name, ':');

    return colon ? colon + 1 : name;
}

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
    xml_fail(xml, ERR_INVALID, "<%s> has %s=\"%s\", which is no count", xml->names[xml->depth - 1],
             name, SHOWN(text));
    return false;
}

bool xml_number(struct xml *xml, const char *const *attributes, const char *name, uint64_t *out)
{
    if (xml_attribute(attributes, name))
        return xml_number_or_0(xml, attributes, name, out);
    xml_fail(xml, ERR_INVALID, "<%s> has no %s", xml->names[xml->depth - 1], name);
    return false;
}

/* ---- what expat calls ---- */

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

/* False, having failed: too many different names. */
static bool know(struct xml *xml, const char *name)
{
    unsigned hash = 0;

    for (const char *p = name; *p; p++)
        hash = hash * 31 + (unsigned char)*p;
    char *cached = xml->cache[hash % CACHE_SIZE];
    if (strcmp(cached, name) == 0)
        return true;
    snprintf(cached, NAME_SIZE, "%s", name);
    if (map_get(xml->known, name))
        return true;
    if (map_count(xml->known) == NAMES_MAX) {
        xml_fail(xml, ERR_LIMIT, "has more than %d different names of elements and attributes",
                 NAMES_MAX);
        return false;
    }
    map_set(xml->known, name, xml);
    return true;
}

static bool check_attributes(struct xml *xml, const char *name, const XML_Char **attributes)
{
    size_t max = xml->in->limits.attribute;

    for (const XML_Char **a = attributes; a[0]; a += 2) {
        if (!know(xml, a[0]))
            return false;
        if (strlen(a[1]) > max) {
            xml_fail(xml, ERR_LIMIT, "<%s> has %zu bytes in %s, more than %zu", SHOWN(name),
                     strlen(a[1]), SHOWN(a[0]), max);
            return false;
        }
    }
    return true;
}

static void XMLCALL on_open(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct xml *xml = arg;

    if (xml->failed || !know(xml, name))
        return;
    name = local(name);
    if (xml->depth == xml->in->limits.depth) {
        xml_fail(xml, ERR_LIMIT, "elements stand more than %zu deep", xml->in->limits.depth);
        return;
    }
    if (!check_attributes(xml, name, attributes))
        return;
    snprintf(xml->names[xml->depth++], NAME_SIZE, "%s", name);
    if (xml->depth == 1 && !root_fits(xml, name))
        return;
    xml->reader->open(xml, name, (const char *const *)attributes);
}

static void XMLCALL on_close(void *arg, const XML_Char *name)
{
    struct xml *xml = arg;

    if (xml->failed)
        return;
    xml->reader->close(xml, local(name));
    if (xml->collecting == xml->depth) {
        xml->collecting = 0;
        buf_reset(&xml->text);
    }
    xml->depth--;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
    struct xml *xml = arg;
    size_t room = TEXT_MAX - xml->text.len, n = (size_t)len;

    if (!xml->collecting || xml->failed)
        return;
    if (n > room) {
        for (n = room; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80; n--)
            ;
    }
    buf_add(&xml->text, text, n);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    (void)name;
    (void)system_id;
    (void)public_id;
    if (has_internal_subset)
        xml_fail(arg, ERR_INVALID,
                 "its document type declares something, which is refused: it "
                 "could be entities that grow without end");
}

static void XMLCALL on_entity(void *arg, const XML_Char *name, int is_parameter_entity)
{
    (void)is_parameter_entity;
    struct xml *xml = arg;
    xml_fail(xml, ERR_INVALID, "the entity &%s; is not known", SHOWN(name));
}

/* What Windows tools name that expat does not know itself. */
static int XMLCALL on_encoding(void *arg, const XML_Char *name, XML_Encoding *out)
{
    static const int high[32] = {0x20ac, -1,     0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, -1,     0x017d, -1,
                                 -1,     0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, -1,     0x017e, 0x0178};
    struct xml *xml = arg;

    if (strcasecmp(name, "windows-1252") != 0 && strcasecmp(name, "cp1252") != 0) {
        xml_fail(xml, ERR_INVALID, "the encoding %s is not supported: write UTF-8", SHOWN(name));
        return XML_STATUS_ERROR;
    }
    for (int i = 0; i < 256; i++)
        out->map[i] = i >= 0x80 && i < 0xa0 ? high[i - 0x80] : i;
    out->data = NULL;
    out->convert = NULL;
    out->release = NULL;
    return XML_STATUS_OK;
}

/* Where the document was not read to its end. */
static void put_syntax(struct xml *xml)
{
    enum XML_Error code = XML_GetErrorCode(xml->parser);
    char reason[REASON_MAX];

    switch (code) {
    case XML_ERROR_NO_ELEMENTS:
    case XML_ERROR_UNCLOSED_TOKEN:
    case XML_ERROR_PARTIAL_CHAR:
    case XML_ERROR_UNCLOSED_CDATA_SECTION:
        if (xml->depth)
            snprintf(reason, sizeof(reason),
                     "ends in the middle, inside <%s>: it was not written to its end",
                     xml->names[xml->depth - 1]);
        else
            snprintf(reason, sizeof(reason), "ends before its first element");
        break;
    case XML_ERROR_NO_MEMORY:
        put_reason(xml, ERR_LIMIT, "is too much for the XML parser");
        return;
    default:
        snprintf(reason, sizeof(reason), "is not XML: %s", XML_ErrorString(code));
    }
    put_reason(xml, ERR_INVALID, reason);
}

static int parse(struct xml *xml)
{
    const struct reading *in = xml->in;
    size_t given = 0;

    while (given < in->len) {
        size_t len = in->len - given < PIECE_SIZE ? in->len - given : PIECE_SIZE;
        bool last = given + len == in->len;
        if (XML_Parse(xml->parser, in->bytes + given, (int)len, last) != XML_STATUS_OK) {
            if (!xml->failed)
                put_syntax(xml);
            return -1;
        }
        given += len;
        XML_Index at = XML_GetCurrentByteIndex(xml->parser);
        if (!last && at >= 0 && given - (size_t)at > 2 * PIECE_SIZE) {
            put_reason(xml, ERR_LIMIT, "has a tag or comment of more than 2 MiB");
            return -1;
        }
    }
    return 0;
}

int xml_read(struct reading *in, const struct xml_reader *reader, void *state)
{
    struct xml xml = {.in = in, .reader = reader, .state = state};
    int rc;

    xml.parser = XML_ParserCreate(NULL);
    if (!xml.parser)
        return err_set(in->err, ERR_INTERNAL, "%s: no memory for an XML parser", in->name);
    xml.names = mem_alloc(in->limits.depth * sizeof(*xml.names));
    buf_init(&xml.text, TEXT_MAX);
    xml.known = map_new(NULL);
    XML_SetUserData(xml.parser, &xml);
    XML_SetElementHandler(xml.parser, on_open, on_close);
    XML_SetCharacterDataHandler(xml.parser, on_text);
    XML_SetStartDoctypeDeclHandler(xml.parser, on_doctype);
    XML_SetSkippedEntityHandler(xml.parser, on_entity);
    XML_SetUnknownEncodingHandler(xml.parser, on_encoding, &xml);
    rc = parse(&xml);
    map_free(xml.known);
    XML_ParserFree(xml.parser);
    free(xml.names);
    buf_release(&xml.text);
    return rc;
}
