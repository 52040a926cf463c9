#include "comm/base/descriptors.h"

#include <dirent.h>
#include <limits.h>
#include <sys/resource.h>

enum { FOR_FILES = 32 }; /* logs, checkpoints, pipes to processes that grade */

long descriptors_open(void)
{
    DIR *list = opendir("/proc/self/fd");
    long n = -3; /* . and .. and the list's own */
    if (!list) return 0;
    while (readdir(list)) n++;
    closedir(list);
    return n;
}

static long as_long(rlim_t most)
{
    return most == RLIM_INFINITY || most > LONG_MAX ? LONG_MAX : (long)most;
}

long descriptors_most(void)
{
    struct rlimit most;
    return getrlimit(RLIMIT_NOFILE, &most) == 0 ? as_long(most.rlim_cur) : LONG_MAX;
}

bool descriptors_room(long more)
{
    struct rlimit most;
    long need = descriptors_open() + more + FOR_FILES;
    if (getrlimit(RLIMIT_NOFILE, &most) != 0 || as_long(most.rlim_cur) >= need) return true;
    most.rlim_cur = most.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &most) == 0 && as_long(most.rlim_cur) >= need;
}
