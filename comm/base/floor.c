#include "comm/base/floor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { TRIES = 100 }; /* of 10 ms */

static struct {
    struct sockaddr_un at;
    socklen_t bytes; /* 0: no name */
    int fd;          /* of who speaks */
} place = {.fd = -1};

void floor_name(uint64_t job)
{
    char name[64];
    int n = snprintf(name, sizeof name, "duet-floor-%016llx", (unsigned long long)job);
    place.at.sun_family = AF_UNIX;
    place.at.sun_path[0] = 0; /* abstract: no file */
    memcpy(place.at.sun_path + 1, name, (size_t)n);
    place.bytes = (socklen_t)(sizeof place.at.sun_family + 1 + (size_t)n);
}

enum answer { TAKEN, SPOKEN, NOT_YET, UNKNOWN };

/* Bound, but nobody listens: its owner has not written yet. A queue that is full has a listener, too. */
static enum answer try_once(void)
{
    const struct sockaddr *at = (const struct sockaddr *)&place.at;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return UNKNOWN;
    if (bind(fd, at, place.bytes) == 0) {
        place.fd = fd;
        return TAKEN;
    }
    enum answer answer = errno == EADDRINUSE ? NOT_YET : UNKNOWN;
    if (answer == NOT_YET && (connect(fd, at, place.bytes) == 0 || errno == EAGAIN))
        answer = SPOKEN;
    close(fd);
    return answer;
}

bool floor_take(void)
{
    const struct timespec nap = {.tv_nsec = 10000000};
    if (place.bytes == 0 || place.fd >= 0) return true;
    for (int i = 0; i < TRIES; i++) {
        enum answer answer = try_once();
        if (answer != NOT_YET) return answer != SPOKEN;
        nanosleep(&nap, NULL);
    }
    return true;
}

void floor_spoken(void)
{
    if (place.fd >= 0 && listen(place.fd, SOMAXCONN) != 0) {
        close(place.fd); /* better two messages than none */
        place.fd = -1;
    }
}
