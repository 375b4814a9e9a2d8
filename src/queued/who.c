/* who.c - the names, home and groups of a uid
 *
 * Asked from the name service when a connection opens; kept for a minute, since a herd of commands
 * of one user must not become a herd of look-ups. Layer: programs.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/mem.h"
#include "host/loop.h"
#include "queued/daemon.h"

#define KEPT_MS 60000

struct known {
    uint32_t uid;
    uint64_t until_ms;
    char name[64], home[256], shell[128];
    uint32_t gids[TUG_CONTROL_GIDS];
    uint32_t n_gids;
    UT_hash_handle hh;
};

static struct known *all;

static void look_up(struct known *k, uint32_t gid)
{
    struct passwd *pw = getpwuid(k->uid);
    gid_t groups[TUG_CONTROL_GIDS];
    int n = TUG_CONTROL_GIDS;

    if (!pw) {
        snprintf(k->name, sizeof k->name, "%u", k->uid);
        snprintf(k->home, sizeof k->home, "/");
        snprintf(k->shell, sizeof k->shell, "/bin/sh");
        k->n_gids = 0;
        return;
    }
    snprintf(k->name, sizeof k->name, "%s", pw->pw_name);
    snprintf(k->home, sizeof k->home, "%s", pw->pw_dir);
    snprintf(k->shell, sizeof k->shell, "%s",
             pw->pw_shell && pw->pw_shell[0] ? pw->pw_shell : "/bin/sh");
    /* More groups than fit: the first ones count (the order's format says how many). */
    if (getgrouplist(pw->pw_name, gid, groups, &n) < 0)
        n = TUG_CONTROL_GIDS;
    k->n_gids = (uint32_t) n;
    for (int i = 0; i < n; i++)
        k->gids[i] = groups[i];
}

void who_fill(struct tug_control_peer *out, uint32_t uid, uint32_t gid)
{
    struct known *k;
    uint64_t now = tug_now_ms();

    HASH_FIND(hh, all, &uid, sizeof uid, k);
    if (!k) {
        k = tug_new(struct known);
        k->uid = uid;
        HASH_ADD(hh, all, uid, sizeof k->uid, k);
    }
    if (now >= k->until_ms) {
        look_up(k, gid);
        k->until_ms = now + KEPT_MS;
    }
    out->role = TUG_ROLE_USER;
    out->uid = uid;
    out->gid = gid;
    out->user = k->name;
    out->home = k->home;
    out->shell = k->shell;
    out->n_gids = k->n_gids;
    memcpy(out->gids, k->gids, sizeof out->gids);
}
