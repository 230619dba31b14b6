/* `gantry topics new-epoch`: what is left of a ledger partition, and the operator's genesis on it
 * (docs/ledger.md, "Genesis and epochs"; engine/survey.h). */
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hex.h"
#include "engine/saved.h"
#include "engine/survey.h"
#include "gantry/v1/decision.pb-c.h"
#include "gantry/v1/state.pb-c.h"
#include "services/cli/topics.h"

#define KEY          "@partition" /* of records that belong to no pipeline */
#define REASON_MAX   1000
#define OPERATOR_MAX 100

struct epoch {
    struct topics topics;
    struct survey survey;
    bool surveyed;
    int32_t partition;
    struct map *numbers; /* NULL: not given */
    int64_t input_ends[TOPIC_COUNT];
    /* As given. */
    const char *config, *reason, *by, *numbers_file;
    bool yes, force;
};

/* ---- reading ---- */

static void on_state(const struct bus_record *record, void *arg)
{
    struct epoch *epoch = arg;

    survey_state(&epoch->survey, record->key, record->key_len, record->value, record->value_len);
}

static void on_ledger(const struct bus_record *record, void *arg)
{
    struct epoch *epoch = arg;

    survey_record(&epoch->survey, record->offset, record->value, record->value_len);
}

/* The inputs are the topics that a Decision records positions of. */
static const enum topic inputs[] = {TOPIC_SOURCE,          TOPIC_COMMAND,
                                    TOPIC_RESULT_BUILD,    TOPIC_RESULT_DEPLOY,
                                    TOPIC_RESULT_APPROVAL, TOPIC_RESULT_CUSTOM};
#define INPUTS (sizeof(inputs) / sizeof(inputs[0]))

static int look(struct epoch *epoch, struct err *err)
{
    struct bus_end ends[2 + INPUTS] = {
        {.topic = TOPIC_LEDGER, .partition = epoch->partition},
        {.topic = TOPIC_PROMOTER_STATE, .partition = epoch->partition},
    };

    for (size_t i = 0; i < INPUTS; i++)
        ends[2 + i] = (struct bus_end){.topic = inputs[i], .partition = epoch->partition};
    if (topics_ends(&epoch->topics, ends, 2 + INPUTS, err) < 0)
        return -1;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        epoch->input_ends[topic] = -1;
    for (size_t i = 0; i < INPUTS; i++)
        epoch->input_ends[inputs[i]] = ends[2 + i].end;
    survey_init(&epoch->survey, epoch->partition, epoch->topics.partitions, ends[0].begin,
                ends[0].end);
    epoch->surveyed = true;
    if (topics_read(&epoch->topics, TOPIC_PROMOTER_STATE, epoch->partition, ends[1].begin,
                    ends[1].end, on_state, epoch, err) < 0 ||
        topics_read(&epoch->topics, TOPIC_LEDGER, epoch->partition, ends[0].begin, ends[0].end,
                    on_ledger, epoch, err) < 0)
        return -1;
    return survey_judge(&epoch->survey, err);
}

/* ---- saying what was found ---- */

static void print_records(const struct survey *s)
{
    printf("partition %d of %d of the ledger\n", (int)s->partition, (int)s->partition_count);
    if (s->records)
        printf("  there      %" PRIu64 " records, offsets %lld to %lld\n", s->records,
               (long long)s->first, (long long)s->last);
    else
        printf("  there      nothing; the next record gets offset %lld\n", (long long)s->end);
}

static void print_faults(const struct survey *s)
{
    if (s->faults & SURVEY_BEGINNING)
        printf("  missing    its beginning: offsets 0 to %lld\n", (long long)s->begin - 1);
    if (s->faults & SURVEY_EMPTIED)
        printf("  missing    all of it: it was not always empty\n");
    if (s->faults & SURVEY_END)
        printf("  missing    its end: offset %lld had been confirmed\n", (long long)s->lost_head);
    if (s->faults & SURVEY_NO_GENESIS)
        printf("  missing    a genesis, so none of its records is known to count\n");
    if (!s->faults)
        printf("  missing    nothing\n");
}

static void print_line(const struct survey *s)
{
    const struct survey_line *line = s->line;
    char hash[SHA256_HEX_SIZE], time[CLOCK_RFC3339_SIZE];

    if (!line) {
        printf("  to go on   nothing: no genesis and no checkpoint whose head is there\n");
        return;
    }
    hex_encode(line->chain.head, SHA256_SIZE, hash);
    clock_rfc3339(line->chain.time_ms, time);
    printf("  to go on   offset %lld is the last that counts (%.12s, of %s)\n",
           (long long)line->chain.head_offset, hash, time);
    printf("  epoch      %" PRIu64 "%s%s\n", line->chain.epoch,
           line->genesis && *line->genesis->operator_ ? ", begun by " : "",
           line->genesis ? line->genesis->operator_ : "");
    if (s->checkpoint >= 0 && (s->faults & SURVEY_BEGINNING))
        printf("  state      out of the checkpoint at offset %lld in promoter.state; the ledger "
               "alone no longer has it:\n             keep that topic\n",
               (long long)saved_checkpoint(s->saved, (size_t)s->checkpoint)->head_offset);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_numbers(const char *before, const struct map *numbers)
{
    struct strv names = {0};

    for (struct map_iter it = {0}; map_next(numbers, &it);)
        strv_add(&names, it.key);
    if (names.count)
        qsort(names.items, names.count, sizeof(*names.items), by_name);
    for (size_t i = 0; i < names.count; i++) {
        const struct survey_numbers *n = map_get(numbers, names.items[i]);

        printf("%s%s: {release: %" PRIu64 ", sequence: %" PRIu64 "}\n", before, names.items[i],
               n->release, n->sequence);
    }
    strv_release(&names);
}

/* Until when nothing can be missing in the numbers that checkpoints tell. */
static void print_age_of_numbers(const struct survey *s)
{
    char time[CLOCK_RFC3339_SIZE];

    if (!saved_count(s->saved))
        return;
    clock_rfc3339(saved_checkpoint(s->saved, 0)->time_ms, time);
    printf("The numbers are those of the checkpoint of %s and of the records that are there. If a\n"
           "pipeline began a release after that, its next number has to be higher: look at\n"
           "`gantry releases PIPELINE`, and give --numbers FILE.\n",
           time);
}

static void print_consequences(const struct epoch *epoch, const Gantry__V1__Decision *decision)
{
    const struct survey *s = &epoch->survey;
    const Gantry__V1__Genesis *genesis = decision->changes[0]->genesis;

    printf("\nA new epoch, %" PRIu64 ", would begin at offset %lld, by %s: %s\n", genesis->epoch,
           (long long)s->end, genesis->operator_, genesis->reason);
    if (s->line) {
        printf("It goes on from offset %lld: releases that run, their numbers and the inputs' "
               "positions stay.\n",
               (long long)s->line->chain.head_offset);
        if (s->faults & SURVEY_END)
            printf("What was decided after it is lost. Inputs from there on are decided again, "
                   "with new ids: builds and\ndeployments that those Decisions had begun may be "
                   "done twice.\n");
    } else {
        printf("Its state begins empty: definitions are read again, releases that ran are "
               "forgotten, and environments keep\nwhat runs in them. %s\n",
               s->positions_known
                   ? "Other inputs go on where the last that is known had settled them."
                   : "Other inputs that came until now are left out.");
    }
    if (genesis->n_numbers)
        printf("The next numbers:\n");
    for (size_t i = 0; i < genesis->n_numbers; i++)
        printf("  %s: {release: %" PRIu64 ", sequence: %" PRIu64 "}\n",
               genesis->numbers[i]->pipeline, genesis->numbers[i]->next_release,
               genesis->numbers[i]->next_sequence);
    if (!s->line && !epoch->numbers)
        print_age_of_numbers(s);
}

/* ---- refusing ---- */

static int needs_numbers(const struct epoch *epoch, const struct err *err)
{
    fflush(stdout);
    cli_fail(0, "%s", err->msg);
    fputs("Write each pipeline's next release and next sequence into a file and give it with "
          "--numbers FILE; a number\nthat was given before would be given again. `gantry releases "
          "PIPELINE` and the topic `event` tell them; a\nsequence may be left out. A file with "
          "nothing but {} says that there were no pipelines.\n",
          stderr);
    if (map_count(epoch->survey.numbers)) {
        puts("\n# At least these, by the records that are there:");
        print_numbers("", epoch->survey.numbers);
    }
    return EXIT_USAGE;
}

static int refuse(const struct epoch *epoch, const struct err *err)
{
    if (err->code == ERR_NOT_FOUND)
        return needs_numbers(epoch, err);
    cli_fail(0, "%s", err->msg);
    if (err->code != ERR_CONFLICT)
        return EXIT_USAGE;
    if (!epoch->survey.faults && epoch->survey.end > 0)
        fputs("If you want a new epoch all the same, --force begins one: every id made from then "
              "on is another.\n",
              stderr);
    return EXIT_CONFLICT;
}

static bool is_text(const char *text, size_t max)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return len > 0 && len <= max && str_is_utf8(text, len);
}

static bool ask(void)
{
    char answer[16];

    if (!isatty(STDIN_FILENO)) {
        cli_fail(0, "nobody is there to ask; give --yes to begin the epoch shown above");
        return false;
    }
    printf("\nBegin it? What is lost is given up then. [y/N] ");
    fflush(stdout);
    return fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* ---- appending, and reading back ---- */

struct back {
    struct chain chain;
    uint8_t hash[SHA256_SIZE]; /* of the new genesis */
    int64_t offset;            /* of it; -1: not there */
    bool counts;
    int64_t first; /* of another's that counted before it; -1: none */
    struct err err;
};

static void on_back(const struct bus_record *record, void *arg)
{
    struct back *back = arg;
    enum chain_verdict verdict;
    uint8_t hash[SHA256_SIZE];
    void *decision;

    if (back->err.code || back->offset >= 0 || !record->value ||
        event_parse(&decision, TOPIC_LEDGER, record->value, record->value_len, NULL) < 0)
        return;
    sha256(record->value, record->value_len, hash);
    if (chain_fold(&back->chain, record->value, record->value_len, decision, record->offset,
                   &verdict, &back->err) == 0) {
        if (memcmp(hash, back->hash, SHA256_SIZE) == 0) {
            back->offset = record->offset;
            back->counts = verdict == CHAIN_COUNTS;
        } else if (verdict == CHAIN_COUNTS && back->first < 0) {
            back->first = record->offset;
        }
    }
    event_free(decision);
}

/* Whatever became of the append: the log tells. */
static int read_back(struct epoch *epoch, const struct buf *value, struct back *back,
                     struct err *err)
{
    struct bus_end end = {.topic = TOPIC_LEDGER, .partition = epoch->partition};

    *back = (struct back){.offset = -1, .first = -1};
    chain_init(&back->chain);
    if (epoch->survey.line)
        back->chain = epoch->survey.line->chain;
    sha256(value->data, value->len, back->hash);
    if (topics_ends(&epoch->topics, &end, 1, err) < 0 ||
        topics_read(&epoch->topics, TOPIC_LEDGER, epoch->partition, epoch->survey.end, end.end,
                    on_back, back, err) < 0)
        return -1;
    if (back->err.code)
        *err = back->err;
    return back->err.code ? -1 : 0;
}

static int tell(const struct epoch *epoch, const struct back *back, const struct err *append)
{
    if (back->offset < 0)
        return cli_fail(EXIT_UNREACHABLE,
                        "the new genesis is not in the ledger: %s. It may still land; run this "
                        "again, and it is seen then",
                        append->code ? append->msg : "Kafka took it and does not show it");
    if (!back->counts)
        return cli_fail(EXIT_BAD_END,
                        "the new genesis, at offset %lld, is void: the record at offset %lld came "
                        "first. Nothing changed; run this again",
                        (long long)back->offset, (long long)back->first);
    printf("\nOffset %lld counts: the new epoch has begun.\n"
           "The promoter looks again every 30 s and goes on by itself; its /readyz tells. Then:\n"
           "  gantry audit verify %d\n",
           (long long)back->offset, (int)epoch->partition);
    for (size_t i = 0; i < epoch->topics.problems.count; i++)
        printf("%s%s\n", i ? "" : "The promoter also waits for the topics to be put right:\n",
               epoch->topics.problems.items[i]);
    return EXIT_DONE;
}

static int begin(struct epoch *epoch, const struct buf *value, const struct event_meta *meta)
{
    struct err append = {0}, err;
    struct back back;

    (void)topics_append(&epoch->topics, epoch->partition, KEY, value, meta, &append);
    if (read_back(epoch, value, &back, &err) < 0) {
        cli_fail(0, "%s", err.msg);
        return cli_fail(EXIT_UNREACHABLE,
                        "whether the new genesis counts is not known; run this again, and it is "
                        "seen then");
    }
    return tell(epoch, &back, &append);
}

static int offer(struct epoch *epoch)
{
    char chain_id[ID_SIZE];
    struct survey_order order = {.by = epoch->by,
                                 .reason = epoch->reason,
                                 .now_ms = clock_now_ms(),
                                 .chain_id = chain_id,
                                 .force = epoch->force,
                                 .numbers = epoch->numbers,
                                 .input_ends = epoch->input_ends};
    struct event_meta meta;
    struct buf value;
    struct err err;
    void *decision;
    int rc;

    id_random(chain_id);
    buf_init(&value, EVENT_VALUE_MAX);
    if (survey_genesis(&epoch->survey, &order, &value, &meta, &err) < 0) {
        rc = refuse(epoch, &err);
    } else if (event_unpack(&decision, TOPIC_LEDGER, value.data, value.len, &err) < 0) {
        rc = cli_fail(EXIT_USAGE, "%s", err.msg);
    } else {
        print_consequences(epoch, decision);
        event_free(decision);
        rc = epoch->yes || ask() ? begin(epoch, &value, &meta) : EXIT_BAD_END;
    }
    buf_release(&value);
    return rc;
}

static int run(struct epoch *epoch)
{
    struct err err;
    int rc = topics_open(&epoch->topics, epoch->config);

    if (rc != 0)
        return rc;
    if (topics_look(&epoch->topics, &err) < 0)
        return cli_fail(EXIT_UNREACHABLE, "%s", err.msg);
    if (epoch->partition >= epoch->topics.partitions)
        return cli_fail(EXIT_NOT_FOUND, "the ledger has no partition %d; it has %d, from 0",
                        (int)epoch->partition, (int)epoch->topics.partitions);
    if (epoch->numbers_file && topics_numbers(&epoch->numbers, epoch->numbers_file,
                                              epoch->partition, epoch->topics.partitions, &err) < 0)
        return cli_fail(EXIT_USAGE, "%s", err.msg);
    if (look(epoch, &err) < 0) {
        cli_fail(0, "%s", err.msg);
        return err.code == ERR_TIMEOUT || err.code == ERR_UNAVAILABLE
                   ? EXIT_UNREACHABLE
                   : cli_fail(EXIT_BAD_END, "that is no loss of records, and a new epoch would "
                                            "not cure it");
    }
    print_records(&epoch->survey);
    print_faults(&epoch->survey);
    print_line(&epoch->survey);
    return offer(epoch);
}

static int check_words(struct epoch *epoch, const struct cli_command *self, const char *word)
{
    int64_t number;

    if (str_to_i64(word, &number) < 0 || number < 0 || number > INT32_MAX)
        return cli_usage_error(self, "'%s' is no partition's number", word);
    epoch->partition = (int32_t)number;
    if (!epoch->reason)
        return cli_usage_error(self, "--reason is missing: it stands in the ledger for ever");
    if (!is_text(epoch->reason, REASON_MAX))
        return cli_usage_error(self, "--reason is a line of at most %d bytes", REASON_MAX);
    if (!epoch->by)
        return cli_usage_error(self, "--operator is missing, and this account has no name");
    if (!is_text(epoch->by, OPERATOR_MAX))
        return cli_usage_error(self, "--operator is a name of at most %d bytes", OPERATOR_MAX);
    return 0;
}

int cmd_topics_new_epoch(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("topics new-epoch");
    const struct passwd *user = getpwuid(geteuid());
    struct epoch epoch = {.config = getenv("GANTRY_CONFIG"), .by = user ? user->pw_name : NULL};
    const struct cli_flag flags[] = {
        {"config", 'c', FLAG_STR, &epoch.config, "FILE", "the services' settings (GANTRY_CONFIG)"},
        {"reason", 0, FLAG_STR, &epoch.reason, "TEXT",
         "what happened; kept in the ledger for ever"},
        {"operator", 0, FLAG_STR, &epoch.by, "NAME", "who orders it (this account's name)"},
        {"numbers", 0, FLAG_STR, &epoch.numbers_file, "FILE",
         "next release and sequence of each pipeline"},
        {"yes", 'y', FLAG_BOOL, &epoch.yes, NULL, "do not ask"},
        {"force", 0, FLAG_BOOL, &epoch.force, NULL, "although nothing is missing"},
        {0},
    };
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    rc = check_words(&epoch, self, words.items[0]);
    if (rc == 0)
        rc = run(&epoch);
out:
    if (epoch.surveyed)
        survey_release(&epoch.survey);
    map_free(epoch.numbers);
    topics_close(&epoch.topics);
    strv_release(&words);
    return rc;
}
