/* etcd.c - a client of etcd v3, as much of it as a controller's state needs
 *
 * One libcurl handle, kept open. 'at' is the endpoint that answered last; it moves on when one does not.
 * Layer: host.
 */
#include "host/etcd.h"

#include <curl/curl.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "host/loop.h"

#define TIMEOUT_MS   1500
#define PATIENCE_MS  10000
#define PAUSE_MS     100
#define ANSWER_MAX   (64u << 20)

struct tug_etcd {
    CURL *curl;
    struct curl_slist *headers;
    char **endpoints;
    size_t n, at;
    char *ca, *cert, *key;
    uint32_t timeout_ms, patience_ms;
    atomic_int aborted;
    struct tug_buf answer;
    char problem[CURL_ERROR_SIZE];
};

/* ---- life */

static void init_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    struct tug_etcd *e = arg;
    if (e->answer.len + size * n > ANSWER_MAX)
        return 0;
    tug_buf_add(&e->answer, data, size * n);
    return size * n;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct tug_etcd *e = arg;
    (void) a, (void) b, (void) c, (void) d;
    return atomic_load(&e->aborted);
}

static int check_endpoints(const struct tug_etcd_opts *o, struct tug_err *err)
{
    if (!o->n_endpoints)
        return tug_fail(err, -EINVAL, "etcd: no endpoint is configured; say etcd.endpoints");
    for (size_t i = 0; i < o->n_endpoints; i++) {
        int tls = !strncmp(o->endpoints[i], "https://", 8);
        if (!tls && strncmp(o->endpoints[i], "http://", 7) != 0)
            return tug_fail(err, -EINVAL, "etcd: endpoint '%s' does not begin with http:// or https://", o->endpoints[i]);
        if (o->ca_file && !tls)
            return tug_fail(err, -EINVAL, "etcd: endpoint '%s' is not https, but there is a CA file", o->endpoints[i]);
    }
    return 0;
}

static void set_curl(struct tug_etcd *e)
{
    curl_easy_setopt(e->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(e->curl, CURLOPT_HTTPHEADER, e->headers);
    curl_easy_setopt(e->curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(e->curl, CURLOPT_WRITEDATA, e);
    curl_easy_setopt(e->curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(e->curl, CURLOPT_XFERINFODATA, e);
    curl_easy_setopt(e->curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(e->curl, CURLOPT_ERRORBUFFER, e->problem);
    curl_easy_setopt(e->curl, CURLOPT_TIMEOUT_MS, (long) e->timeout_ms);
    curl_easy_setopt(e->curl, CURLOPT_TCP_NODELAY, 1L);
    if (e->ca)
        curl_easy_setopt(e->curl, CURLOPT_CAINFO, e->ca);
    if (e->cert)
        curl_easy_setopt(e->curl, CURLOPT_SSLCERT, e->cert);
    if (e->key)
        curl_easy_setopt(e->curl, CURLOPT_SSLKEY, e->key);
}

int tug_etcd_new(struct tug_etcd **out, const struct tug_etcd_opts *o, struct tug_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int rc = check_endpoints(o, err);
    if (rc)
        return rc;
    pthread_once(&once, init_curl);
    struct tug_etcd *e = tug_new(struct tug_etcd);
    e->n = o->n_endpoints;
    e->endpoints = tug_xcalloc(e->n, sizeof *e->endpoints);
    for (size_t i = 0; i < e->n; i++)
        e->endpoints[i] = tug_xstrdup(o->endpoints[i]);
    e->ca = tug_xstrdup(o->ca_file);
    e->cert = tug_xstrdup(o->cert_file);
    e->key = tug_xstrdup(o->key_file);
    e->timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
    e->patience_ms = o->patience_ms ? o->patience_ms : PATIENCE_MS;
    /* Bodies over 1 MiB would otherwise wait a second for a "100 Continue" that etcd does not send. */
    e->headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
    e->curl = curl_easy_init();
    tug_assert(e->curl && e->headers);
    set_curl(e);
    *out = e;
    return 0;
}

void tug_etcd_free(struct tug_etcd *e)
{
    if (!e)
        return;
    curl_easy_cleanup(e->curl);
    curl_slist_free_all(e->headers);
    for (size_t i = 0; i < e->n; i++)
        free(e->endpoints[i]);
    free(e->endpoints);
    free(e->ca);
    free(e->cert);
    free(e->key);
    tug_buf_clear(&e->answer);
    free(e);
}

void tug_etcd_abort(struct tug_etcd *e)
{
    atomic_store(&e->aborted, 1);
}

/* ---- asking */

/* etcd's own word for it: the gateway says {"error":"...","code":N}, a stream {"error":{"message":"..."}}. */
static const char *refusal(const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *text = json_string_value(json_is_object(error) ? json_object_get(error, "message") : error);
    return text;
}

/* Worth asking somebody else: a member that has no leader, or is on its way up or down. */
static int is_passing(const char *text)
{
    static const char *const passing[] = {"no leader", "leader changed", "timed out", "timeout", "server stopped",
                                          "not ready", "Unavailable", "connection", "too many requests"};
    for (size_t i = 0; i < sizeof passing / sizeof *passing; i++)
        if (strstr(text, passing[i]))
            return 1;
    return 0;
}

static int ask_once(struct tug_etcd *e, const char *path, const char *body, size_t len, json_t **out, struct tug_err *err)
{
    char *url = tug_xasprintf("%s%s", e->endpoints[e->at], path);
    json_error_t wrong;
    long status = 0;
    tug_buf_reset(&e->answer);
    e->problem[0] = 0;
    curl_easy_setopt(e->curl, CURLOPT_URL, url);
    if (body) {
        curl_easy_setopt(e->curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(e->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) len);
    } else {
        curl_easy_setopt(e->curl, CURLOPT_HTTPGET, 1L);
    }
    CURLcode got = curl_easy_perform(e->curl);
    curl_easy_getinfo(e->curl, CURLINFO_RESPONSE_CODE, &status);
    free(url);
    if (atomic_load(&e->aborted))
        return tug_fail(err, -ECANCELED, "etcd: given up");
    if (got != CURLE_OK) /* a certificate that etcd refuses looks like any connection that ends */
        return tug_fail(err, -EHOSTUNREACH, "etcd at %s: %s%s", e->endpoints[e->at],
                        e->problem[0] ? e->problem : curl_easy_strerror(got),
                        e->cert && got != CURLE_COULDNT_CONNECT && got != CURLE_OPERATION_TIMEDOUT
                            ? " (is our certificate still valid? etcd's log says when it refuses it)" : "");
    /* Of a stream the first message is the answer. */
    json_t *answer = json_loadb(e->answer.data ? e->answer.data : "", e->answer.len, JSON_DISABLE_EOF_CHECK, &wrong);
    const char *why = answer ? refusal(answer) : NULL;
    if (!answer || why || status / 100 != 2) {
        int rc = why && strstr(why, "space exceeded") ? -ENOSPC
                 : status == 503 || (why && is_passing(why)) ? -EHOSTUNREACH : -EPROTO;
        tug_fail(err, rc, "etcd at %s: %s (HTTP status %ld)", e->endpoints[e->at],
                          why ? why : answer ? "refused" : "answers something that is not JSON", status);
        json_decref(answer);
        return rc;
    }
    *out = answer;
    return 0;
}

static void pause_ms(struct tug_etcd *e, uint32_t ms)
{
    for (uint32_t i = 0; i < ms && !atomic_load(&e->aborted); i += 10)
        nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
}

static int ask(struct tug_etcd *e, const char *path, const char *body, size_t len, json_t **out, struct tug_err *err)
{
    uint64_t until = tug_now_ms() + e->patience_ms;
    for (size_t tries = 1;; tries++) {
        int rc = ask_once(e, path, body, len, out, err);
        if (rc != -EHOSTUNREACH || tug_now_ms() >= until)
            return rc;
        e->at = (e->at + 1) % e->n;
        if (tries % e->n == 0)
            pause_ms(e, PAUSE_MS);
    }
}

/* ---- what JSON has of it */

static void add_base64(struct tug_buf *b, const void *data, size_t len)
{
    size_t room = sodium_base64_encoded_len(len, sodium_base64_VARIANT_ORIGINAL); /* with its NUL */
    sodium_bin2base64(tug_buf_room(b, room), room, data, len, sodium_base64_VARIANT_ORIGINAL);
    b->len += room - 1;
}

static void add_key(struct tug_buf *b, const char *name, const char *key)
{
    tug_buf_addf(b, "\"%s\":\"", name);
    add_base64(b, key, strlen(key));
    tug_buf_addc(b, '"');
}

/* 64-bit numbers come as texts, and a 0 does not come at all. */
static int64_t number(const json_t *object, const char *name)
{
    const json_t *v = json_object_get(object, name);
    return json_is_string(v) ? strtoll(json_string_value(v), NULL, 10) : (int64_t) json_integer_value(v);
}

static int is_true(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* A new block with a NUL behind it, or NULL. */
static char *bytes(const json_t *object, const char *name, size_t *len)
{
    const json_t *v = json_object_get(object, name);
    size_t n = json_string_length(v);
    char *out = tug_xmalloc(n + 1);
    *len = 0;
    if (n && sodium_base642bin((unsigned char *) out, n, json_string_value(v), n, NULL, len, NULL,
                               sodium_base64_VARIANT_ORIGINAL) != 0) {
        free(out);
        return NULL;
    }
    out[*len] = 0;
    return out;
}

/* ---- calls */

int tug_etcd_version(struct tug_etcd *e, char *version, size_t size_bytes, unsigned *members, struct tug_err *err)
{
    json_t *answer = NULL, *list = NULL;
    int rc = ask(e, "/version", NULL, 0, &answer, err);
    if (!rc)
        rc = ask(e, "/v3/cluster/member/list", "{}", 2, &list, err);
    if (!rc) {
        const char *text = json_string_value(json_object_get(answer, "etcdserver"));
        snprintf(version, size_bytes, "%s", text ? text : "");
        *members = (unsigned) json_array_size(json_object_get(list, "members"));
    }
    json_decref(answer);
    json_decref(list);
    return rc;
}

/* A request that is one number: {"ID":"7"}. The caller drops the answer. */
static int ask_number(struct tug_etcd *e, const char *path, const char *name, int64_t n, json_t **out, struct tug_err *err)
{
    char body[64];
    int len = snprintf(body, sizeof body, "{\"%s\":\"%lld\"}", name, (long long) n);
    return ask(e, path, body, (size_t) len, out, err);
}

int tug_etcd_lease_grant(struct tug_etcd *e, uint32_t ttl_s, int64_t *lease, struct tug_err *err)
{
    json_t *answer = NULL;
    int rc = ask_number(e, "/v3/lease/grant", "TTL", ttl_s, &answer, err);
    if (!rc && !(*lease = number(answer, "ID")))
        rc = tug_fail(err, -EPROTO, "etcd at %s: a lease without a number", e->endpoints[e->at]);
    json_decref(answer);
    return rc;
}

int tug_etcd_lease_keepalive(struct tug_etcd *e, int64_t lease, struct tug_err *err)
{
    json_t *answer = NULL;
    int rc = ask_number(e, "/v3/lease/keepalive", "ID", lease, &answer, err);
    if (!rc && number(json_object_get(answer, "result"), "TTL") <= 0)
        rc = tug_fail(err, -ENOENT, "etcd: the lease has run out");
    json_decref(answer);
    return rc;
}

int tug_etcd_lease_revoke(struct tug_etcd *e, int64_t lease, struct tug_err *err)
{
    json_t *answer = NULL;
    int rc = ask_number(e, "/v3/lease/revoke", "ID", lease, &answer, err);
    json_decref(answer);
    return rc;
}

static int hand_over(const json_t *row, tug_etcd_kv_cb *cb, void *arg, struct tug_err *err)
{
    size_t key_len, len;
    char *key = bytes(row, "key", &key_len), *value = bytes(row, "value", &len);
    int rc = key && value ? 0 : tug_fail(err, -EPROTO, "etcd: a key or value that is not base64");
    if (!rc) {
        struct tug_etcd_kv kv = {key, value, len, number(row, "create_revision"), number(row, "mod_revision"),
                                 number(row, "lease")};
        rc = cb(arg, &kv, err);
    }
    free(key);
    free(value);
    return rc;
}

/* n NULL: with values. */
static int range(struct tug_etcd *e, const char *from, const char *to, uint32_t limit, uint64_t *n, tug_etcd_kv_cb *cb, void *arg,
                 struct tug_err *err)
{
    struct tug_buf body = {0};
    json_t *answer = NULL, *row;
    size_t i;
    tug_buf_addc(&body, '{');
    add_key(&body, "key", from);
    if (to) {
        tug_buf_addc(&body, ',');
        add_key(&body, "range_end", to);
    }
    tug_buf_addf(&body, ",\"limit\":\"%u\"%s}", limit, n ? ",\"keys_only\":true" : "");
    int rc = ask(e, "/v3/kv/range", body.data, body.len, &answer, err);
    if (n)
        *n = (uint64_t) number(answer, "count");
    json_array_foreach(json_object_get(answer, "kvs"), i, row) {
        if (rc)
            break;
        rc = hand_over(row, cb, arg, err);
    }
    json_decref(answer);
    tug_buf_clear(&body);
    return rc;
}

int tug_etcd_range(struct tug_etcd *e, const char *from, const char *to, uint32_t limit, tug_etcd_kv_cb *cb, void *arg,
                   struct tug_err *err)
{
    return range(e, from, to, limit, NULL, cb, arg, err);
}

int tug_etcd_keys(struct tug_etcd *e, const char *from, const char *to, uint32_t limit, uint64_t *n, tug_etcd_kv_cb *cb, void *arg,
                  struct tug_err *err)
{
    return range(e, from, to, limit, n, cb, arg, err);
}

int tug_etcd_compact(struct tug_etcd *e, int64_t revision, struct tug_err *err)
{
    json_t *answer = NULL;
    int rc = ask_number(e, "/v3/kv/compaction", "revision", revision, &answer, err);
    json_decref(answer);
    return rc;
}

/* ---- transactions */

void tug_etcd_txn_clear(struct tug_etcd_txn *t)
{
    tug_buf_clear(&t->compare);
    tug_buf_clear(&t->then);
}

static void compare(struct tug_etcd_txn *t, const char *key, const char *target, const char *result, const char *field, int64_t revision)
{
    tug_buf_adds(&t->compare, t->compare.len ? ",{" : "{");
    add_key(&t->compare, "key", key);
    tug_buf_addf(&t->compare, ",\"target\":\"%s\",\"result\":\"%s\",\"%s\":\"%lld\"}", target, result, field, (long long) revision);
}

void tug_etcd_if_created(struct tug_etcd_txn *t, const char *key, int64_t create_revision)
{
    compare(t, key, "CREATE", "EQUAL", "create_revision", create_revision);
}

void tug_etcd_if_there(struct tug_etcd_txn *t, const char *key)
{
    compare(t, key, "CREATE", "GREATER", "create_revision", 0);
}

void tug_etcd_if_leased(struct tug_etcd_txn *t, const char *key, int64_t lease)
{
    compare(t, key, "LEASE", "EQUAL", "lease", lease);
}

void tug_etcd_if_modified(struct tug_etcd_txn *t, const char *key, int64_t mod_revision)
{
    compare(t, key, "MOD", "EQUAL", "mod_revision", mod_revision);
}

void tug_etcd_put(struct tug_etcd_txn *t, const char *key, const void *value, size_t len, int64_t lease)
{
    tug_buf_adds(&t->then, t->then.len ? ",{\"request_put\":{" : "{\"request_put\":{");
    add_key(&t->then, "key", key);
    tug_buf_adds(&t->then, ",\"value\":\"");
    add_base64(&t->then, value, len);
    tug_buf_addf(&t->then, "\",\"lease\":\"%lld\"}}", (long long) lease);
}

void tug_etcd_del(struct tug_etcd_txn *t, const char *from, const char *to)
{
    tug_buf_adds(&t->then, t->then.len ? ",{\"request_delete_range\":{" : "{\"request_delete_range\":{");
    add_key(&t->then, "key", from);
    if (to) {
        tug_buf_addc(&t->then, ',');
        add_key(&t->then, "range_end", to);
    }
    tug_buf_adds(&t->then, "}}");
}

int tug_etcd_commit(struct tug_etcd *e, const struct tug_etcd_txn *t, int *held, int64_t *revision, struct tug_err *err)
{
    struct tug_buf body = {0};
    json_t *answer = NULL;
    tug_buf_adds(&body, "{\"compare\":[");
    tug_buf_add(&body, t->compare.data, t->compare.len);
    tug_buf_adds(&body, "],\"success\":[");
    tug_buf_add(&body, t->then.data, t->then.len);
    tug_buf_adds(&body, "]}");
    int rc = ask(e, "/v3/kv/txn", body.data, body.len, &answer, err);
    if (!rc) {
        *held = is_true(answer, "succeeded");
        *revision = number(json_object_get(answer, "header"), "revision");
    }
    json_decref(answer);
    tug_buf_clear(&body);
    return rc;
}
