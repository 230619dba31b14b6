/* A web server that says who it is: its release and its image's digest. It listens on CHECK_PORT at
 * once; on PORT, where visitors come, only after POST /serve on the check port, beside a former
 * release that is still there (SO_REUSEPORT). */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void on_term(int signo)
{
    (void)signo;
    stopping = 1;
}

static const char *setting(const char *name, const char *otherwise)
{
    const char *value = getenv(name);

    return value && *value ? value : otherwise;
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 64) != 0) {
        perror("listen");
        exit(1);
    }
    return fd;
}

/* Answers one request. POST /serve is answered when visitors can come: *public_fd listens then. */
static void answer(int client, int *public_fd)
{
    struct timeval limit = {.tv_sec = 2};
    char request[2048], body[512], reply[1024];
    ssize_t got;
    int len;

    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    got = recv(client, request, sizeof request - 1, 0);
    request[got > 0 ? got : 0] = 0;
    if (strncmp(request, "POST /serve ", 12) == 0 && *public_fd < 0)
        *public_fd = listen_on(atoi(setting("PORT", "8080")));
    len = snprintf(body, sizeof body, "Hello from %s, release %s\n%s\n",
                   setting("ENVIRONMENT", "nowhere"), setting("RELEASE", "none"),
                   setting("DIGEST", "no digest"));
    len = snprintf(reply, sizeof reply,
                   "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
                   "%d\r\nConnection: close\r\n\r\n%s",
                   len, body);
    send(client, reply, (size_t)len, MSG_NOSIGNAL);
    close(client);
}

int main(void)
{
    struct sigaction action = {.sa_handler = on_term};
    struct pollfd fds[2] = {{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int none = 0;

    sigaction(SIGTERM, &action, NULL);
    fds[0].fd = listen_on(atoi(setting("CHECK_PORT", "8081")));
    while (!stopping) {
        if (poll(fds, 2, 1000) <= 0)
            continue;
        for (int i = 0; i < 2; i++) {
            int client = fds[i].revents & POLLIN ? accept(fds[i].fd, NULL, NULL) : -1;

            if (client >= 0)
                answer(client, i == 0 ? &fds[1].fd : &none);
        }
    }
    return 0;
}
