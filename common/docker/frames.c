/* "Stream format" of the Engine API's ContainerAttach: {stream, 0, 0, 0, size (big-endian)} and
 * size bytes. */
#include "docker/internal.h"

#define STREAMS   3 /* standard input, output, error */
#define FRAME_MAX (16u * 1024 * 1024)

static int begin(struct docker_frames *frames, struct err *err)
{
    const unsigned char *h = frames->head;
    uint32_t size = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];

    if (h[0] >= STREAMS || h[1] || h[2] || h[3] || size > FRAME_MAX)
        return err_set(err, ERR_INVALID,
                       "what the engine attaches is no stream of frames (%02x%02x%02x%02x, %u "
                       "bytes)",
                       h[0], h[1], h[2], h[3], size);
    frames->left = size;
    frames->head_len = 0;
    return 0;
}

int docker_frames_add(struct docker_frames *frames, const char *data, size_t len,
                      void (*output)(const char *data, size_t len, void *arg), void *arg,
                      struct err *err)
{
    while (len > 0) {
        if (frames->left > 0) {
            size_t n = frames->left < len ? frames->left : len;
            output(data, n, arg);
            frames->left -= (uint32_t)n;
            data += n;
            len -= n;
            continue;
        }
        frames->head[frames->head_len++] = (unsigned char)*data++;
        len--;
        if (frames->head_len == sizeof(frames->head) && begin(frames, err) < 0)
            return -1;
    }
    return 0;
}

bool docker_frames_whole(const struct docker_frames *frames)
{
    return frames->left == 0 && frames->head_len == 0;
}
