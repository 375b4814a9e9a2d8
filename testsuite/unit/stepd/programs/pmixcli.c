/* pmixcli.c - what the PMIx server must do beyond MPI_Init: put, fence, get, direct get, publish,
 * lookup
 *
 * Every rank puts two values; the first is exchanged by a fence, the second is fetched directly
 * from its rank. The last rank publishes a name that rank 0 already waits for. Prints "rank R of N
 * ok".
 */
#include <pmix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pmix_proc_t me;

static void must(pmix_status_t rc, const char *what)
{
    if (rc == PMIX_SUCCESS)
        return;
    printf("rank %u: %s: %s\n", me.rank, what, PMIx_Error_string(rc));
    fflush(stdout);
    _exit(4);
}

static unsigned get(unsigned rank, const char *key)
{
    pmix_proc_t p = me;
    pmix_value_t *v = NULL;

    p.rank = rank;
    must(PMIx_Get(&p, key, NULL, 0, &v), key);
    return v->data.uint32;
}

static void put(pmix_scope_t scope, const char *key, unsigned number)
{
    pmix_value_t v = {.type = PMIX_UINT32, .data.uint32 = number};

    must(PMIx_Put(scope, key, &v), "put");
}

int main(void)
{
    pmix_proc_t all;
    pmix_info_t collect;
    bool yes = true;
    unsigned n;

    must(PMIx_Init(&me, NULL, 0), "init");
    all = me;
    all.rank = PMIX_RANK_WILDCARD;
    {
        pmix_value_t *v = NULL;
        must(PMIx_Get(&all, PMIX_JOB_SIZE, NULL, 0, &v), "job size");
        n = v->data.uint32;
    }
    put(PMIX_GLOBAL, "first", me.rank + 100);
    put(PMIX_GLOBAL, "second", me.rank + 200);
    must(PMIx_Commit(), "commit");
    PMIx_Info_load(&collect, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
    must(PMIx_Fence(&all, 1, &collect, 1), "fence");
    for (unsigned r = 0; r < n; r++)
        if (get(r, "first") != r + 100)
            must(PMIX_ERROR, "first");
    put(PMIX_GLOBAL, "third", me.rank + 300);
    must(PMIx_Commit(), "commit");
    must(PMIx_Fence(&all, 1, NULL, 0), "fence without data");
    if (get((me.rank + 1) % n, "third") != (me.rank + 1) % n + 300)
        must(PMIX_ERROR, "third");
    if (me.rank == 0) {
        pmix_pdata_t d;
        pmix_info_t wait;
        int zero = 0;
        memset(&d, 0, sizeof d);
        strcpy(d.key, "a-name");
        PMIx_Info_load(&wait, PMIX_WAIT, &zero, PMIX_INT);
        must(PMIx_Lookup(&d, 1, &wait, 1), "lookup");
        if (d.value.type != PMIX_STRING || strcmp(d.value.data.string, "a-value") != 0 ||
            d.proc.rank != n - 1)
            must(PMIX_ERROR, "looked up value");
    }
    if (me.rank == n - 1) {
        pmix_info_t i;
        usleep(30000); /* so that the lookup has to wait */
        PMIx_Info_load(&i, "a-name", "a-value", PMIX_STRING);
        must(PMIx_Publish(&i, 1), "publish");
    }
    must(PMIx_Fence(&all, 1, NULL, 0), "last fence");
    if (me.rank == n - 1) {
        char *keys[] = {"a-name", NULL};
        must(PMIx_Unpublish(keys, NULL, 0), "unpublish");
    }
    must(PMIx_Finalize(NULL, 0), "finalize");
    printf("rank %u of %u ok\n", me.rank, n);
    return 0;
}
