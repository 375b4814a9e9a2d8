/* probe.c - the preflight of a job: a prober of ours, and what it says of the gang's nodes
 *
 * A verdict is two lines, a node's name ("-" = none) and a sentence. The prober runs as the job's user, so both are
 * that user's word: they are read as such. Layer: stepd.
 */
#include "stepd/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/version.h"
#include "stepd/cause.h"

#define VERDICT_MAX 1024

char *tug_probe_path(const struct tug_payload *p, unsigned rank)
{
    return p->pb->preflight ? tug_xasprintf("%s/verdict.%u", p->run_dir, rank) : tug_xstrdup("");
}

char *tug_probe_program(const char *name)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (!slash)
        return tug_xasprintf("%s/%s", TUG_LIBEXECDIR, name);
    *slash = '\0';
    return tug_xasprintf("%s/%s", self, name);
}

static size_t read_file(const char *path, char *out, size_t size_bytes)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, out, size_bytes - 1) : 0;
    if (fd >= 0)
        close(fd);
    unlink(path);
    return n > 0 ? (size_t) n : 0;
}

static const char *node_of_gang(const struct tug_payload *p, const char *name)
{
    for (size_t i = 0; i < p->pb->n_slices; i++)
        if (!strcmp(p->pb->slices[i]->node, name))
            return p->pb->slices[i]->node;
    return NULL;
}

bool tug_probe_verdict(const struct tug_payload *p, unsigned rank, const Tugpb__ExitInfo *exit, struct tug_cause *out)
{
    char text[VERDICT_MAX], *path = tug_probe_path(p, rank);
    size_t n = *path ? read_file(path, text, sizeof text) : 0;
    free(path);
    text[n] = '\0';
    char *why = strchr(text, '\n');
    if (!why || !why[1])
        return false;
    *why++ = '\0';
    why[strcspn(why, "\n")] = '\0';
    const char *node = node_of_gang(p, text);
    tug_cause_set(out, node ? "preflight" : "rank", node ? node : p->node, rank, exit, "%s", why);
    return true;
}
