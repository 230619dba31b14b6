/* gantry-sandbox: the small program between the builder and what it runs. It links nothing but the
 * C library, holds nothing of the builder's memory or environment, and forks cheaply.
 *
 *   gantry-sandbox launch   makes the user namespace once, then starts bubblewrap for each sandbox
 *   gantry-sandbox init     is the first process inside one */
#ifndef GANTRY_SANDBOX_PROGRAM_H
#define GANTRY_SANDBOX_PROGRAM_H

#include "sandbox/wire.h"

int launcher_main(void);
int init_main(void);

/* FAILED with a reason: `what`, and strerror(error) unless that is 0. */
void program_failed(struct wire_packet *packet, int error, const char *what);

/* Removes a tree without following links; 0 or errno of the first failure. */
int program_remove_tree(const char *path);

/* What a tree takes on disk, links not followed; UINT64_MAX: it is too deep to look at. */
uint64_t program_tree_bytes(const char *path);

/* What neither the memory of processes nor a walk of folders shows; sampler_unseen.c. */
struct sampler_unseen {
    uint64_t shared_bytes; /* of memory */
    uint64_t disk_bytes;
    const char *unknown; /* why it can't be told; NULL: it can */
};
void sampler_look_for_unseen(const char *folder, struct sampler_unseen *out);

/* Watches what a sandbox uses (sampled, where no cgroup limits it). */
struct sampler {
    uint64_t memory_bytes, disk_bytes, free_bytes, processes; /* 0: no limit */
    char folders[4][64];
    size_t folder_count;
    int64_t next_walk_ms;
    struct sampler_unseen unseen; /* at the last walk */
    uint64_t peak_bytes;          /* the most memory at once, as far as it was looked */
};
/* Looks once. 1 with a reason when a limit was passed, else 0. */
int sampler_look(struct sampler *sampler, int64_t now_ms, char *reason, size_t size);
/* CPU time of all that runs below this process or ran and was waited for. */
uint64_t sampler_cpu_ms(void);

#endif
