/* What builds took, in /metrics. */
#include "builder.h"

void usage_metrics_init(struct usage_metrics *usage, struct metrics *metrics)
{
    static const char *const outcomes[] = {NULL, "outcome=\"succeeded\"", "outcome=\"failed\"",
                                           "outcome=\"stopped\""};
    for (size_t i = 1; i < 4; i++)
        usage->builds[i] =
            metrics_counter(metrics, "gantry_builds_total", outcomes[i], "Builds that ended");
    usage->build_seconds = metrics_counter(metrics, "gantry_build_seconds_total", NULL,
                                           "Time that builds took, from their place to their end");
    usage->cpu_seconds = metrics_counter(metrics, "gantry_build_cpu_seconds_total", NULL,
                                         "CPU time of the processes of builds");
    usage->memory_peak = metrics_gauge(metrics, "gantry_build_memory_peak_bytes", NULL,
                                       "The most memory that the last build had at once");
    usage->bytes_in = metrics_counter(metrics, "gantry_build_bytes_total", "direction=\"in\"",
                                      "Bytes that builds got from and put into the artifact store");
    usage->bytes_out =
        metrics_counter(metrics, "gantry_build_bytes_total", "direction=\"out\"",
                        "Bytes that builds got from and put into the artifact store");
}

void usage_count(struct usage_metrics *usage, const Gantry__V1__Finished *finished)
{
    const Gantry__V1__Usage *took = finished->usage;
    if (finished->outcome >= 1 && finished->outcome < 4)
        metric_add(usage->builds[finished->outcome], 1);
    if (!took)
        return;
    metric_add(usage->build_seconds, (double)took->build_ms / 1000);
    metric_add(usage->cpu_seconds, (double)took->cpu_ms / 1000);
    metric_set(usage->memory_peak, (double)took->memory_peak_bytes);
    metric_add(usage->bytes_in, (double)took->bytes_in);
    metric_add(usage->bytes_out, (double)took->bytes_out);
}
