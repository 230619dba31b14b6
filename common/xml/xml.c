/* DESIGN: libexpat is bounded where it is not by itself. What makes a small document large is
 * refused where it is declared: an internal subset of a document type may hold entities, an
 * external one is not fetched, and then no entity but XML's own five has a meaning. A tag is
 * scanned from its beginning again for each piece of the document that it reaches into, and held
 * whole: so pieces are large, and a tag that does not end within two of them is refused. Each name
 * stays in memory until the end: no format has more than some dozens, and a document with thousands
 * is refused. */
#include "xml/xml.h"

#include <expat.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define NAME_SIZE  48 /* of a name that any format knows */
#define PIECE_SIZE ((size_t)1024 * 1024)
#define NAMES_MAX  2000 /* different ones, of elements and attributes */
#define CACHE_SIZE 256
#define SHOWN(of)  shown(p, of).text

struct xml_parser {
    XML_Parser expat;
    const struct xml_conf *conf;
    const char *bytes;
    size_t len;
    size_t depth;
    char (*names)[NAME_SIZE]; /* names[0]: the root's */
    bool failed;
    struct xml_refusal *why;

    bool moved; /* something was read since the last look */

    struct map *known;                 /* names seen so far */
    char cache[CACHE_SIZE][NAME_SIZE]; /* some of them */
};

size_t xml_parser_depth(const struct xml_parser *p)
{
    return p->depth;
}

const char *xml_parser_element(const struct xml_parser *p, size_t depth)
{
    return depth > 0 && depth <= p->depth ? p->names[depth - 1] : "";
}

/* ---- failing ---- */

static struct xml_shown shown(const struct xml_parser *p, const char *text)
{
    struct xml_shown out;

    if (p->conf->shown)
        return p->conf->shown(text, p->conf->arg);
    snprintf(out.text, sizeof(out.text), "%.40s", text);
    return out;
}

void xml_refuse(struct xml_parser *p, enum err_code code, const char *fmt, ...)
{
    va_list ap;

    if (p->failed)
        return;
    p->failed = true;
    p->why->code = code;
    p->why->line = (unsigned long)XML_GetCurrentLineNumber(p->expat);
    va_start(ap, fmt);
    vsnprintf(p->why->reason, sizeof(p->why->reason), fmt, ap);
    va_end(ap);
    XML_StopParser(p->expat, XML_FALSE);
}

/* ---- what expat calls ---- */

static const char *local(const char *name)
{
    const char *colon = strchr(name, ':');

    return colon ? colon + 1 : name;
}

/* False, having failed: too many different names. */
static bool know(struct xml_parser *p, const char *name)
{
    unsigned hash = 0;

    for (const char *at = name; *at; at++)
        hash = hash * 31 + (unsigned char)*at;
    char *cached = p->cache[hash % CACHE_SIZE];
    if (strcmp(cached, name) == 0)
        return true;
    snprintf(cached, NAME_SIZE, "%s", name);
    if (map_get(p->known, name))
        return true;
    if (map_count(p->known) == NAMES_MAX) {
        xml_refuse(p, ERR_LIMIT, "has more than %d different names of elements and attributes",
                   NAMES_MAX);
        return false;
    }
    map_set(p->known, name, p);
    return true;
}

static bool check_attributes(struct xml_parser *p, const char *name, const XML_Char **attributes)
{
    const size_t max = p->conf->attribute;

    for (const XML_Char **a = attributes; a[0]; a += 2) {
        if (!know(p, a[0]))
            return false;
        if (strlen(a[1]) > max) {
            xml_refuse(p, ERR_LIMIT, "<%s> has %zu bytes in %s, more than %zu", SHOWN(name),
                       strlen(a[1]), SHOWN(a[0]), max);
            return false;
        }
    }
    return true;
}

static void XMLCALL on_open(void *arg, const XML_Char *name, const XML_Char **attributes)
{
    struct xml_parser *p = arg;

    p->moved = true;
    if (p->failed || !know(p, name))
        return;
    name = local(name);
    if (p->depth == p->conf->depth) {
        xml_refuse(p, ERR_LIMIT, "elements stand more than %zu deep", p->conf->depth);
        return;
    }
    if (!check_attributes(p, name, attributes))
        return;
    snprintf(p->names[p->depth++], NAME_SIZE, "%s", name);
    p->conf->open(p, name, (const char *const *)attributes, p->conf->arg);
}

static void XMLCALL on_close(void *arg, const XML_Char *name)
{
    struct xml_parser *p = arg;

    p->moved = true;
    if (p->failed)
        return;
    p->conf->close(p, local(name), p->conf->arg);
    p->depth--;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
    struct xml_parser *p = arg;

    p->moved = true;
    if (!p->failed)
        p->conf->text(p, text, (size_t)len, p->conf->arg);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system_id,
                               const XML_Char *public_id, int has_internal_subset)
{
    struct xml_parser *p = arg;

    (void)name;
    (void)system_id;
    (void)public_id;
    if (p->conf->no_doctype)
        xml_refuse(p, ERR_INVALID, "it has a document type");
    else if (has_internal_subset)
        xml_refuse(p, ERR_INVALID,
                   "its document type declares something, which is refused: it "
                   "could be entities that grow without end");
}

static void XMLCALL on_entity(void *arg, const XML_Char *name, int is_parameter_entity)
{
    struct xml_parser *p = arg;

    (void)is_parameter_entity;
    xml_refuse(p, ERR_INVALID, "the entity &%s; is not known", SHOWN(name));
}

/* What Windows tools name that expat does not know itself. */
static int XMLCALL on_encoding(void *arg, const XML_Char *name, XML_Encoding *out)
{
    static const int high[32] = {0x20ac, -1,     0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021,
                                 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, -1,     0x017d, -1,
                                 -1,     0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
                                 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, -1,     0x017e, 0x0178};
    struct xml_parser *p = arg;

    if (strcasecmp(name, "windows-1252") != 0 && strcasecmp(name, "cp1252") != 0) {
        xml_refuse(p, ERR_INVALID, "the encoding %s is not supported: write UTF-8", SHOWN(name));
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
static void refuse_syntax(struct xml_parser *p)
{
    enum XML_Error code = XML_GetErrorCode(p->expat);

    switch (code) {
    case XML_ERROR_NO_ELEMENTS:
    case XML_ERROR_UNCLOSED_TOKEN:
    case XML_ERROR_PARTIAL_CHAR:
    case XML_ERROR_UNCLOSED_CDATA_SECTION:
        if (p->depth)
            xml_refuse(p, ERR_INVALID,
                       "ends in the middle, inside <%s>: it was not written to its end",
                       p->names[p->depth - 1]);
        else
            xml_refuse(p, ERR_INVALID, "ends before its first element");
        break;
    case XML_ERROR_NO_MEMORY:
        xml_refuse(p, ERR_LIMIT, "is too much for the XML parser");
        break;
    default:
        xml_refuse(p, ERR_INVALID, "is not XML: %s", XML_ErrorString(code));
    }
}

/* Where expat is may not be known: since 2.6, and in Debian's security updates, it puts off what
 * did not end in the piece before. */
static void parse(struct xml_parser *p)
{
    size_t read = 0; /* at least */
    for (size_t given = 0; given < p->len;) {
        size_t len = p->len - given < PIECE_SIZE ? p->len - given : PIECE_SIZE;
        bool last = given + len == p->len;
        p->moved = false;
        if (XML_Parse(p->expat, p->bytes + given, (int)len, last) != XML_STATUS_OK) {
            refuse_syntax(p);
            return;
        }
        XML_Index at = XML_GetCurrentByteIndex(p->expat);
        if (p->moved && read < given)
            read = given;
        if (at >= 0 && read < (size_t)at)
            read = (size_t)at;
        given += len;
        if (!last && given - read > 2 * PIECE_SIZE) {
            xml_refuse(p, ERR_LIMIT, "has a tag or comment of more than 2 MiB");
            return;
        }
    }
}

int xml_parse(const struct xml_conf *conf, const char *bytes, size_t len, struct xml_refusal *why)
{
    struct xml_parser *p = mem_alloc(sizeof(*p));

    *why = (struct xml_refusal){.code = ERR_INTERNAL, .reason = "no memory for an XML parser"};
    *p = (struct xml_parser){.conf = conf, .bytes = bytes, .len = len, .why = why};
    p->expat = XML_ParserCreate(NULL);
    p->failed = !p->expat;
    p->names = mem_alloc(conf->depth * sizeof(*p->names));
    p->known = map_new(NULL);
    if (p->expat) {
        XML_SetUserData(p->expat, p);
        XML_SetElementHandler(p->expat, on_open, on_close);
        XML_SetCharacterDataHandler(p->expat, on_text);
        XML_SetStartDoctypeDeclHandler(p->expat, on_doctype);
        XML_SetSkippedEntityHandler(p->expat, on_entity);
        XML_SetUnknownEncodingHandler(p->expat, on_encoding, p);
        if (len == 0)
            xml_refuse(p, ERR_INVALID, "is empty");
        parse(p);
        XML_ParserFree(p->expat);
    }
    const bool failed = p->failed;
    map_free(p->known);
    free(p->names);
    free(p);
    return failed ? -1 : 0;
}
