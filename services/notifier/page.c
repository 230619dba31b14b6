/* DESIGN. Mail programs know little of CSS, and Outlook's next to none: so tables, styles in the
 * elements, and one style element that only those understand that can show dark colours. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "gantry/v1/event.pb-c.h"
#include "services/notifier/notifier.h"

#define LABEL_WIDTH 12
#define FOOTER      "Gantry sends this because a notification rule says so."

struct look {
    const char *word;   /* where the event has no outcome */
    const char *strong; /* colour of the bar and the button: white text on it has 4.5:1 */
    const char *soft;   /* behind the state's word */
};

static const struct look *look_of(const Gantry__V1__ReleaseEvent *event)
{
    static const struct look looks[] = {
        [WORDING_PLAIN] = {"Note", "#57606a", "#eef0f2"},
        [WORDING_GOES_ON] = {"Under way", "#0b5cad", "#e3effb"},
        [WORDING_WAITS] = {"Waits", "#8a5a00", "#fdf1d3"},
        [WORDING_GOOD] = {"Done", "#1a7f37", "#e0f5e5"},
        [WORDING_BAD] = {"Refused", "#c0262d", "#fde7e8"},
    };

    return &looks[wording_tone(event)];
}

static bool wants_vote(const Gantry__V1__ReleaseEvent *event)
{
    return event->fact_case == GANTRY__V1__RELEASE_EVENT__FACT_APPROVAL_OPENED;
}

/* "Succeeded", "Approval wanted" ...; caller frees. */
static char *state_word(const Gantry__V1__ReleaseEvent *event)
{
    const char *outcome = wording_outcome(event);
    char *word;

    if (wording_word(event))
        return mem_strdup(wording_word(event));
    word = mem_strdup(*outcome ? outcome : look_of(event)->word);
    if (*word >= 'a' && *word <= 'z')
        *word = (char)(*word - 'a' + 'A');
    return word;
}

/* ---- text ---- */

static void add_detail(struct buf *out, const char *label, const char *value)
{
    buf_addf(out, "%-*s  ", LABEL_WIDTH, label);
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            buf_addf(out, "\r\n%-*s  ", LABEL_WIDTH, "");
        else
            buf_addc(out, *c);
    }
    buf_adds(out, "\r\n");
}

void page_text(struct buf *out, const Gantry__V1__ReleaseEvent *event, const char *console_url)
{
    char *headline = wording_headline(event);
    char *link = wording_link(event, console_url);
    struct wording_details details;

    wording_details(event, &details);
    buf_addf(out, "%s\r\n\r\n", headline);
    for (size_t i = 0; i < details.count; i++)
        add_detail(out, details.items[i].label, details.items[i].value);
    if (link)
        buf_addf(out, "\r\n%s: %s\r\n", wants_vote(event) ? "Review and vote" : "Look at it", link);
    buf_adds(out, "\r\n-- \r\n" FOOTER "\r\n");
    wording_details_release(&details);
    free(headline);
    free(link);
}

/* ---- HTML ---- */

static void add_html(struct buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        switch (*c) {
        case '&':
            buf_adds(out, "&amp;");
            break;
        case '<':
            buf_adds(out, "&lt;");
            break;
        case '>':
            buf_adds(out, "&gt;");
            break;
        case '"':
            buf_adds(out, "&quot;");
            break;
        case '\n':
            buf_adds(out, "<br>\n");
            break;
        default:
            buf_addc(out, *c);
        }
    }
}

static void add_head(struct buf *out, const char *title)
{
    buf_adds(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                  "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
                  "<meta name=\"color-scheme\" content=\"light dark\"><title>");
    add_html(out, title);
    buf_adds(out, "</title><style>@media (prefers-color-scheme:dark){"
                  ".page{background:#0d1117!important}"
                  ".card{background:#161b22!important;border-color:#30363d!important}"
                  ".text{color:#e6edf3!important}.faint{color:#9da7b1!important}"
                  ".line{border-color:#30363d!important}"
                  ".log{background:#0d1117!important;color:#e6edf3!important}}"
                  "</style></head>\n");
}

/* The bar in the state's colour, the state in a word, the headline. */
static void add_top(struct buf *out, const Gantry__V1__ReleaseEvent *event, const char *headline)
{
    const struct look *look = look_of(event);
    char *word = state_word(event);

    buf_addf(out,
             "<tr><td style=\"background:%s;height:6px;font-size:0;line-height:0;"
             "border-radius:10px 10px 0 0\">&nbsp;</td></tr>\n"
             "<tr><td style=\"padding:28px 32px 0\">"
             "<span style=\"display:inline-block;background:%s;color:%s;font-weight:600;"
             "font-size:12px;line-height:20px;padding:2px 10px;border-radius:12px\">",
             look->strong, look->soft, look->strong);
    add_html(out, word);
    buf_adds(out, "</span><h1 class=\"text\" style=\"margin:12px 0 0;font-size:22px;"
                  "line-height:1.3;font-weight:650;color:#1c2128\">");
    add_html(out, headline);
    buf_adds(out, "</h1></td></tr>\n");
    free(word);
}

static bool is_code(const char *label)
{
    return strcmp(label, "Image") == 0 || strcmp(label, "Runs there") == 0 ||
           strcmp(label, "Command") == 0;
}

static void add_row(struct buf *out, const char *label, const char *value, bool last)
{
    const char *line = last ? "" : "border-bottom:1px solid #eaeef2;";

    buf_addf(out,
             "<tr><td class=\"faint line\" width=\"104\" style=\"%spadding:9px 16px 9px 0;"
             "color:#59636e;vertical-align:top;white-space:nowrap\">",
             line);
    add_html(out, label);
    buf_addf(out,
             "</td><td class=\"text line\" style=\"%spadding:9px 0;color:#1c2128;"
             "vertical-align:top;word-break:break-word%s\">",
             line,
             is_code(label) ? ";font-family:ui-monospace,Menlo,Consolas,monospace;font-size:13px"
                            : "");
    add_html(out, value);
    buf_adds(out, "</td></tr>\n");
}

static void add_log(struct buf *out, const char *lines)
{
    buf_adds(out, "<tr><td style=\"padding:12px 32px 0\"><div class=\"log\" "
                  "style=\"background:#f3f5f7;color:#1c2128;border-radius:8px;padding:12px 14px;"
                  "font:12px/1.6 ui-monospace,Menlo,Consolas,monospace;word-break:break-word\">");
    add_html(out, lines);
    buf_adds(out, "</div></td></tr>\n");
}

static void add_details(struct buf *out, const struct wording_details *details)
{
    size_t rows = details->count;
    const char *log = NULL;

    for (size_t i = 0; i < details->count; i++)
        if (strcmp(details->items[i].label, WORDING_LOG) == 0) {
            log = details->items[i].value;
            rows--;
        }
    buf_adds(out, "<tr><td style=\"padding:16px 32px 0\"><table role=\"presentation\" "
                  "width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" "
                  "style=\"font-size:14px;line-height:1.5\">\n");
    for (size_t i = 0; i < details->count; i++)
        if (details->items[i].value != log)
            add_row(out, details->items[i].label, details->items[i].value, --rows == 0);
    buf_adds(out, "</table></td></tr>\n");
    if (log)
        add_log(out, log);
}

static void add_button(struct buf *out, const Gantry__V1__ReleaseEvent *event, const char *link)
{
    const char *colour = look_of(event)->strong;

    buf_addf(out,
             "<tr><td style=\"padding:24px 32px 0\"><table role=\"presentation\" "
             "cellpadding=\"0\" cellspacing=\"0\"><tr><td style=\"background:%s;"
             "border-radius:8px\"><a href=\"",
             colour);
    add_html(out, link);
    buf_addf(out,
             "\" style=\"display:inline-block;padding:11px 22px;color:#ffffff;font-weight:600;"
             "font-size:14px;text-decoration:none\">%s</a></td></tr></table></td></tr>\n",
             wants_vote(event)        ? "Review and vote"
             : wording_release(event) ? "Open the release"
                                      : "Open the pipeline");
}

void page_html(struct buf *out, const Gantry__V1__ReleaseEvent *event, const char *console_url)
{
    char *headline = wording_headline(event);
    char *link = wording_link(event, console_url);
    struct wording_details details;

    wording_details(event, &details);
    add_head(out, headline);
    buf_adds(out,
             "<body class=\"page\" style=\"margin:0;padding:0;background:#f3f5f7\">"
             "<table class=\"page\" role=\"presentation\" width=\"100%\" cellpadding=\"0\" "
             "cellspacing=\"0\" style=\"background:#f3f5f7;"
             "font-family:system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif\">"
             "<tr><td align=\"center\" style=\"padding:32px 16px\">"
             "<table class=\"card\" role=\"presentation\" width=\"100%\" cellpadding=\"0\" "
             "cellspacing=\"0\" style=\"max-width:600px;background:#ffffff;"
             "border:1px solid #d8dee4;border-radius:11px;border-collapse:separate;"
             "text-align:left\">\n");
    add_top(out, event, headline);
    add_details(out, &details);
    if (link)
        add_button(out, event, link);
    buf_adds(out, "<tr><td style=\"height:30px;font-size:0;line-height:0\">&nbsp;</td></tr>"
                  "</table>\n<p class=\"faint\" style=\"max-width:600px;margin:16px auto 0;"
                  "color:#59636e;font-size:12px;line-height:1.5\">" FOOTER
                  "</p></td></tr></table></body></html>\r\n");
    wording_details_release(&details);
    free(headline);
    free(link);
}
