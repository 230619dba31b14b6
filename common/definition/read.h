/* Reading checked values out of a definition's YAML. Nothing here stops at a mistake: it is noted
 * with its line and path, and reading goes on with a default. Internal to the library. */
#ifndef GANTRY_DEFINITION_READ_H
#define GANTRY_DEFINITION_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "definition/definition.h"
#include "definition/keys.h"
#include "yaml/tree.h"

#define PROBLEMS_MAX 50

struct reader {
    struct def_problems *problems;
    char path[256]; /* of the map or list that is being read */
    size_t path_len;
};

/* Goes into an entry; returns what reader_leave() takes to come back. */
size_t reader_enter_key(struct reader *r, const char *key);
size_t reader_enter_index(struct reader *r, size_t index);
void reader_leave(struct reader *r, size_t mark);

/* Notes a problem with an entry of the map that is being read, or with the list item or map itself
 * that was entered (a node without a key). */
void problem(struct reader *r, const struct yaml_node *node, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, and notes which known word is nearest to the one that is there (NULL: none). */
void problem_near(struct reader *r, const struct yaml_node *node, const char *nearest,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void problem_at(struct def_problems *problems, int line, int column, const char *path,
                const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Gives each known key's value (NULL: not there, or nothing after its colon) in the table's order.
 * -1: not a map. */
int read_fields(struct reader *r, const struct yaml_node *map, const struct keys *keys,
                const struct yaml_node **values);
/* "text", "a list" or "a mapping". */
const char *node_kind(const struct yaml_node *node);

/* Every function below takes NULL for a value that is not there. */

#define TEXT_LINES 1u /* line ends and tabs are allowed */
#define TEXT_EMPTY 2u
/* Text of at most `max` characters; the caller frees; NULL: none or refused. */
char *read_text(struct reader *r, const struct yaml_node *node, size_t max, unsigned flags);
/* Text for which `check` returns NULL; otherwise it returns what is wrong with it. */
char *read_checked(struct reader *r, const struct yaml_node *node,
                   const char *(*check)(const char *text));
/* A text or a list of texts. */
void read_texts(struct reader *r, const struct yaml_node *node, size_t max,
                const char *(*check)(const char *text), struct strv *out);
/* The same; of a text that `check` refuses the nearest of `words` (ended by NULL) is named. */
void read_words(struct reader *r, const struct yaml_node *node, size_t max,
                const char *(*check)(const char *text), const char *const *words, struct strv *out);
/* Keys with texts; *count pairs, which the caller frees. */
struct def_pair *read_pairs(struct reader *r, const struct yaml_node *node, size_t max,
                            const char *(*check_key)(const char *text), size_t *count);

bool read_bool(struct reader *r, const struct yaml_node *node, bool otherwise);
uint32_t read_count(struct reader *r, const struct yaml_node *node, uint32_t max,
                    uint32_t otherwise);
struct span {
    int64_t min_ms, max_ms;
    const char *text; /* "1s to 7d" */
};
int64_t read_duration(struct reader *r, const struct yaml_node *node, const struct span *span,
                      int64_t otherwise);

/* True for null, false, and an empty list or map: what asks for nothing. */
bool asks_nothing(const struct yaml_node *node);
/* A list's node, or NULL with the problem noted: not a list, empty, or longer than `max`. */
const struct yaml_node *read_list(struct reader *r, const struct yaml_node *node, size_t max,
                                  const char *what);

/* Notes that `text` is not one of `words` (ended by NULL), naming the nearest. */
void problem_word(struct reader *r, const struct yaml_node *node, const char *what,
                  const char *const *words);

void def_pairs_free(struct def_pair *pairs, size_t count);

#endif
