#include <yaml.h>

#include "yaml/tree.h"

static int write_bytes(void *out, unsigned char *data, size_t len)
{
    return buf_add(out, data, len) == 0;
}

static int emit_node(yaml_emitter_t *emitter, const struct yaml_node *node);

static int emit_text(yaml_emitter_t *emitter, const struct yaml_node *node)
{
    yaml_event_t event;

    return yaml_scalar_event_initialize(
               &event, NULL, NULL, (const yaml_char_t *)node->text, (int)node->len, 1, 1,
               node->plain ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE) &&
           yaml_emitter_emit(emitter, &event);
}

static int emit_entries(yaml_emitter_t *emitter, const struct yaml_node *node)
{
    for (const struct yaml_node *n = node->first; n; n = n->next)
        if ((n->key && !emit_text(emitter, n->key)) || !emit_node(emitter, n))
            return 0;
    return 1;
}

/* Recursion is bounded by YAML_DEPTH_MAX. */
static int emit_node(yaml_emitter_t *emitter, const struct yaml_node *node)
{
    yaml_event_t event;

    switch (node->type) {
    case YAML_TEXT:
        return emit_text(emitter, node);
    case YAML_LIST:
        return yaml_sequence_start_event_initialize(&event, NULL, NULL, 1,
                                                    YAML_BLOCK_SEQUENCE_STYLE) &&
               yaml_emitter_emit(emitter, &event) && emit_entries(emitter, node) &&
               yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
    case YAML_MAP:
        return yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
                                                   YAML_BLOCK_MAPPING_STYLE) &&
               yaml_emitter_emit(emitter, &event) && emit_entries(emitter, node) &&
               yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
    }
    return 0;
}

int yaml_write(const struct yaml_node *node, struct buf *out)
{
    yaml_emitter_t emitter;
    yaml_event_t event;
    int done;

    if (!yaml_emitter_initialize(&emitter))
        return -1;
    yaml_emitter_set_output(&emitter, write_bytes, out);
    yaml_emitter_set_unicode(&emitter, 1);
    yaml_emitter_set_width(&emitter, -1);
    done = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
           yaml_emitter_emit(&emitter, &event) &&
           yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
           yaml_emitter_emit(&emitter, &event) && emit_node(&emitter, node) &&
           yaml_document_end_event_initialize(&event, 1) && yaml_emitter_emit(&emitter, &event) &&
           yaml_stream_end_event_initialize(&event) && yaml_emitter_emit(&emitter, &event);
    yaml_emitter_delete(&emitter);
    return done ? 0 : -1;
}
