/* Runs histories in a process of their own; when it dies, cuts the history it was at down to inputs
 * of which none can be left out (delta debugging: Zeller and Hildebrandt, "Simplifying and
 * isolating failure-inducing input", 2002), and prints them. */
#ifndef TESTS_ENGINE_SHRINK_H
#define TESTS_ENGINE_SHRINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Plays lines without the generator, and ends the process where a promise is broken; `thorough`:
 * with all that can be checked. */
typedef void shrink_replay_fn(char *const *lines, size_t count, bool thorough);
/* False: it died; what it takes was printed. */
bool shrink_run(void (*histories)(void *arg), void *arg, shrink_replay_fn *replay);
/* What `histories` calls: a history begins, an input is about to be given. */
void shrink_begin(uint64_t seed);
void shrink_note(const char *line);

#endif
