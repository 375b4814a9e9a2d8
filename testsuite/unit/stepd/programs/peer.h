/* peer.h - what is said between peer.c and who tells it what to do. Layer: tests. */
#ifndef PEER_H
#define PEER_H

enum peer_word { PEER_LISTENS, PEER_JOINED, PEER_DIES };
struct peer_hello {
    unsigned rank;
    enum peer_word word;
    int pid;
    long long at_ns; /* CLOCK_MONOTONIC */
};

enum peer_what {
    PEER_JOIN,
    PEER_EXIT,        /* with 'value', at 'at_ns' */
    PEER_SIGNAL,      /* is killed by it */
    PEER_LEAVE,       /* exits with 0, and its neighbours know that it would */
    PEER_IGNORE_TERM, /* from now on */
};
struct peer_order {
    enum peer_what what;
    int value;
    long long at_ns; /* CLOCK_MONOTONIC */
};

#endif
