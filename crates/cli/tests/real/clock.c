/* Preloaded, this makes the wall clock of a process jump by more than a year, forth and back, ten times a second. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    static const long days[] = {0, 500, -500, 1, -1};
    struct timespec steady;
    if (syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &steady) != 0 || syscall(SYS_clock_gettime, clock, now) != 0)
        return -1;
    if (clock == CLOCK_REALTIME)
        now->tv_sec += 86400 * days[steady.tv_nsec / 100000000 % 5];
    return 0;
}
