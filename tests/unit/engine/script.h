/* Scenarios as text: a line an input, and indented below it the changes that it causes.
 *
 *   define NAME | delete                  a definition by its name in definitions.c
 *   environment NAME DRIVER|gone
 *   push COMMIT [source=S] [branch=B|tag=T|pull=N] [people=a@x,b@x|unknown] [pusher=N] [paths=a,b]
 * [skip=1] [look=1] again                                 the same record as before, as a copy
 *   start [commit=C] [source=S] [ref=R] [NAME=VALUE ...] [by=PERSON]
 *   stop N wait|abandon | retry N STAGE [all] | rollback STAGE N   [by=PERSON]
 *   unknown-definition                    a start whose definition was never taken
 *   started N STAGE/ACTION [attempt=A] | progress N STAGE/ACTION
 *   ok N STAGE/ACTION [NAME=VALUE ...] [no-image=1] [other-image=1] | fail | lost | stopped N
 * STAGE/ACTION [REASON] [NAME=VALUE] plan N STAGE/ACTION [fast=1] [image=IMAGE] [privileged=yes|no]
 * [BUILD...] a batch's plan: NAME[!][>NAME,NAME], `!` for a failure that is ignored, `>` before
 * what it waits for approve N STAGE/GATE PERSON [digest=D] | reject N STAGE/GATE PERSON [COMMENT]
 * enable|disable STAGE [REASON] | promote N [STAGE] | override N STAGE GATE [REASON] pin
 * ENVIRONMENT [digest=RELEASE/BUILD] | unpin ENVIRONMENT silent N STAGE/ACTION DURATION nothing was
 * heard of its executor freeze ENVIRONMENT WINDOW | thaw ENVIRONMENT pass DURATION then the clock,
 * until nothing is due
 *
 * Indented: a change as scenario_change_text() tells it, as a glob (** for any run of characters),
 * in order and all of them; `...` stands for any number; `nothing` for no Decision. An input with
 * nothing below it may cause what it likes. A commit is four hex digits, filled up to forty. */
#ifndef TESTS_ENGINE_SCRIPT_H
#define TESTS_ENGINE_SCRIPT_H

#include "scenario.h"

void script_run(const char *text);

/* Line by line, nothing expected. */
struct script *script_begin(struct scenario *s);
void script_line(struct script *script, const char *line);
void script_end(struct script *script);

/* A table of rules: each is a test whose name is the sentence that its script proves. */
struct rule {
    const char *sentence;
    const char *script;
};
int script_run_rules(const char *group, const struct rule *rules, size_t count);
#define SCRIPT_RUN_RULES(group, rules)                                                             \
    script_run_rules(group, rules, sizeof(rules) / sizeof(*(rules)))

/* The same into a scenario of the caller's. */
void script_play(struct scenario *s, const char *text);
struct script;

/* The words that inputs begin with; NULL beyond the last. */
const char *script_input(size_t i);
/* A definition by name. */
const char *script_definition(const char *name);
/* Full commit and digest of a short name. */
const char *script_commit(char out[41], const char *digits);
const char *script_digest(char out[72], uint64_t release, const char *action);

#endif
