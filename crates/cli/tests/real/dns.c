/* Preloaded, this makes names resolve to nothing while the file NO_NAMES_WHILE exists, and counts beside it how often they were asked for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int resolve(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    const char *gone = getenv("NO_NAMES_WHILE");
    char asked[4096];
    if (gone != NULL && access(gone, F_OK) == 0) {
        snprintf(asked, sizeof asked, "%s.asked", gone);
        int file = open(asked, O_CREAT | O_WRONLY | O_APPEND, 0600);
        if (write(file, ".", 1) != 1)
            abort();
        close(file);
        return EAI_AGAIN;
    }
    return ((resolve *)dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, found);
}
