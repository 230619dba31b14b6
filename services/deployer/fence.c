/* DESIGN: a file a target with two slots, each a line and its checksum, written in turn and in
 * place: one fdatasync(2) instead of the two fsync(2) and the rename of a new file, since this
 * stands before every deploy. A slot that a power cut left half-written does not count; the other
 * one does, and the deploy that was to follow had not begun. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sha256.h"
#include "services/deployer/deployer.h"

#define SLOTS     2
#define SLOT_SIZE 512 /* a sector */
#define SUM_LEN   16

struct fence {
    const char *path;
    int fd;
    bool empty;    /* never written */
    unsigned next; /* the slot to write */
    uint64_t epoch, sequence;
};

static void checksum(const char *line, char sum[SUM_LEN + 1])
{
    char hex[SHA256_HEX_SIZE];

    sha256_hex(line, strlen(line), hex);
    snprintf(sum, SUM_LEN + 1, "%.*s", SUM_LEN, hex);
}

/* "<epoch> <sequence> <run> <checksum of what is before it>\n" */
static bool read_slot(char slot[SLOT_SIZE + 1], uint64_t *epoch, uint64_t *sequence)
{
    char sum[SUM_LEN + 1];

    slot[strcspn(slot, "\n")] = '\0';
    char *space = strrchr(slot, ' ');
    if (!space)
        return false;
    *space = '\0';
    checksum(slot, sum);
    return strcmp(space + 1, sum) == 0 &&
           sscanf(slot, "%" SCNu64 " %" SCNu64, epoch, sequence) == 2;
}

static bool before(uint64_t epoch_a, uint64_t sequence_a, uint64_t epoch_b, uint64_t sequence_b)
{
    return epoch_a != epoch_b ? epoch_a < epoch_b : sequence_a < sequence_b;
}

static int read_fence(struct fence *fence, struct err *err)
{
    char slots[SLOTS][SLOT_SIZE];
    const ssize_t len = pread(fence->fd, slots, sizeof(slots), 0);

    if (len < 0)
        return err_errno(err, errno, "cannot read the fence '%s'", fence->path);
    fence->empty = true;
    for (unsigned i = 0; i < SLOTS && (size_t)len == sizeof(slots); i++) {
        char slot[SLOT_SIZE + 1] = {0};
        uint64_t epoch, sequence;
        memcpy(slot, slots[i], SLOT_SIZE);
        if (!read_slot(slot, &epoch, &sequence) ||
            (!fence->empty && before(epoch, sequence, fence->epoch, fence->sequence)))
            continue;
        fence->empty = false;
        fence->epoch = epoch;
        fence->sequence = sequence;
        fence->next = (i + 1) % SLOTS;
    }
    if (fence->empty && (size_t)len == sizeof(slots))
        return err_set(
            err, ERR_INVALID,
            "the fence '%s' cannot be read; remove the file once you know what runs there",
            fence->path);
    return 0;
}

static int sync_folder(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int rc = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return rc;
}

static int write_fence(const struct fence *fence, const char *folder,
                       const struct event_order *order, const char *run_id, struct err *err)
{
    char slots[SLOTS][SLOT_SIZE] = {{0}};
    char line[SLOT_SIZE / 2], sum[SUM_LEN + 1];
    int rc;

    snprintf(line, sizeof(line), "%" PRIu64 " %" PRIu64 " %.64s", order->epoch, order->sequence,
             run_id);
    checksum(line, sum);
    snprintf(slots[0], SLOT_SIZE, "%s %s\n", line, sum);
    if (fence->empty)
        rc = pwrite(fence->fd, slots, sizeof(slots), 0) == sizeof(slots) && fsync(fence->fd) == 0
                 ? sync_folder(folder)
                 : -1;
    else
        rc = pwrite(fence->fd, slots[0], SLOT_SIZE, (off_t)fence->next * SLOT_SIZE) == SLOT_SIZE
                 ? fdatasync(fence->fd)
                 : -1;
    if (rc != 0)
        return err_errno(err, errno, "cannot write the fence '%s'", fence->path);
    return 0;
}

int fence_raise(const char *folder, const char *environment, const char *pipeline,
                const struct event_order *order, const char *run_id, struct err *err)
{
    char *path = mem_printf("%s/%s.%s", folder, environment, pipeline);
    struct fence fence = {.path = path};
    int rc = -1;

    fence.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fence.fd < 0 || flock(fence.fd, LOCK_EX) != 0) {
        err_errno(err, errno, "cannot open the fence '%s'", path);
        goto out;
    }
    if (read_fence(&fence, err) != 0)
        goto out;
    if (!fence.empty && before(order->epoch, order->sequence, fence.epoch, fence.sequence)) {
        err_set(err, ERR_CONFLICT, "a newer decision about %s in %s was carried out already",
                pipeline, environment);
        goto out;
    }
    /* One Decision may ask for several runs, and a run may come again: nothing new to note. */
    if (!fence.empty && order->epoch == fence.epoch && order->sequence == fence.sequence)
        rc = 0;
    else
        rc = write_fence(&fence, folder, order, run_id, err);
out:
    if (fence.fd >= 0)
        close(fence.fd);
    free(path);
    return rc;
}
