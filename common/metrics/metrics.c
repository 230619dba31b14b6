/* Prometheus text exposition format 0.0.4:
 * https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "metrics/metrics.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"

static const double bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                0.5,   1,      2.5,   5,    10,    25,   50,  100};
#define BOUND_COUNT (sizeof(bounds) / sizeof(bounds[0]))

enum type { COUNTER, GAUGE, HISTOGRAM };

struct metric {
    struct metric *next; /* of the same family */
    struct family *family;
    char *labels;              /* "" for none */
    _Atomic uint64_t value;    /* a double's bits: the value, or a histogram's sum */
    _Atomic uint64_t *buckets; /* histogram: BOUND_COUNT and one for what is beyond */
};

/* All metrics of one name. */
struct family {
    struct family *next;
    enum type type;
    char *name;
    char *help;
    struct metric *first;
    struct metric **end;
};

struct metrics {
    pthread_mutex_t lock; /* of the lists; values are atomic by themselves */
    struct map *families;
    struct map *by_labels; /* name{labels} -> struct metric */
    struct family *first;
    struct family **end;
};

struct metrics *metrics_new(void)
{
    struct metrics *m = mem_alloc(sizeof(*m));

    pthread_mutex_init(&m->lock, NULL);
    m->families = map_new(NULL);
    m->by_labels = map_new(NULL);
    m->end = &m->first;
    return m;
}

static void family_free(struct family *family)
{
    struct metric *metric = family->first;

    while (metric) {
        struct metric *next = metric->next;

        free(metric->labels);
        free(metric->buckets);
        free(metric);
        metric = next;
    }
    free(family->name);
    free(family->help);
    free(family);
}

void metrics_free(struct metrics *m)
{
    if (!m)
        return;
    for (struct family *family = m->first; family;) {
        struct family *next = family->next;

        family_free(family);
        family = next;
    }
    map_free(m->families);
    map_free(m->by_labels);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

static struct family *family_get(struct metrics *m, const char *name, enum type type,
                                 const char *help)
{
    struct family *family = map_get(m->families, name);

    if (family) {
        if (family->type != type) {
            fprintf(stderr, "gantry: the metric %s is asked for as two types\n", name);
            abort();
        }
        return family;
    }
    family = mem_alloc(sizeof(*family));
    family->type = type;
    family->name = mem_strdup(name);
    family->help = mem_strdup(help);
    family->end = &family->first;
    *m->end = family;
    m->end = &family->next;
    map_set(m->families, name, family);
    return family;
}

static struct metric *metric_get(struct metrics *m, const char *name, const char *labels,
                                 enum type type, const char *help)
{
    char *key = mem_printf("%s{%s}", name, labels ? labels : "");
    struct family *family;
    struct metric *metric;

    pthread_mutex_lock(&m->lock);
    family = family_get(m, name, type, help);
    metric = map_get(m->by_labels, key);
    if (!metric) {
        metric = mem_alloc(sizeof(*metric));
        metric->family = family;
        metric->labels = mem_strdup(labels ? labels : "");
        if (type == HISTOGRAM)
            metric->buckets = mem_alloc((BOUND_COUNT + 1) * sizeof(*metric->buckets));
        *family->end = metric;
        family->end = &metric->next;
        map_set(m->by_labels, key, metric);
    }
    pthread_mutex_unlock(&m->lock);
    free(key);
    return metric;
}

struct metric *metrics_counter(struct metrics *m, const char *name, const char *labels,
                               const char *help)
{
    return metric_get(m, name, labels, COUNTER, help);
}

struct metric *metrics_gauge(struct metrics *m, const char *name, const char *labels,
                             const char *help)
{
    return metric_get(m, name, labels, GAUGE, help);
}

struct metric *metrics_histogram(struct metrics *m, const char *name, const char *labels,
                                 const char *help)
{
    return metric_get(m, name, labels, HISTOGRAM, help);
}

static double to_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

void metric_add(struct metric *metric, double value)
{
    uint64_t old = atomic_load_explicit(&metric->value, memory_order_relaxed);

    while (!atomic_compare_exchange_weak_explicit(&metric->value, &old,
                                                  to_bits(to_double(old) + value),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

void metric_set(struct metric *metric, double value)
{
    atomic_store_explicit(&metric->value, to_bits(value), memory_order_relaxed);
}

void metric_observe(struct metric *metric, double seconds)
{
    size_t i = 0;

    while (i < BOUND_COUNT && !(seconds <= bounds[i]))
        i++;
    atomic_fetch_add_explicit(&metric->buckets[i], 1, memory_order_relaxed);
    metric_add(metric, seconds);
}

static void add_number(struct buf *out, double value)
{
    if (isnan(value))
        buf_adds(out, "NaN");
    else if (isinf(value))
        buf_adds(out, value > 0 ? "+Inf" : "-Inf");
    else if (value == floor(value) && fabs(value) < 1e15)
        buf_addf(out, "%.0f", value);
    else
        buf_addf(out, "%.15g", value);
}

static void add_sample(struct buf *out, const struct metric *metric, const char *suffix,
                       const char *le, double value)
{
    bool labelled = *metric->labels || le;

    buf_addf(out, "%s%s", metric->family->name, suffix);
    if (labelled)
        buf_addf(out, "{%s", metric->labels);
    if (le)
        buf_addf(out, "%sle=\"%s\"", *metric->labels ? "," : "", le);
    buf_adds(out, labelled ? "} " : " ");
    add_number(out, value);
    buf_addc(out, '\n');
}

static void add_histogram(struct buf *out, struct metric *metric)
{
    uint64_t count = 0;

    for (size_t i = 0; i <= BOUND_COUNT; i++) {
        char le[32] = "+Inf";

        if (i < BOUND_COUNT)
            snprintf(le, sizeof(le), "%g", bounds[i]);
        count += atomic_load_explicit(&metric->buckets[i], memory_order_relaxed);
        add_sample(out, metric, "_bucket", le, (double)count);
    }
    add_sample(out, metric, "_sum", NULL, to_double(atomic_load(&metric->value)));
    add_sample(out, metric, "_count", NULL, (double)count);
}

static void add_help(struct buf *out, const struct family *family)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    buf_addf(out, "# HELP %s ", family->name);
    for (const char *p = family->help; *p; p++) {
        if (*p == '\n')
            buf_adds(out, "\\n");
        else if (*p == '\\')
            buf_adds(out, "\\\\");
        else
            buf_addc(out, *p);
    }
    buf_addf(out, "\n# TYPE %s %s\n", family->name, types[family->type]);
}

void metrics_write(struct metrics *m, struct buf *out)
{
    pthread_mutex_lock(&m->lock);
    for (struct family *family = m->first; family; family = family->next) {
        add_help(out, family);
        for (struct metric *metric = family->first; metric; metric = metric->next) {
            if (family->type == HISTOGRAM)
                add_histogram(out, metric);
            else
                add_sample(out, metric, "", NULL, to_double(atomic_load(&metric->value)));
        }
    }
    pthread_mutex_unlock(&m->lock);
}
