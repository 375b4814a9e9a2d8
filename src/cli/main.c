/* main.c - the command `tug`: finds the verb and hands over
 *
 * Layer: cli.
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/verb.h"

/* A closed descriptor 0, 1 or 2 would be taken by the next socket, and our output would go there.
 * Open the wrong way round, so that using it still fails. */
static void keep_std_fds(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
            _exit(TUG_EXIT_REFUSED);
}

int main(int argc, char **argv)
{
    char *help[] = {(char *) "help", NULL}, *version[] = {(char *) "version", NULL};
    keep_std_fds();
    signal(SIGPIPE, SIG_IGN); /* a connection or a pipe that is gone comes back as EPIPE */
    /* A command lives for milliseconds: take memory in large pieces and give nothing back before
     * the end. */
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_TOP_PAD, 1 << 20);
    tug_out_init();
    int status;
    if (argc < 2) {
        tug_verb_run(1, help);
        status = TUG_EXIT_USAGE;
    } else if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        status = tug_verb_run(1, help);
    } else if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        status = tug_verb_run(1, version);
    } else {
        status = tug_verb_run(argc - 1, argv + 1);
    }
    tug_out_flush();
    return status;
}
