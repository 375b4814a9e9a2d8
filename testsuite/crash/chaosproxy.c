/* chaosproxy.c - a bad network between real daemons
 *
 *   chaosproxy [-s SEED] [-f FAULT=PER_THOUSAND]... RELAY...
 *
 *   client=FROM,TO                whole messages of the commands' socket
 *   node=FROM,TO,NODES,STATE      whole messages of node daemons, whose keys are NODES/NAME/state/node.key and in STATE/keys
 *   bytes=FROM,TO                 whatever passes
 *
 * FROM and TO are "host:port" or "unix:/path", TO may be "@FILE" with that in it. Pieces take 0 to 200 ms and have the faults of
 * chaos.def; -f changes these for all kinds. That begins with SIGUSR1, and ends with another one: otherwise all passes as it comes.
 * SIGTERM: prints what it did, and ends. "ready" is printed when all relays listen. Layer: tests.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/rand.h"
#include "base/str.h"
#include "chaos.h"

#define DELAY_US 200000

static struct {
    const char *name;
    unsigned of_1000[KINDS];
    unsigned long n[KINDS];
} faults[FAULTS] = {
#define FAULT(NAME, name, messages, bytes, star) {name, {messages, bytes, star}, {0}},
#include "chaos.def"
#undef FAULT
};
static const char *const kinds[KINDS] = {"messages", "bytes", "star"};
static struct event_base *loop;
static struct tug_rand rng;
static unsigned long passed[KINDS];
static bool bad;

struct event_base *chaos_loop(void)
{
    return loop;
}

int64_t chaos_now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

unsigned chaos_below(unsigned n)
{
    return n ? (unsigned) tug_rand_below(&rng, n) : 0;
}

bool chaos_strikes(enum kind kind, enum fault fault)
{
    if (!bad || chaos_below(1000) >= faults[fault].of_1000[kind])
        return false;
    faults[fault].n[kind]++;
    return true;
}

unsigned chaos_delay_us(void)
{
    return bad ? chaos_below(DELAY_US) : 0;
}

void chaos_passed(enum kind kind)
{
    passed[kind] += bad;
}

void chaos_fail(const char *what, const char *why)
{
    fprintf(stderr, "chaosproxy: %s: %s\n", what, why);
    exit(1);
}

const char *chaos_endpoint(const char *to)
{
    static char text[4200];
    if (*to != '@')
        return to;
    FILE *f = fopen(to + 1, "re");
    if (!f || !fgets(text, sizeof text, f))
        text[0] = '\0';
    if (f)
        fclose(f);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static void report(void)
{
    for (int k = 0; k < KINDS; k++) {
        printf("%s %lu", kinds[k], passed[k]);
        for (int i = 0; i < FAULTS; i++)
            if (faults[i].n[k])
                printf(", %s %lu", faults[i].name, faults[i].n[k]);
        printf("%s", k < KINDS - 1 ? "; " : "\n");
    }
    fflush(stdout);
}

static void on_change(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    bad = !bad;
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    event_base_loopbreak(loop);
}

/* ---- what was asked for */

static void set_fault(const char *text)
{
    const char *eq = strchr(text, '=');
    int i = 0;
    while (i < FAULTS && !(eq && strlen(faults[i].name) == (size_t) (eq - text) && !strncmp(faults[i].name, text, (size_t) (eq - text))))
        i++;
    if (i == FAULTS)
        chaos_fail(text, "no such fault");
    for (int k = 0; k < KINDS; k++)
        faults[i].of_1000[k] = (unsigned) atoi(eq + 1);
}

static void open_relay(char *text)
{
    char *word[4] = {0}, *save = NULL, *eq = strchr(text, '=');
    if (!eq)
        chaos_fail(text, "not KIND=FROM,TO");
    *eq = '\0';
    for (int i = 0; i < 4; i++)
        word[i] = strtok_r(i ? NULL : eq + 1, ",", &save);
    if (!strcmp(text, "client") && word[1])
        chaos_messages_client(word[0], word[1]);
    else if (!strcmp(text, "node") && word[3])
        chaos_messages_node(word[0], word[1], word[2], word[3]);
    else if (!strcmp(text, "bytes") && word[1])
        chaos_bytes(KIND_BYTES, word[0], word[1]);
    else
        chaos_fail(text, "no such relay, or too few words behind it");
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    int o;
    if (sodium_init() < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    while ((o = getopt(argc, argv, "s:f:")) > 0)
        if (o == 's')
            seed = strtoull(optarg, NULL, 10);
        else if (o == 'f')
            set_fault(optarg);
        else
            return 2;
    rng = tug_rand_seed(seed);
    loop = event_base_new();
    if (!loop || optind == argc)
        chaos_fail("usage", "chaosproxy [-s SEED] [-f FAULT=PER_THOUSAND]... RELAY...");
    struct event *change = evsignal_new(loop, SIGUSR1, on_change, NULL), *ended = evsignal_new(loop, SIGTERM, on_end, NULL);
    event_add(change, NULL);
    event_add(ended, NULL);
    for (int i = optind; i < argc; i++)
        open_relay(argv[i]);
    puts("ready");
    fflush(stdout);
    event_base_dispatch(loop);
    report();
    return 0;
}
