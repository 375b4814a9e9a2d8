/* handout.c - a rank of test_tugline.c; it says what it got, or why not
 *
 *     handout same | groups | nothing | missing RANK | length
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tugline/tugline.h>
#include <unistd.h>

static char why[TUG_WHY_MAX];
static struct tug_world w;

static int hand(const struct tug_group *g, int giver, char *id, int timeout_s)
{
    memset(id, 0, TUG_NCCL_ID_BYTES);
    if (w.rank == giver) /* with zero bytes inside, as NCCL's have */
        snprintf(id + 7, TUG_NCCL_ID_BYTES - 7, "%s by %d", g ? g->name : "world", w.rank);
    int rc = tug_hand_out(g, id, TUG_NCCL_ID_BYTES, timeout_s, why);
    if (rc) {
        printf("rank %d: %s\n", w.rank, why);
        fflush(stdout);
    }
    return rc;
}

/* The whole world twice, and even and odd ranks each for themselves, the last of them giving. */
static int groups(void)
{
    char a[TUG_NCCL_ID_BYTES], b[TUG_NCCL_ID_BYTES], c[TUG_NCCL_ID_BYTES];
    int mine[64], n = 0;
    for (int r = w.size - 1; r >= 0; r--)
        if (r % 2 == w.rank % 2)
            mine[n++] = r;
    struct tug_group g = {w.rank % 2 ? "odd" : "even", mine, n};
    if (hand(NULL, 0, a, 60) || hand(&g, mine[0], b, 60) || hand(NULL, 0, c, 60))
        return 1;
    printf("rank %d: %s, %s, %s\n", w.rank, a + 7, b + 7, c + 7);
    return 0;
}

int main(int argc, char **argv)
{
    char id[TUG_NCCL_ID_BYTES];
    const char *how = argc > 1 ? argv[1] : "same";
    if (tug_world_get(&w, why)) {
        printf("%s\n", why);
        return 1;
    }
    if (!strcmp(how, "groups"))
        return groups();
    if (!strcmp(how, "missing") && w.rank == atoi(argv[2]))
        pause();
    if (!strcmp(how, "missing")) {
        hand(NULL, 0, id, 3);
        pause(); /* so that all are heard; the test ends the gang */
    }
    if (!strcmp(how, "nothing")) {
        int rc = tug_nccl_unique_id(NULL, w.rank ? id : NULL, why);
        printf("rank %d: %d %s\n", w.rank, rc, why);
        return 0;
    }
    if (!strcmp(how, "length")) {
        int rc = tug_hand_out(NULL, id, w.rank ? 64 : 65, 60, why);
        printf("rank %d: %d %s\n", w.rank, rc, rc ? why : "");
        return 0;
    }
    if (hand(NULL, 0, id, 60))
        return 1;
    printf("rank %d of %d, local %d of %d, node %d of %d: %s\n", w.rank, w.size, w.local_rank, w.local_size,
           w.node, w.nodes, id + 7);
    return 0;
}
